"""How far a job is: a line every few seconds in its log file; for downloads a bar on the terminal as well."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

log = logging.getLogger(__name__)
REPORT_EVERY_S = 10.0


class Progress:
    """Counts clips or bytes; bytes have a bar where standard error is a terminal (clips: `workflow_lib.run.stages`)."""

    def __init__(self, total: int, title: str, unit: str = "clip") -> None:
        self.total, self.title, self.bytes = total, title, unit == "byte"
        self.done, self.start = 0, time.monotonic()
        self.said = self.start
        self.bar = tqdm(
            total=total,
            desc=title,
            unit="B",
            unit_scale=True,
            leave=False,
            dynamic_ncols=True,
            # Not None: tqdm would ask a closed or replaced stream.
            disable=not (self.bytes and sys.stderr is not None and sys.stderr.isatty()),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def add(self, count: int) -> None:
        """Count clips or bytes as done; a negative number takes them back."""
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        if now - self.said > REPORT_EVERY_S or self.done == self.total:
            log.info("%s", self._line(now - self.start))
            self.said = now

    def _line(self, seconds: float) -> str:
        rate = self.done / max(seconds, 1e-9)
        if not self.bytes:
            return f"{self.done} of {self.total} clips, {rate:.1f} clips/s"
        left = "" if self.done == self.total or not rate else f", {duration((self.total - self.done) / rate)} left"
        return f"{self.title}: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s{left}"


def duration(seconds: float) -> str:
    """A time in words: 12 s, 34 min, 5.6 h."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
