"""Ctrl-C ends a run on Slurm and its jobs, also at the moments at which Snakemake alone would miss it.

The terminal sends Ctrl-C to Slurm's commands as well that the process has just started, and an interrupt that meets
Python in a callback is lost. So it is given again until Snakemake ends its run, and what is left in Slurm is cancelled.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

PAUSE_S = 5.0
# Functions of Snakemake: its scheduler has heard an interrupt when its executor cancels, or when it is through itself.
SCHEDULING, CANCELLING = "schedule", "cancel"


def insist_on_interrupt(cancel_left: Callable[[], None], pause_s: float = PAUSE_S) -> None:
    """From now on a SIGINT is repeated every `pause_s` seconds until it is heard; then `cancel_left` is called instead.

    Nothing where SIGINT is ignored, as in what a script puts into the background. To be called in the main thread.
    """
    before, insisting = signal.getsignal(signal.SIGINT), threading.Event()
    if not callable(before):
        return

    def insist() -> None:
        heard = False
        while True:
            time.sleep(pause_s)
            heard = heard or _is_heard()
            if heard:
                cancel_left()
            else:
                os.kill(os.getpid(), signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        if not insisting.is_set():
            insisting.set()
            threading.Thread(target=insist, name="slurm-interrupt", daemon=True).start()
        before(number, frame)

    signal.signal(signal.SIGINT, handle)


def _is_heard() -> bool:
    """Whether the main thread cancels the run, or is past it."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return CANCELLING in names or SCHEDULING not in names
