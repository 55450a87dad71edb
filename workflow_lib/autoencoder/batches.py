"""Training data of the autoencoder: all clips' frames, their vectors by index, and the baseline's random orders."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.autoencoder.log_mel import FRAMES, MEL_BANDS, VECTOR_SIZE
from workflow_lib.autoencoder.network import Autoencoder
from workflow_lib.errors import UserError

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainingVectors:
    """The five-frame vectors of all clips; vector i is the five rows of `frames` from `first_row[i]` on."""

    frames: Tensor  # (rows, 128) float32, dB
    first_row: Tensor  # (vectors,) int64
    is_target: Tensor  # (vectors,) bool

    def __len__(self) -> int:
        return len(self.first_row)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Vectors (n, 640) in the given order (vectors,), batch by batch, in a buffer that the next one overwrites."""
        vectors = self.frames.as_strided((len(self.frames) - FRAMES + 1, VECTOR_SIZE), (MEL_BANDS, 1))
        chosen = self.first_row[order]
        buffer = torch.empty(min(len(order), batch_size), VECTOR_SIZE)
        for part in chosen.split(batch_size):
            batch = buffer[: len(part)]
            torch.index_select(vectors, 0, part, out=batch)
            yield batch


def collect_vectors(frames_per_clip: Sequence[NDArray[np.float32]], is_target: Sequence[bool]) -> TrainingVectors:
    """The vectors of clips (frames, 128) of any lengths, clip by clip; no vector reaches from one clip into the next.

    UserError for no clips, clips under five frames, values that are not finite, and fewer than three vectors.
    """
    if len(frames_per_clip) != len(is_target) or len(is_target) == 0:
        raise UserError(f"{len(frames_per_clip)} training clips with {len(is_target)} domain flags: give one for each")
    for number, frames in enumerate(frames_per_clip):
        if frames.ndim != 2 or frames.shape[1] != MEL_BANDS or len(frames) < FRAMES:
            shape = f"frames of shape {frames.shape}, need at least {FRAMES} of {MEL_BANDS} values"
            raise UserError(f"training clip {number}: {shape}")
        if not np.isfinite(frames).all():
            raise UserError(f"training clip {number}: its log-mel frames are not finite, check the recording")
    lengths = np.array([len(frames) for frames in frames_per_clip])
    starts_a_vector = np.ones(lengths.sum(), dtype=bool)
    starts_a_vector[(np.cumsum(lengths)[:, None] - np.arange(1, FRAMES)).ravel()] = False
    first_row = torch.from_numpy(np.flatnonzero(starts_a_vector))
    if len(first_row) < 3:
        raise UserError(f"{len(first_row)} five-frame vectors in all training clips: the autoencoder needs at least 3")
    target = np.repeat(np.asarray(is_target, dtype=bool), lengths - FRAMES + 1)
    all_frames = torch.from_numpy(np.concatenate(frames_per_clip, dtype=np.float32))
    return TrainingVectors(all_frames, first_row, torch.from_numpy(target))


class RandomOrders:
    """The baseline's random draws: the split of the vectors, the initial weights, then an order for every pass."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator = torch.Generator()

    def split(self, vectors: int) -> tuple[Tensor, Tensor]:
        """Indices of the training (90 %) and the validation vectors, in order: vectors are split, not clips."""
        order = torch.from_numpy(np.random.RandomState(self.seed).permutation(vectors))
        held_out = math.ceil(VALIDATION_SHARE * vectors)
        return order[held_out:], order[:held_out]

    def new_network(self) -> Autoencoder:
        """A network with the seed's initial weights; later orders continue its random stream, the global one stays."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = Autoencoder()
            self._generator.set_state(torch.get_rng_state())
        return network

    def shuffled(self, indices: Tensor) -> Tensor:
        """The indices in a fresh random order."""
        self.draw()  # the baseline's loader draws a seed for workers that it does not have
        order = torch.Generator().manual_seed(self.draw())
        return indices[torch.randperm(len(indices), generator=order)]

    def draw(self) -> int:
        """The next number of the random stream; a pass that is not shuffled draws one, too."""
        return int(torch.empty((), dtype=torch.int64).random_(generator=self._generator))
