"""`snakemake fetch_data` as a user runs it, from a local server that plays the published records."""

import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, Workflow
from fetch_server import Site, running_site

from workflow_lib.dataset.manifest import index_suite
from workflow_lib.dataset.survey import discover_machines
from workflow_lib.fetch.sets import published_sets

NAMES = ROOT / "tests" / "golden" / "dcase2026" / "filenames.txt.gz"
EVAL_TEST = "eval_data_{}_test_r2.zip"  # not the name that the pattern of earlier years gives


def clip(channels: int, seed: int = 0, level: float = 0.1) -> bytes:
    memory = io.BytesIO()
    noise = level * np.random.default_rng(seed).standard_normal((4000, channels))
    soundfile.write(memory, noise, 16000, subtype="PCM_16", format="WAV")
    return memory.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return memory.getvalue()


def clips_of(machine: str, splits: tuple[str, ...], labelled: bool, channels: int) -> dict[str, bytes]:
    names = [
        f"train/section_00_{domain}_train_normal_{i:04d}_noAttribute.wav"
        for domain in ("source", "target")
        for i in range(3)
    ]
    if labelled:
        names += [
            f"test/section_00_{domain}_test_{label}_{i:04d}_noAttribute.wav"
            for domain in ("source", "target")
            for label in ("normal", "anomaly")
            for i in range(2)
        ]
    else:
        names += [f"test/section_00_{i:04d}.wav" for i in range(4)]
    chosen = [name for name in names if name.split("/")[0] in splits]
    return {f"{machine}/{name}": clip(channels, seed) for seed, name in enumerate(chosen)}


def publish(site: Site, source: str, machines: list[str], **settings) -> None:
    """Small archives of some machines of a set, under the names and records of the real ones."""
    published = published_sets()[source]
    for part in published.parts:
        labelled = part.name == "dev"
        files = {m: clips_of(m, part.splits, labelled, published.channels) for m in machines}
        site.put_record(part.record, {part.archives[m]: zipped(files[m]) for m in machines}, **settings)


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


def fetching(folder: Path, site: Site, *, fetch: dict | None = None, run: dict | None = None, **suites) -> Workflow:
    workflow = Workflow(folder)
    workflow.configure(
        suites=suites,
        run={"branches": ["ae_mse"], "systems": ["NearMah", "ResMah"], **(run or {})},
        fetch={"records_url": site.url("/api/records"), "timeout_s": 5, "attempts": 2, **(fetch or {})},
        models={"ae": {"epochs": 1}, "ae_residual": {"epochs": 1}},
        compute={"threads": 1, "device": "cpu"},
    )
    return workflow


def tree(folder: Path) -> dict[str, bytes]:
    """All files of the machine folders of a root."""
    found = (path for path in sorted(folder.rglob("*.wav")) if not path.relative_to(folder).parts[0].startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


DEV = {"root": "data/dev", "machines": ["fan", "ToyCar"], "fetch": "dcase2026/dev"}


# ---- the real names --------------------------------------------------------------------------------------------------


def publish_2026(site: Site) -> list[str]:
    """All 14,400 real clip names with one short silent recording, packed as the real archives are."""
    body = clip(2, level=0.0)
    lines = gzip.decompress(NAMES.read_bytes()).decode().split()
    by_archive: dict[tuple[int, str], dict[str, bytes]] = {}
    for line in lines:
        machine, split, _ = line.split("/")
        for source in ("dcase2026/dev", "dcase2026/eval"):
            for part in published_sets()[source].parts:
                if machine in part.archives and split in part.splits:
                    name = EVAL_TEST.format(machine) if part.name == "eval_test" else part.archives[machine]
                    by_archive.setdefault((part.record, name), {})[line] = body
    for record in {record for record, _ in by_archive}:
        files = {name: zipped(entries) for (other, name), entries in by_archive.items() if other == record}
        site.put_record(record, files, etag='"1"')
    return lines


def test_all_real_names_are_fetched_and_indexed(site, tmp_path):
    """The shipped configuration: both suites, where it says; then the index goes over all 14,400 clips."""
    lines = publish_2026(site)
    workflow = Workflow(tmp_path / "run")
    workflow.configure(fetch={"records_url": site.url("/api/records")}, run={"suites": ["dev", "eval"]})
    output = workflow.make("--cores", "4", "fetch_data")
    assert "suite eval: dcase2026/eval is in data/dcase2026/eval: 5 machines" in output
    data = workflow.folder / "data" / "dcase2026"
    assert sorted([*tree(data / "dev"), *tree(data / "eval")]) == sorted(lines)
    assert not list(data.glob("*/.fetch"))
    asked = len(site.requests)
    assert "fetch_archive" not in workflow.make("fetch_data")
    assert len(site.requests) == asked
    for suite in ("dev", "eval"):
        clips, faults = index_suite(data / suite, discover_machines(data / suite), min_seconds=0.2)
        assert faults == []
        assert sum(map(len, clips.values())) == len(tree(data / suite))


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_one_command_goes_on_after_every_kind_of_trouble(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan", "ToyCar"], etag='"1"')
    workflow = fetching(tmp_path / "run", site, mine=DEV)
    fan = site.pages["/files/19336329/dev_fan.zip"]
    fan.steps = [{"garbage": bytes(len(fan.body))}]
    site.pages["/files/19336329/dev_ToyCar_r2.zip"].steps = [{"status": 500}, {"drop": 3000}]
    done = workflow.run("--keep-going", "fetch_data")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    (line,) = {line for line in done.stdout.splitlines() if line.startswith("data/dev/.fetch/dev_fan.zip: md5 is")}
    assert "the download was removed" in line
    root = workflow.folder / "data" / "dev"
    assert {name.split("/")[0] for name in tree(root)} == {"ToyCar"}
    assert not list((root / ".fetch").glob("dev_fan*"))
    workflow.make("fetch_data")
    assert {name.split("/")[0] for name in tree(root)} == {"ToyCar", "fan"}
    assert len(site.asked("/files/19336329/dev_ToyCar_r2.zip")) == 3


def test_a_hostile_archive_leaves_nothing(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan"])
    site.put_record(19336329, {"dev_fan.zip": zipped({"fan/train/a.wav": b"", "../../evil": b"x"})})
    workflow = fetching(tmp_path / "run", site, mine={**DEV, "machines": ["fan"]})
    done = workflow.run("fetch_data")
    assert "data/dev/.fetch/dev_fan.zip: a path out of the folder ('../../evil')" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list(workflow.folder.rglob("evil*"))
    assert not (workflow.folder / "data/dev/fan").exists()


def test_a_record_that_changed_is_one_line_and_deleted_recordings_come_back(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan", "ToyCar"])
    workflow = fetching(tmp_path / "run", site, mine=DEV)
    workflow.make("fetch_data")
    root = workflow.folder / "data" / "dev"
    before = tree(root)
    shutil.rmtree(root / "fan")
    workflow.make("fetch_data")
    assert tree(root) == before
    shutil.rmtree(root / "fan")
    site.put_record(19336329, {"dev_fan.zip": zipped({"fan/train/a.wav": b"other"}), "dev_ToyCar_r2.zip": b""})
    done = workflow.run("fetch_data")
    assert "data/dev/fetch.lock.json: record 19336329 has changed its file dev_fan.zip" in done.stdout
    assert not (root / "fan").exists()


def test_recordings_of_the_users_own_are_left_alone(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan", "ToyCar"])
    workflow = fetching(tmp_path / "run", site, mine=DEV)
    own = workflow.folder / "data" / "dev" / "fan" / "train" / "mine.wav"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    done = workflow.run("fetch_data")
    assert "data/dev/fan/train: is there, and was not fetched: use it as it is, or move it away" in done.stdout
    assert own.read_bytes() == b"mine"
    assert not site.asked("/files/19336329/dev_fan.zip")


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


def test_archives_brought_by_hand_need_no_connection(site, tmp_path):
    publish(site, "dcase2026/dev", ["fan"])
    zip_body = site.pages["/files/19336329/dev_fan.zip"].body
    fan = {**DEV, "machines": ["fan"]}
    first = fetching(tmp_path / "connected", site, mine=fan)
    first.make("fetch_data")
    root = tmp_path / "alone" / "data" / "dev"
    (root / ".fetch").mkdir(parents=True)
    (root / ".fetch" / "dev_fan.zip").write_bytes(zip_body)
    shutil.copy(first.folder / "data/dev/fetch.lock.json", root)
    site.close()
    fetching(tmp_path / "alone", site, mine=fan).make("fetch_data")
    assert tree(root) == tree(first.folder / "data" / "dev")


# ---- suites ----------------------------------------------------------------------------------------------------------


def test_a_mono_set_runs_near_only_and_says_what_it_leaves_out(site, tmp_path):
    publish(site, "dcase2025/dev", ["fan"])
    suite = {"root": "data/dev", "machines": ["fan"], "fetch": "dcase2025/dev"}
    workflow = fetching(tmp_path / "run", site, mine=suite, run={"protocols": ["complete_dev"]})
    assert "there is no folder data/dev: `snakemake --cores all fetch_data` gets them" in workflow.run().stdout
    workflow.make("fetch_data")
    output = workflow.make()
    reason = "branch ae_residual_mahalanobis: it needs the far channel and the suite is mono"
    assert f"suite mine: ResMah is left out: {reason}" in output
    tables = workflow.files("mine/tables/official.csv")
    assert b"NearMah" in next(iter(tables.values()))
    assert reason.encode() in workflow.files("report.html")["results/report.html"]


def test_suites_of_earlier_years_are_named_on_the_command_line(tmp_path):
    workflow = Workflow(tmp_path / "run")
    output = workflow.make("-n", "fetch_data", "--config", "suites=dev2025")
    assert "Fetch and unpack gearbox (dev, dev2025)" in output
    assert re.search(r"fetch_archive +7", output)
    output = workflow.make("-n", "fetch_data", "--config", "suites=[dev2024,eval2024]")
    assert "Fetch and unpack 3DPrinter (eval_test, eval2024)" in output
    wrong = workflow.run("-n", "fetch_data", "--config", "suites=dev2052")
    assert "config: run.suites: there is no suite 'dev2052': write dev2025" in wrong.stdout
    assert "Traceback" not in wrong.stdout


def test_a_run_without_published_suites_is_told_so(tmp_path):
    workflow = Workflow(tmp_path / "run")
    workflow.configure(suites={"mine": {"root": "data", "machines": ["fan"]}})
    done = workflow.run("fetch_data")
    assert "none of this run has the key `fetch`" in done.stdout
    assert "Traceback" not in done.stdout
