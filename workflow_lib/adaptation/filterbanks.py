"""Normalised filterbanks of all training clips, computed once and kept in RAM or in a memory-mapped file."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.dataset.audio import read_clip
from workflow_lib.dataset.manifest import Clip
from workflow_lib.encoders.base import Encoder
from workflow_lib.errors import UserError

LOGGER = logging.getLogger(__name__)
# Clips that go through the front end at once; more would not be faster.
FRONTEND_CLIPS = 8
BYTES_PER_GB = 1e9


class FilterbankStore:
    """Filterbanks (2, frames, bins) float32 of clips numbered from 0, channel 0 near and 1 far."""

    def __init__(self, arrays: list[Tensor]) -> None:
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays)

    def frames(self, clip: int) -> int:
        """Number of filterbank frames of a clip."""
        return self._arrays[clip].shape[1]

    def split(self, first: int) -> tuple["FilterbankStore", "FilterbankStore"]:
        """The first so many clips and the rest, as stores of their own over the same memory."""
        return FilterbankStore(self._arrays[:first]), FilterbankStore(self._arrays[first:])

    def batch(self, clips: Iterable[int]) -> Tensor:
        """Filterbanks (n, 2, frames, bins) of clips of one length."""
        return torch.stack([self._arrays[clip] for clip in clips])


def compute_filterbanks(
    clips: Sequence[Clip], encoder: Encoder, spill: Path, ram_gb: float, resample: bool = False
) -> FilterbankStore:
    """Read every clip once and keep its filterbanks, in the order given.

    More than `ram_gb` in total goes to the file `spill`, which the caller removes when done. The encoder's own
    device computes. Raises `UserError` for a clip that cannot be read or has not two channels.
    """
    parts = _filterbanks(clips, encoder, resample)
    first = next(parts)
    # Clips differ in length: their total is estimated in proportion to the first one.
    total = first.nbytes / clips[0].frames * sum(clip.frames for clip in clips)
    LOGGER.info("filterbanks of %d clips, about %.2f GB", len(clips), total / BYTES_PER_GB)
    if total <= ram_gb * BYTES_PER_GB:
        return FilterbankStore([first, *parts])
    return FilterbankStore(_spill(first, parts, spill))


def _filterbanks(clips: Sequence[Clip], encoder: Encoder, resample: bool) -> Iterator[Tensor]:
    """Filterbanks (2, frames, bins) clip by clip; neighbours of one length go through the front end together."""
    device = next(encoder.parameters()).device
    waves = (_read_two_channels(clip, encoder.sample_rate, resample) for clip in clips)
    for _, group in groupby(waves, key=lambda wave: wave.shape[1]):
        while part := list(islice(group, FRONTEND_CLIPS)):
            samples = torch.from_numpy(np.concatenate(part)).to(device)
            with torch.no_grad():
                features = encoder.frontend(samples).float().cpu()
            yield from features.unflatten(0, (len(part), 2)).squeeze(2).unbind(0)


def _read_two_channels(clip: Clip, sample_rate: int, resample: bool) -> NDArray[np.float32]:
    wave = read_clip(clip.path, sample_rate, resample)
    if wave.shape[0] != 2:
        raise UserError(f"{clip.path}: {wave.shape[0]} channel(s), adaptation needs near and far; leave the clip out")
    return wave


def _spill(first: Tensor, rest: Iterator[Tensor], path: Path) -> list[Tensor]:
    """Write filterbanks one after the other to a file; return tensors that map it."""
    shapes = []
    with path.open("wb") as file:
        for array in chain([first], rest):
            file.write(array.contiguous().numpy().tobytes())
            shapes.append(tuple(array.shape))
    LOGGER.info("filterbanks are kept in %s", path)
    # Copy-on-write: torch asks for a writable array, and nothing must reach the file.
    mapped = torch.from_numpy(np.memmap(path, dtype=np.float32, mode="c"))
    sizes = [int(np.prod(shape)) for shape in shapes]
    return [part.view(shape) for part, shape in zip(mapped.split(sizes), shapes, strict=True)]
