"""A run that is killed continues with the same command and gives the same bytes."""

import os
import random
import re
import signal
import time

from conftest import SMALL, Workflow

from workflow_lib.report.sections.runtime import KEY

KILLS = 10
SEED = 20260611  # of the moments, so that a failure can be repeated


def kill_at_work(workflow: Workflow, more_files: int) -> bool:
    """Kill the workflow with all its jobs, as a power cut would, once its results hold so many more files than before.

    False if it was through before.
    """
    process, said = workflow.start(stdout=workflow.folder / "output.txt"), workflow.folder / "output.txt"
    before = None
    while process.poll() is None:
        files = sum(len(names) for _, _, names in os.walk(workflow.results))
        if before is None and "Execute " in said.read_text(encoding="utf-8"):
            before = files  # what a kill left half done has been removed
        if before is not None and files >= before + more_files:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    assert process.returncode == 0, said.read_text(encoding="utf-8")[-4000:]
    return False


def timeless(workflow: Workflow) -> str:
    """The page without its section on run time, which no two runs share; all else must be the same."""
    rest, cut = re.subn(rf'<section id="{KEY}".*?</section>', "", workflow.page(), flags=re.DOTALL)
    assert cut == 1
    return rest


def test_ten_kills_at_random_moments_change_no_byte(small_run, tmp_path):
    moments = random.Random(SEED)
    workflow = Workflow(tmp_path / "killed")
    workflow.configure(**SMALL)
    killed = 0
    while killed < KILLS:
        if kill_at_work(workflow, moments.randint(1, 35)):
            killed += 1
        else:
            # The run got through: the rest of the kills hit a fresh one.
            workflow = Workflow(tmp_path / f"killed again {killed}")
            workflow.configure(**SMALL)
    workflow.make()
    made = ("scores/**/*.csv", "fused/**/*.csv", "embeddings/**/*.h5", "tables/*.csv", "clips/**/*")
    for pattern in (f"small/{files}" for files in made):
        expected = small_run.files(pattern)
        assert expected
        assert workflow.files(pattern) == expected, f"{pattern}, moments drawn with seed {SEED}"
    assert timeless(workflow) == timeless(small_run)
    assert not list(workflow.results.rglob(".*.part.*"))
