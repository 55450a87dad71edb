"""Slurm's commands: list the jobs of a folder, cancel them, requeue one, list partitions."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

LIVE_WORDS = (
    "PENDING RUNNING SUSPENDED COMPLETING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING RESV_DEL_HOLD "
    "SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED"
)
LIVE = frozenset(LIVE_WORDS.split())
# The executor names the jobs of a run after it: a UUID behind the profile's slurm-jobname-prefix.
RUN_NAME = re.compile(r"(?:[\w-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMEOUT_S = 60


@dataclass(frozen=True)
class SlurmJob:
    """One line of squeue."""

    number: str
    state: str
    run: str
    folder: str

    @property
    def live(self) -> bool:
        """Whether it is pending or running, or will be again."""
        return self.state in LIVE


def snakemake_jobs(folder: str) -> list[SlurmJob] | None:
    """Jobs that this user's Snakemake submitted from a folder and Slurm still lists; None if it does not answer."""
    answer = _ask("squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%A|%T|%j|%Z")
    if answer is None:
        return None
    jobs = [SlurmJob(*line.split("|", 3)) for line in answer.splitlines() if line.count("|") >= 3]
    return [job for job in jobs if job.folder == folder and RUN_NAME.fullmatch(job.run)]


def cancel(numbers: Iterable[str]) -> bool:
    """Cancel jobs; False if Slurm does not answer."""
    return _ask("scancel", *numbers) is not None


def requeue(number: str) -> bool:
    """Put a job that was preempted or ended back into the queue; False if Slurm refuses."""
    return _ask("scontrol", "requeue", number) is not None


def partition_names() -> list[str] | None:
    """Names of this cluster's partitions; None if Slurm does not answer."""
    answer = _ask("sinfo", "--noheader", "--all", "--format=%R")
    return None if answer is None else sorted(set(answer.split()))


def is_installed() -> bool:
    """Whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
