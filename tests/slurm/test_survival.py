"""What happens to jobs on clusters, done to a real Slurm; then the result is an undisturbed run's, to the byte."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import SMALL
from slurm_cluster import EMBEDDINGS, SITE, ClusterWorkflow, Slurm, wait_until


@pytest.fixture(scope="session")
def indexed(slurm, tmp_path_factory) -> ClusterWorkflow:
    """A machine simulated, listed and embedded through Slurm, undisturbed."""
    workflow = ClusterWorkflow(tmp_path_factory.mktemp("undisturbed") / "run", slurm)
    workflow.configure(**SMALL)
    workflow.make(EMBEDDINGS)
    return workflow


@pytest.fixture
def piece(indexed, slurm, tmp_path) -> Iterator[ClusterWorkflow]:
    """The same run before its last job: recordings and manifest are there, the embedding is not."""
    folder = tmp_path / "run"
    shutil.copytree(indexed.folder, folder)
    (folder / EMBEDDINGS).unlink()
    workflow = ClusterWorkflow(folder, slurm)
    workflow.configure(**SMALL)
    yield workflow
    workflow.clear()


@pytest.fixture
def undisturbed(indexed) -> bytes:
    """What the embedding of an undisturbed run is, byte for byte."""
    return (indexed.folder / EMBEDDINGS).read_bytes()


def result(workflow: ClusterWorkflow) -> bytes:
    """The embedding, with nothing half-written beside it."""
    assert not list((workflow.folder / "results").rglob(".*.part.*"))
    return (workflow.folder / EMBEDDINGS).read_bytes()


@contextmanager
def counting(slurm: Slurm, workflow: ClusterWorkflow) -> Iterator[list[int]]:
    """How many jobs of a folder run at the same time, counted five times a second."""
    counts: list[int] = []
    stopped = threading.Event()

    def count() -> None:
        while not stopped.wait(0.2):
            counts.append(len(slurm.jobs(workflow.folder, "RUNNING", "COMPLETING")))

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    yield counts
    stopped.set()
    thread.join()


def test_a_job_that_runs_out_of_memory_is_retried_with_more(indexed, slurm, tmp_path):
    """Slurm's grant is a limit that the job's process cannot pass; its library does not fit into the first one."""
    workflow = ClusterWorkflow(tmp_path / "run", slurm)
    workflow.configure(**SMALL)
    workflow.inject("memory")
    manifest = "results/small/manifest/fan.csv"
    shutil.copytree(indexed.folder / "results/small/recordings", workflow.folder / "results/small/recordings")
    workflow.make(manifest, "--set-resources", "index_machine:mem_mb=100 if attempt == 1 else 4000")
    assert workflow.mark.read_text(encoding="utf-8").split() == ["100", "4000"]
    assert (workflow.folder / manifest).read_bytes() == (indexed.folder / manifest).read_bytes()


def test_memory_and_run_time_grow_with_the_attempt(piece):
    """By the rules' own resources: what sbatch is asked for at the first attempt and at the retry."""
    piece.inject("kill_before_rename")
    said = piece.make("--verbose", EMBEDDINGS)
    calls = [line for line in said.splitlines() if "sbatch call: sbatch" in line]
    assert [" -t 60 " in call and " --mem 12000 " in call for call in calls] == [True, False]
    assert [" -t 120 " in call and " --mem 24000 " in call for call in calls] == [False, True]


def test_a_job_killed_between_writing_and_renaming(piece, undisturbed):
    piece.inject("kill_before_rename")
    piece.make(EMBEDDINGS)
    assert piece.mark.exists()
    assert result(piece) == undisturbed


def test_scancel_by_hand(piece, slurm, undisturbed):
    process, output = piece.start_and_hold(EMBEDDINGS)
    slurm.ask("scancel", *slurm.jobs(piece.folder, "RUNNING"))
    said = piece.finish(process, output)
    assert "SLURM status is: 'CANCELLED'" in said
    assert result(piece) == undisturbed


def test_a_job_over_its_time_limit(piece, undisturbed):
    """Slurm's least limit is a minute, and it looks every half minute."""
    piece.inject("hold")
    said = piece.make(EMBEDDINGS, "--set-resources", "embed_machine:runtime=1 if attempt == 1 else 30")
    assert "SLURM status is: 'TIMEOUT'" in said
    assert result(piece) == undisturbed


def test_a_controller_that_is_away_for_half_a_minute(piece, slurm, undisturbed):
    piece.inject("hold", hold_s=20.0)
    output = piece.folder / "output.txt"
    process = piece.start(EMBEDDINGS, stdout=output)
    wait_until(piece.mark.exists, "the job is at work")
    slurm.stop_controller()
    time.sleep(30.0)
    slurm.start()
    piece.finish(process, output)
    assert result(piece) == undisturbed


def test_a_node_set_down_and_resumed(piece, slurm, undisturbed):
    process, output = piece.start_and_hold(EMBEDDINGS)
    with counting(slurm, piece) as counts:
        node = slurm.ask("sinfo", "--noheader", "--format=%n", "--partition=cpu").strip()
        slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        wait_until(lambda: not slurm.jobs(piece.folder, "RUNNING", "COMPLETING"), "the node's job has left it")
        # A node whose daemon answers is back in service by itself.
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], env=slurm.environment, check=False)
        wait_until(
            lambda: slurm.ask("sinfo", "--noheader", "--format=%T", "--partition=cpu").strip() == "idle", "it is back"
        )
        # Slurm drains a node to which it sends a job that the node has not yet given up; and the node's daemon, which
        # looks now and then whether the job that it was told to end is gone, kills it after KillWait (5 s) by its
        # number. Within the two minutes by which Slurm puts off what it queues again, both are long over.
        wait_until(lambda: not slurm.has_steps_of(*slurm.jobs(piece.folder)), "the node has ended what Slurm gave up")
        time.sleep(10.0)
        (queued,) = slurm.jobs(piece.folder, "PENDING")
        slurm.start_now(piece.folder)
        piece.finish(process, output)
    assert slurm.jobs(piece.folder, "COMPLETED") == [queued], "queued again by Slurm itself"
    assert max(counts) == 1, "two jobs at the same time on the same output"
    assert result(piece) == undisturbed


@pytest.mark.parametrize("partition", ["requeue", "scavenge"])
def test_preemption(piece, slurm, undisturbed, partition):
    """Queued again by Slurm itself, or where the partition cancels (the executor then waits for ever) by our watch."""
    process, output = piece.start_and_hold(EMBEDDINGS, "--set-resources", f"embed_machine:slurm_partition={partition}")
    number = slurm.ask(
        "sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "sleep 3"
    ).strip()
    wait_until(lambda: not slurm.ask("squeue", "--noheader", f"--jobs={number}").strip(), "the urgent job is through")
    wait_until(lambda: slurm.jobs(piece.folder, "PENDING"), "it is queued again")
    slurm.start_now(piece.folder)
    said = piece.finish(process, output)
    assert ("was preempted and is queued again" in said) == (partition == "scavenge")
    assert len(slurm.jobs(piece.folder)) == 1
    assert result(piece) == undisturbed


def test_snakemake_killed_while_its_job_runs_and_started_again(piece, slurm, undisturbed):
    process, _ = piece.start_and_hold(EMBEDDINGS)
    with counting(slurm, piece) as counts:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert slurm.jobs(piece.folder, "RUNNING"), "the job outlives the process that submitted it"
        here = piece.run(EMBEDDINGS, "--executor", "local")
        assert here.returncode != 0
        assert f"still in Slurm: scancel {slurm.jobs(piece.folder, 'RUNNING')[0]}, then start again" in here.stdout
        said = piece.make(EMBEDDINGS)
    assert "cancelling 1 jobs that an earlier run left in Slurm" in said
    assert max(counts) == 1, "two jobs at the same time on the same output"
    assert result(piece) == undisturbed


def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(piece, slurm, undisturbed):
    process, _ = piece.start_and_hold(EMBEDDINGS)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=600)
    assert process.returncode != 0
    wait_until(lambda: not slurm.jobs(piece.folder, "RUNNING", "COMPLETING", "PENDING"), "no job is left")
    assert not (piece.folder / EMBEDDINGS).exists()
    piece.make(EMBEDDINGS)
    assert result(piece) == undisturbed


def test_a_partition_that_is_not_there_is_one_line_before_the_first_job(piece, slurm):
    piece.site({**SITE, "partitions": {"cpus": {}, "gpu": {"max_gpu": 1}}})
    done = piece.run(EMBEDDINGS)
    assert done.returncode != 0 and not slurm.jobs(piece.folder)
    told = [line for line in done.stdout.splitlines() if "partitions.cpus" in line]
    assert len(told) == 1 and told[0].endswith(
        "site.yaml: partitions.cpus: this cluster has cpu, gpu, requeue, scavenge, urgent"
    )
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("resource", "reason", "key"),
    [
        ("slurm_partition='nowhere'", "invalid partition specified: nowhere", "partitions (profiles/slurm/site.yaml)"),
        (
            "constraint='a100'",
            "Invalid feature specification",
            "gpu.constraint or cpu.constraint (profiles/slurm/",
        ),
        ("mem_mb=100000000", "Memory specification can not be satisfied", "partitions.<name>.max_mem_mb"),
    ],
)
def test_a_refused_job_is_one_line_that_names_the_key(piece, slurm, resource, reason, key):
    done = piece.run(EMBEDDINGS, "--retries", "0", "--set-resources", f"embed_machine:{resource}")
    assert done.returncode != 0 and not slurm.jobs(piece.folder, "PENDING", "RUNNING")
    told = [line for line in done.stdout.splitlines() if line.startswith("Slurm refused a job: ")]
    assert len(told) == 1 and reason in told[0] and key in told[0]


@pytest.mark.parametrize("cause", ["sacct without accounting", "an outage longer than the queries"])
def test_a_run_that_hangs_starts_again(piece, slurm, undisturbed, cause):
    """Traps of the executor, in which it would wait for ever, though the job is through."""
    piece.inject("hold", hold_s=15.0)
    output = piece.folder / "output.txt"
    sacct = cause.startswith("sacct")
    own = ["--slurm-status-command", "sacct"] if sacct else ["--slurm-status-attempts", "1"]
    process = piece.start(*own, EMBEDDINGS, stdout=output)
    wait_until(piece.mark.exists, "the job is at work")
    if not sacct:
        slurm.stop_controller()
        time.sleep(40.0)  # longer than from one status check to the next
        slurm.start()
    said = piece.finish(process, output)
    assert "the run starts again and continues" in said, said[-4000:]
    assert result(piece) == undisturbed
