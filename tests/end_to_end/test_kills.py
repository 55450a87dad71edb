"""A run that is killed is taken up by the same command and gives the same bytes."""

import os
import random
import signal
import subprocess

from conftest import SMALL, Workflow

KILLS = 10
SEED = 20260611  # of the moments; printed, so that a failure can be repeated


def kill_after(workflow: Workflow, seconds: float) -> bool:
    """Run the workflow and kill it with all its jobs, as a power cut would; False if it ended before."""
    process = workflow.start()
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0
    return False


def test_ten_kills_at_random_moments_change_no_byte(small_run, tmp_path):
    moments = random.Random(SEED)
    workflow = Workflow(tmp_path / "killed")
    workflow.configure(**SMALL)
    killed = 0
    while killed < KILLS:
        # Short enough that ten kills fall before the end, long enough that jobs are at work.
        if kill_after(workflow, moments.uniform(2.5, 9.0)):
            killed += 1
        else:
            # The run got through: the rest of the kills hit a fresh one.
            workflow = Workflow(tmp_path / f"killed again {killed}")
            workflow.configure(**SMALL)
    output = workflow.make()
    assert "100%" in output or "Nothing to be done" in output
    for pattern in ("small/scores/**/*.csv", "small/fused/**/*.csv", "small/embeddings/**/*.h5", "small/tables/*.csv"):
        expected = small_run.files(pattern)
        assert expected
        assert workflow.files(pattern) == expected, f"{pattern}, moments drawn with seed {SEED}"
    assert workflow.files("report.html") == small_run.files("report.html")
