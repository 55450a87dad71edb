"""A watch over a run on Slurm: the executor waits for ever in three cases (docs/cluster.md, A run that hangs).

1. Its status command is sacct, and Slurm has no accounting. 2. A round of status queries fails altogether: it forgets
its jobs. 3. A job is preempted and not requeued. A thread of Snakemake's own process looks at squeue: it requeues a
preempted job, and if neither Slurm nor this process has worked for the run for `patience_s`, the process replaces
itself by the same command, which continues; the third time it ends instead.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

import psutil

from workflow_lib.cluster.slurm import SlurmJob, requeue, snakemake_jobs
from workflow_lib.run.stages import flush

log = logging.getLogger("snakemake.logging")  # its lines belong among Snakemake's own, on the terminal
LOOKS = 10  # within patience_s
RESUMED = "DUALMIC_ASD_RESUMED"  # environment variable: how often this run has restarted itself
MOST_RESUMED = 2
STUCK = "Slurm has no job of this run, and Snakemake still waits for one"
WHY = "(docs/cluster.md, A run that hangs)"


class Watch:
    """Decides from repeated looks at Slurm whether the run hangs."""

    def __init__(
        self,
        jobs: Callable[[], Sequence[SlurmJob] | None],
        busy: Callable[[], bool],
        requeue: Callable[[str], bool],
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._busy, self._requeue = jobs, busy, requeue
        self._patience_s, self._clock = patience_s, clock
        self._idle_since: float | None = None
        self._preempted: set[str] = set()

    def look(self) -> bool:
        """Look at Slurm and at this process; True if the run has had nothing running for `patience_s`."""
        jobs = self._jobs()
        if jobs is None:  # the controller is away: nothing is known about the jobs
            self._idle_since = None
            return False
        preempted = {job.number for job in jobs if job.state == "PREEMPTED"}
        # Seen twice in a row: a job that Slurm requeues itself has this state for a moment only.
        for number in self._preempted & preempted:
            if self._requeue(number):
                log.warning(f"Slurm job {number} was preempted and is queued again")
        self._preempted = preempted
        if any(job.live for job in jobs) or self._busy():
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = self._clock()
        return self._clock() - self._idle_since >= self._patience_s


def start_watch(folder: str, earlier: Sequence[str], patience_s: float) -> None:
    """Watch the run of this process in a thread; `earlier`: numbers of jobs that belong to runs before it."""

    def jobs() -> list[SlurmJob] | None:
        found = snakemake_jobs(folder)
        return None if found is None else [job for job in found if job.number not in earlier]

    def has_children() -> bool:  # a local rule, or a submission
        return bool(psutil.Process().children())

    watch = Watch(jobs, has_children, requeue, patience_s)

    def run() -> None:
        while True:
            time.sleep(patience_s / LOOKS)
            if watch.look():
                start_again()
                return

    threading.Thread(target=run, name="slurm-watch", daemon=True).start()


def start_again() -> None:
    """Replace this process by a new one of the same command, or end it after two restarts."""
    resumed = int(os.environ.get(RESUMED, "0"))
    if resumed >= MOST_RESUMED:
        log.error(f"{STUCK}, after {resumed} restarts: the run ends here {WHY}")
        os.kill(os.getpid(), signal.SIGINT)
        return
    log.error(f"{STUCK}: the run starts again and continues {WHY}")
    os.environ[RESUMED] = str(resumed + 1)
    if any(argument.startswith(("-d", "--directory")) for argument in sys.orig_argv):
        os.chdir(os.environ.get("PWD", "."))  # where the command was given: --directory leads on from there
    flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
