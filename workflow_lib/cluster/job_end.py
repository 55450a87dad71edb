"""Snakemake within a Slurm job ends with its job, not a second after it began: each member of a group has one."""

import threading


class _DaemonTimer(threading.Timer):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.daemon = True


def end_at_once() -> None:
    """Let no timer keep this process alive.

    Snakemake 9.27 wakes its scheduler by a timer when its limit of jobs a second allows more (100/1s; a job takes no
    other one); the process, through with its only job, waited for that timer at its end.
    """
    threading.Timer = _DaemonTimer  # type: ignore[misc]
