"""`snakemake fetch_data` as a user runs it, from a local server that plays the published records: what goes wrong."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from conftest import Workflow
from fetch_server import zipped
from published_clips import DEV, fetching, publish, tree

RECORD = 19336329  # of dcase2026/dev
FAN, CAR = f"/files/{RECORD}/dev_fan.zip", f"/files/{RECORD}/dev_ToyCar_r2.zip"


def fault(workflow: Workflow, line: str, *options: str) -> None:
    """A run that fails with one clear line."""
    done = workflow.run(*options, "fetch_data")
    assert done.returncode != 0
    assert line in done.stdout
    assert "Traceback" not in done.stdout


def machines(root: Path) -> set[str]:
    return {name.split("/")[0] for name in tree(root)}


def test_one_command_goes_on_after_every_kind_of_trouble(site, tmp_path):
    """Recordings of the user's own, a hostile archive, a changed record, wrong bytes, deleted clips, no connection."""
    workflow = fetching(tmp_path / "run", site, mine=DEV)
    root = workflow.folder / "data" / "dev"

    publish(site, "dcase2026/dev", ["fan", "ToyCar"], etag='"1"')
    fan, car = site.pages[FAN], site.pages[CAR]
    own = root / "fan" / "train" / "mine.wav"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    fault(workflow, "data/dev/fan/train: is there, and was not fetched: use it as it is, or move it away")
    assert own.read_bytes() == b"mine" and not site.asked(FAN)
    shutil.rmtree(root / "fan")

    fan.steps, car.steps = [{"garbage": bytes(len(fan.body))}], [{"status": 500}, {"drop": 3000}]
    fault(workflow, "the download was removed: run the same command again", "--keep-going")
    assert machines(root) == {"ToyCar"} and len(site.asked(CAR)) == 3
    assert not list((root / ".fetch").glob("dev_fan*"))
    workflow.make("fetch_data")
    assert machines(root) == {"ToyCar", "fan"}

    # Recordings that were deleted, then the archive brought by hand.
    before, asked = tree(root), len(site.asked(FAN))
    shutil.rmtree(root / "fan")
    workflow.make("fetch_data")
    assert tree(root) == before and len(site.asked(FAN)) == asked + 1
    shutil.rmtree(root / "fan")
    (root / ".fetch").mkdir()
    (root / ".fetch" / "dev_fan.zip").write_bytes(fan.body)
    asked = len(site.requests)
    workflow.make("fetch_data")
    assert tree(root) == before and len(site.requests) == asked
    assert not (root / ".fetch").exists()

    shutil.rmtree(root / "fan")
    hostile = zipped({"fan/train/a.wav": b"", "../../evil": b"x"})
    site.put_record(RECORD, {"dev_fan.zip": hostile, "dev_ToyCar_r2.zip": car.body})
    fault(workflow, f"data/dev/fetch.lock.json: record {RECORD} has changed its file dev_fan.zip")
    (root / "fetch.lock.json").unlink()
    fault(workflow, "data/dev/.fetch/dev_fan.zip: a path out of the folder ('../../evil')")
    assert not list(workflow.folder.rglob("evil*"))
    assert machines(root) == {"ToyCar"}


def test_kills_at_random_moments_never_leave_half_a_machine(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan", "ToyCar"], etag='"1"', delay_s=0.05)
    publish(site, "dcase2026/eval", ["Sander"], etag='"1"', delay_s=0.05)
    sander = {"root": "data/eval", "machines": ["Sander"], "fetch": "dcase2026/eval", "select_on": "mine"}
    workflow = fetching(tmp_path / "run", site, mine=DEV, mine_eval=sander)
    moments = random.Random(20260611)
    for _ in range(3):
        process = workflow.start("fetch_data", stdout=workflow.folder / "output.txt")
        deadline = time.monotonic() + 60
        while process.poll() is None and not site.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 3.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in (*workflow.folder.glob("data/dev/[!.]*/*/"), *workflow.folder.glob("data/eval/[!.]*/*/")):
            note = json.loads((folder / ".fetched.json").read_text(encoding="utf-8"))
            assert note["files"] == len(list(folder.glob("*.wav"))), folder
    workflow.make("fetch_data")
    assert len(tree(workflow.folder / "data" / "dev")) == 2 * (6 + 8)
    assert len(tree(workflow.folder / "data" / "eval")) == 6 + 4
    assert not list(workflow.folder.glob("data/*/.fetch"))
