"""A watch beside Snakemake's Slurm executor, which in some cases waits for jobs that will never end (docs/cluster.md).

It runs as a thread of the process that the user started and only asks squeue. A job that was preempted and not requeued
is put back into the queue. If Slurm has no live job of the run and nothing runs here either, for longer than the
executor could need to notice the end of a job, the process starts its own command again, which goes on where it stands;
the third time it ends with one line instead.
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
LOOKS = 10  # within the patience
RESUMED = "DUALMIC_ASD_RESUMED"  # environment: how often this run has started itself again
MOST_RESUMED = 2
STUCK = "Slurm has no job of this run any more, and Snakemake still waits for one"
WHY = "(docs/cluster.md, A run that waits for nothing)"


class Watch:
    """What one look after the other says; `look` returns whether the run waits for nothing."""

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
        """One look at Slurm and at this machine; True if nothing has been alive for the whole of the patience."""
        jobs = self._jobs()
        if jobs is None:  # a controller that is away says nothing about the jobs
            self._idle_since = None
            return False
        self._queue_again([job.number for job in jobs if job.state == "PREEMPTED"])
        if any(job.live for job in jobs) or self._busy():
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = self._clock()
        return self._clock() - self._idle_since >= self._patience_s

    def _queue_again(self, preempted: Sequence[str]) -> None:
        # Seen twice: a job that Slurm requeues by itself shows this state for a moment only.
        for number in self._preempted.intersection(preempted):
            if self._requeue(number):
                log.warning(f"Slurm job {number} was preempted and is queued again")
        self._preempted = set(preempted)


def start_watch(folder: str, earlier: Sequence[str], patience_s: float) -> None:
    """Watch the run of this process; `earlier`: numbers of jobs that belong to runs before it."""

    def jobs() -> list[SlurmJob] | None:
        found = snakemake_jobs(folder)
        return None if found is None else [job for job in found if job.number not in earlier]

    watch = Watch(jobs, _has_children, requeue, patience_s)

    def run() -> None:
        while True:
            time.sleep(patience_s / LOOKS)
            if watch.look():
                start_again()
                return

    threading.Thread(target=run, name="slurm-watch", daemon=True).start()


def start_again() -> None:
    """Put a new process of the same command in the place of this one, or end it if that did not help before."""
    resumed = int(os.environ.get(RESUMED, "0"))
    if resumed >= MOST_RESUMED:
        log.error(f"{STUCK}, now for the {resumed + 1}rd time: the run ends here {WHY}")
        os.kill(os.getpid(), signal.SIGINT)
        return
    log.error(f"{STUCK}: the run starts again and goes on where it stands {WHY}")
    os.environ[RESUMED] = str(resumed + 1)
    if any(argument.startswith(("-d", "--directory")) for argument in sys.orig_argv):
        os.chdir(os.environ.get("PWD", "."))  # where the command was given: --directory leads on from there
    flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _has_children() -> bool:
    """Whether this process runs something itself: a local rule, or a submission."""
    return bool(psutil.Process().children())
