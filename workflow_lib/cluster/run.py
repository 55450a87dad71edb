"""A run on Slurm begins: the site is looked over, jobs that a dead run left are cancelled, the watch starts."""

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workflow_lib.cluster.checks import limit_pause
from workflow_lib.cluster.interrupt import insist_on_interrupt
from workflow_lib.cluster.site import Site
from workflow_lib.cluster.slurm import SlurmJob, cancel, is_installed, partition_names, snakemake_jobs
from workflow_lib.cluster.watch import start_watch
from workflow_lib.errors import UserError

log = logging.getLogger("snakemake.logging")  # its lines belong among Snakemake's own
GONE_WITHIN_S = 180.0  # Slurm gives a job 30 s between SIGTERM and SIGKILL by default


def begin(site: Site, partition_file: Path | None) -> None:
    """Make sure that this run is alone with its outputs and asks for what the cluster has; UserError if not.

    partition_file: where the executor reads its partitions; a profile of one's own may have another.
    """
    if not is_installed():
        raise UserError(
            "there is no Slurm here (sbatch, squeue): go to the cluster's login node, or take --profile local"
        )
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
    limit_pause(site.check_s)
    start_watch(folder, [job.number for job in snakemake_jobs(folder) or []], site.patience_s)
    # A job that is being looked at when Ctrl-C comes is not in the executor's list of those to cancel.
    atexit.register(_cancel_left, folder, os.getpid())
    insist_on_interrupt(lambda: _cancel_left(folder, os.getpid()))


def check_defaults(jobs: Iterable[Any]) -> None:
    """Refuse a run whose jobs lost the profile's default-resources; UserError with what to do.

    Snakemake puts another profile's default-resources in the place of all of ours. Without `turn` a group asks for the
    cores of all its members at once and for the run time of one: it waits in the queue for ever, or ends too early.
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
    gone_within_s: float = GONE_WITHIN_S,
) -> None:
    """Cancel what an earlier run of this folder left in the queue and wait until it is gone.

    The caller holds the folder's lock, so the process that submitted them is dead: nobody would take up what they make,
    and the run that now begins would make the same files beside them. UserError if they stay.
    """
    deadline = time.monotonic() + gone_within_s
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
    """Refuse a run without Slurm beside jobs that a dead run of this folder left there; UserError with what to do.

    Where there is no Slurm, or its controller is away, nothing is known and nothing is refused.
    """
    if is_installed() and (left := _live(jobs(folder) or [])):
        raise UserError(f"jobs of an earlier run are still in Slurm: scancel {' '.join(left)}, then start again")


def _live(jobs: list[SlurmJob] | None) -> list[str]:
    if jobs is None:
        raise UserError("Slurm's controller does not answer (squeue): start again when it does")
    return [job.number for job in jobs if job.live]


def _cancel_left(folder: str, process: int) -> None:
    if os.getpid() == process and (left := _live(snakemake_jobs(folder) or [])):
        cancel(left)
