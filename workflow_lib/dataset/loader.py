"""Reading of clips ahead of the computation, in batches of equal length."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from workflow_lib.dataset.audio import read_clip
from workflow_lib.dataset.manifest import Clip

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_waveform(clip: Clip, reading: Mapping[str, Any]) -> NDArray[np.float32]:
    """One clip as (channels, samples) float32 in [-1, 1] at the suite's rate; `reading` holds how its suite is read."""
    waveform = read_clip(clip.path, reading["sample_rate"], reading["resample"])
    return waveform[: reading["channels"]]


def equal_length_batches(clips: Sequence[Clip], size: int) -> list[tuple[int, ...]]:
    """Indices of clips in batches of at most `size` clips of one length and rate, so that nothing is padded."""
    keys = [(clip.frames, clip.sample_rate) for clip in clips]
    order = sorted(range(len(clips)), key=lambda index: (keys[index], index))
    groups = (list(group) for _, group in groupby(order, key=lambda index: keys[index]))
    return [tuple(group[start : start + size]) for group in groups for start in range(0, len(group), size)]


def prefetch(function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1) -> Iterator[Result]:
    """Yield results in order, computed in `workers` threads up to workers + 1 items before they are requested.

    Decoding releases Python's lock, so threads suffice; their number changes no result.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
