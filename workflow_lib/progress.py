"""How far a job is: a bar on a terminal, a line every few seconds in a log file."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

log = logging.getLogger(__name__)
REPORT_EVERY_S = 10.0


class Progress:
    """Counts clips; the bar is drawn only where standard error is a terminal, the lines go to the log of the job."""

    def __init__(self, total: int, title: str) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.said = self.start
        self.bar = tqdm(total=total, desc=title, unit="clip", leave=False, dynamic_ncols=True, disable=not _terminal())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def add(self, clips: int) -> None:
        """Count clips as done."""
        self.done += clips
        self.bar.update(clips)
        now = time.monotonic()
        if now - self.said > REPORT_EVERY_S or self.done == self.total:
            log.info("%d of %d clips, %.1f clips/s", self.done, self.total, self.done / max(now - self.start, 1e-9))
            self.said = now


def _terminal() -> bool:
    # Not `disable=None` of tqdm: it would ask a closed or replaced stream.
    return sys.stderr is not None and sys.stderr.isatty()
