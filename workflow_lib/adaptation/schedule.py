"""The schedule of a training: seeds, the order of clips, micro-batches of one length, the learning rate."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workflow_lib.config.adaptation import AdapterSettings

Purpose = Literal["adapters", "heads", "order", "masks", "dropout", "withheld"]
# Their places enter the seeds: add at the end.
_PURPOSES: tuple[Purpose, ...] = ("adapters", "heads", "order", "masks", "dropout", "withheld")


def derived_seed(seed: int, purpose: Purpose, *position: int) -> int:
    """A seed below 2**63 for one purpose and place (epoch, step, ...), so that no generator state has to be kept."""
    sequence = np.random.SeedSequence([seed, _PURPOSES.index(purpose), *position])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def epoch_batches(clips: int, settings: AdapterSettings, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Clip numbers of each step of an epoch: a fresh permutation cut into effective batches, the last one shorter."""
    order = np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(clips)
    return [order[start : start + settings.batch_clips] for start in range(0, clips, settings.batch_clips)]


def steps_per_epoch(clips: int, settings: AdapterSettings) -> int:
    """Optimiser steps of one epoch."""
    return -(-clips // settings.batch_clips)


def groups_by_length(frames: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield (frames, positions), short clips first: clips of one length go through the network together.

    A batch mixes all lengths: in the challenge a machine has one length, so that a batch of one length would hold one
    machine.
    """
    lengths = np.asarray(frames)
    for length in np.unique(lengths):
        yield int(length), np.flatnonzero(lengths == length).tolist()


def learning_rate(step: int, total_steps: int, settings: AdapterSettings) -> float:
    """Rate of a step counted from 0: linear rise over the warm-up share of all steps, constant afterwards."""
    warmup_steps = round(settings.warmup_fraction * total_steps)
    return settings.learning_rate * min(1.0, (step + 1) / max(1, warmup_steps))
