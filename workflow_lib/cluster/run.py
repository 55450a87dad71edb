"""What a run on Slurm does before its first job: check the site, cancel jobs of a killed run, start the watch."""

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from workflow_lib.cluster.site import Site
from workflow_lib.cluster.slurm import SlurmJob, cancel, is_installed, partition_names, snakemake_jobs
from workflow_lib.cluster.watch import start_watch
from workflow_lib.errors import UserError

log = logging.getLogger("snakemake.logging")  # its lines belong among Snakemake's own
CANCELLED_WITHIN_S = 180.0  # Slurm gives a job 30 s between SIGTERM and SIGKILL by default


def begin(site: Site, partition_file: Path | None) -> None:
    """Prepare a run on Slurm; UserError if Slurm does not answer, or has other partitions than the site's file.

    partition_file: where the executor reads its partitions; a user's own profile may name another file than the site's.
    """
    if not is_installed():
        raise UserError("no sbatch or squeue on this machine: run on the cluster's login node, or use --profile local")
    names = partition_names()
    if names is None:
        raise UserError("Slurm's controller does not answer (sinfo): start again when it does")
    if partition_file is not None and partition_file.resolve() == site.path.resolve():
        unknown = [name for name in site.partitions if name not in names]
        if unknown:
            there = ", ".join(names)
            raise UserError("\n".join(f"{site.path}: partitions.{name}: this cluster has {there}" for name in unknown))
    folder = str(Path.cwd())
    cancel_orphans(folder)
    limit_status_interval(site.check_s)
    log_group_errors()
    start_watch(folder, [job.number for job in snakemake_jobs(folder) or []], site.patience_s)
    # On Ctrl-C the executor cancels the jobs on its list, which is empty while it queries their status.
    atexit.register(_cancel_live, folder, os.getpid())


def limit_status_interval(most_s: float, executor: type[RemoteExecutor] = RemoteExecutor) -> None:
    """Let the executor wait at most `most_s` seconds between two status queries.

    The Slurm executor adds 10 s to each wait, up to 180 s, until a job ends, and has no setting for it. The end of a
    job, the end of the run and Ctrl-C are delayed by that wait.
    """
    interval = executor.next_seconds_between_status_checks

    def limited(self: RemoteExecutor, seconds: float) -> None:
        interval.fset(self, min(seconds, most_s))

    executor.next_seconds_between_status_checks = property(interval.fget, limited)


def log_group_errors() -> None:
    """Log why Slurm refused or ended a group of jobs: Snakemake drops the executor's message for groups."""
    from snakemake.jobs import GroupJob  # not at the top: snakemake.jobs cannot be the first import of snakemake

    log_error = GroupJob.log_error

    def with_message(self: Any, msg: str | None = None, **details: Any) -> None:
        if msg:
            log.error(msg)
        log_error(self, msg=msg, **details)

    GroupJob.log_error = with_message


def check_defaults(jobs: Iterable[Any]) -> None:
    """Refuse a run whose jobs lack the profile's default-resources; UserError with what to do.

    Snakemake replaces the whole of our default-resources by those of another profile. Without `turn` a group asks for
    the cores of all its members at once and for the run time of one: it stays in the queue for ever, or is ended early.
    """
    if any(job.resources.get("turn") is None for job in jobs):
        raise UserError(
            "default-resources of another profile or of the command line replace those of profiles/slurm/config.yaml: "
            "add its lines (mem_mb, runtime, turn: 1) to yours; account, qos and constraint: profiles/slurm/site.yaml"
        )


def cancel_orphans(
    folder: str,
    jobs: Callable[[str], list[SlurmJob] | None] = snakemake_jobs,
    pause_s: float = 1.0,
    within_s: float = CANCELLED_WITHIN_S,
) -> None:
    """Cancel jobs that an earlier run of this folder left in the queue, and wait until they are gone.

    The caller holds the folder's lock, so the process that submitted them is dead, and the new run would write the same
    files beside them. UserError if they are still there after `within_s` seconds, or if Slurm does not answer.
    """
    deadline = time.monotonic() + within_s
    left = _live(jobs(folder))
    if left:
        log.warning(f"cancelling {len(left)} jobs that an earlier run left in Slurm: {' '.join(left)}")
        cancel(left)
    while left:
        if time.monotonic() > deadline:
            raise UserError(f"jobs of an earlier run are still in Slurm: scancel {' '.join(left)}, then start again")
        time.sleep(pause_s)
        left = _live(jobs(folder))


def check_no_orphans(folder: str, jobs: Callable[[str], list[SlurmJob] | None] = snakemake_jobs) -> None:
    """Refuse a run without Slurm while jobs of a killed run of this folder are in the queue; UserError names them.

    Passes where Slurm is not installed or its controller does not answer.
    """
    if is_installed() and (left := _live(jobs(folder) or [])):
        raise UserError(f"jobs of an earlier run are still in Slurm: scancel {' '.join(left)}, then start again")


def _live(jobs: list[SlurmJob] | None) -> list[str]:
    if jobs is None:
        raise UserError("Slurm's controller does not answer (squeue): start again when it does")
    return [job.number for job in jobs if job.live]


def _cancel_live(folder: str, process: int) -> None:
    if os.getpid() == process and (left := _live(snakemake_jobs(folder) or [])):
        cancel(left)
