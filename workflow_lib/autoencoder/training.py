"""Training of the autoencoder as the official baseline does it: split, orders, Adam, residual covariances.

With the same torch, processor and thread count the result equals the baseline's bit for bit: the same random numbers
are drawn in the same order and the same operations follow. Where these differ the trained networks differ too, because
training is chaotic: biases before batch norms have no gradient but rounding noise, which Adam enlarges to full steps.
Trained networks are therefore compared over several seeds, and a result is given with its seed.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.autoencoder.batches import RandomOrders, TrainingVectors, collect_vectors
from workflow_lib.autoencoder.log_mel import MEL_BANDS
from workflow_lib.autoencoder.network import Autoencoder, mean_residual
from workflow_lib.autoencoder.train_step import TrainingStep
from workflow_lib.errors import UserError
from workflow_lib.scoring.mahalanobis import invert_covariances, mahalanobis_scores

log = logging.getLogger(__name__)
DOMAINS = ("source", "target")


@dataclass(frozen=True)
class EpochLog:
    """Losses of one epoch (dB²), means over its batches; the fields are the columns of the baseline's train_log.csv."""

    loss: float
    val_loss: float
    recon_loss: float
    recon_loss_source: float  # NaN if a batch had no source vector
    recon_loss_target: float  # a batch without target vectors counts as zero


class TrainedAutoencoder(NamedTuple):
    """A trained network in eval mode with its covariances, its log, and the samples for decision thresholds."""

    network: Autoencoder
    log: tuple[EpochLog, ...]
    mse_sample: NDArray[np.float64]  # batch losses of the last epoch as seen while training, then of the validation
    mahalanobis_sample: NDArray[np.float64]  # official scores of whole batches, training then validation
    notes: tuple[str, ...]


class ResidualCovariances(NamedTuple):
    """Covariances (128, 128) float32 of the residual blocks of the domains, dB², and a note where one was missing."""

    source: Tensor
    target: Tensor
    notes: tuple[str, ...]


def train_autoencoder(
    frames_per_clip: Sequence[NDArray[np.float32]],
    is_target: Sequence[bool],
    *,
    epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 13711,
    progress: Callable[[EpochLog], None] | None = None,
) -> TrainedAutoencoder:
    """Train on the log-mel frames (frames, 128) in dB of normal clips of any lengths and their domain flags.

    The weights are those of the last epoch; validation selects nothing. `progress` is called after every epoch.
    UserError for settings or clips that cannot be trained on.
    """
    if epochs < 1 or batch_size < 2 or not learning_rate > 0.0:
        raise UserError(f"epochs {epochs}, batch_size {batch_size}, learning_rate {learning_rate}: need ≥ 1, ≥ 2, > 0")
    training = TrainingPasses(collect_vectors(frames_per_clip, is_target), batch_size, seed)
    step = TrainingStep(training.network, learning_rate)
    history: list[EpochLog] = []
    for _ in range(epochs):
        epoch, sample = training.epoch(step)
        history.append(epoch)
        if progress is not None:
            progress(epoch)
    step.release()
    return training.finish(tuple(history), np.array(sample))


class TrainingPasses:
    """The passes over one machine's vectors: each draws its order from the random stream of the one before."""

    def __init__(self, vectors: TrainingVectors, batch_size: int, seed: int) -> None:
        self.vectors, self.batch_size = vectors, batch_size
        self.orders = RandomOrders(seed)
        self.train_index, self.valid_index = self.orders.split(len(vectors))
        self.network = self.orders.new_network().eval()

    def epoch(self, step: TrainingStep) -> tuple[EpochLog, list[float]]:
        """One epoch and its validation: the log and the batch losses, training first."""
        order = self.orders.shuffled(self.train_index)
        # A batch of one vector has no batch statistics: the baseline leaves it out, but counts it in the means.
        losses = [step(batch) for batch in self.vectors.batches(order, self.batch_size) if len(batch) > 1]
        self.orders.draw()
        validation = [float(residual.square().mean()) for residual in self._residuals(self.valid_index)]
        flags = self.vectors.is_target[order].split(self.batch_size)
        training = [_mean(batch) for batch in losses]
        source = [_mean(batch[~target]) for batch, target in zip(losses, flags, strict=False)]
        target = [_mean(batch[target], 0.0) for batch, target in zip(losses, flags, strict=False)]
        loss, of_source, of_target = (_total(means) / len(flags) for means in (training, source, target))
        log_row = EpochLog(loss, _total(validation) / len(validation), loss, of_source, of_target)
        return log_row, training + validation

    def finish(self, history: tuple[EpochLog, ...], mse_sample: NDArray[np.float64]) -> TrainedAutoencoder:
        """Two more passes: the covariances, then the scores of whole batches with them."""
        covariances = self.covariances()
        self.network.cov_source.data, self.network.cov_target.data = covariances.source, covariances.target
        means = self.batch_means()
        precision = invert_covariances(covariances.source.numpy(), covariances.target.numpy())
        scores = mahalanobis_scores(means, None, precision.source, precision.target, "official")
        notes = covariances.notes + precision.notes
        for note in notes:
            log.warning(note)
        return TrainedAutoencoder(self.network, history, mse_sample, scores, notes)

    def covariances(self) -> ResidualCovariances:
        """Residual covariances of the training vectors by domain, centred batch by batch as in the baseline.

        The divisor counts vectors, not their five blocks: the values are about five times a covariance, and distances
        are a fifth. A batch of one vector is left out here, too.
        """
        order = self.orders.shuffled(self.train_index)
        sums, counts = torch.zeros(2, MEL_BANDS, MEL_BANDS), [0, 0]
        flags = self.vectors.is_target[order].split(self.batch_size)
        for residual, target in zip(self._residuals(order), flags, strict=True):
            for domain, mask in enumerate((~target, target) if len(target) > 1 else ()):
                blocks = residual[mask].view(-1, MEL_BANDS)
                if len(blocks):
                    blocks -= blocks.mean(0)
                    sums[domain] += blocks.T @ blocks
                    counts[domain] += int(mask.sum())
        return _covariances(sums, counts)

    def batch_means(self) -> NDArray[np.float64]:
        """Mean residual blocks (batches, 128): training batches in a fresh order, then the validation batches."""
        order = self.orders.shuffled(self.train_index)
        means = [mean_residual(residual) for index in (order, self.valid_index) for residual in self._residuals(index)]
        return np.stack(means)

    def _residuals(self, index: Tensor) -> Iterator[Tensor]:
        """Residuals (n, 640) batch by batch, with the running statistics of the batch norms."""
        for batch in self.vectors.batches(index, self.batch_size):
            yield self.network.residuals(batch)


def _covariances(sums: Tensor, counts: list[int]) -> ResidualCovariances:
    """Sums of products (2, 128, 128) over counts; a domain without two vectors takes the other's covariance."""
    known = [count > 1 for count in counts]
    if not any(known):
        raise UserError(f"{sum(counts)} training vectors are too few for a covariance: add normal training clips")
    source, target = (sums[domain] / max(counts[domain] - 1, 1) for domain in (0, 1))
    if all(known):
        return ResidualCovariances(source, target, ())
    missing = known.index(False)
    note = (
        f"{counts[missing]} {DOMAINS[missing]} vectors to train on: "
        f"the {DOMAINS[missing]} covariance of the residuals is the {DOMAINS[1 - missing]} covariance"
    )
    found = target if missing == 0 else source
    return ResidualCovariances(found, found.clone(), (note,))


def _mean(losses: Tensor, empty: float = float("nan")) -> float:
    """Mean of a batch's losses, rounded as the baseline does: the sum in single precision over the count."""
    return float(losses.sum() / len(losses)) if len(losses) else empty


def _total(values: list[float]) -> float:
    """Sum from left to right; Python's own compensates for rounding since 3.12."""
    return float(np.cumsum(values)[-1]) if values else float("nan")
