"""One optimiser step: masks, both channels through the shared encoder, heads, losses, accumulated gradients."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.adaptation.augment import draw_keep, mask_filterbanks
from workflow_lib.adaptation.filterbanks import FilterbankStore
from workflow_lib.adaptation.heads import Statistics, TaskHeads
from workflow_lib.adaptation.log_rows import STEP_COLUMNS
from workflow_lib.adaptation.loss import clip_losses, hits
from workflow_lib.adaptation.schedule import derived_seed, groups_by_length
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders.base import Encoder


@dataclass(frozen=True)
class StepContext:
    """Inputs of every step: the encoder with its adapters, heads, data, targets (clips, 3), device and precision."""

    encoder: Encoder
    heads: TaskHeads
    store: FilterbankStore
    targets: Tensor
    settings: AdapterSettings
    seed: int
    device: torch.device
    bfloat16: bool
    micro_batch: Mapping[int, int]  # frames of a clip -> clips that go through the network at once

    def autocast(self) -> AbstractContextManager:
        """bfloat16 matrix products where chosen; weights, statistics, heads and losses stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


def accumulate_gradients(context: StepContext, batch: NDArray[np.int64], step: int) -> Tensor:
    """Add the gradients of the mean loss of a batch of clip numbers; returns the row of `STEP_COLUMNS` (8,) float32.

    The masks of a clip depend on seed, step and length alone, so the micro-batch size changes rounding only (and the
    draws of dropout, where that is on).
    """
    row = torch.zeros(len(STEP_COLUMNS), device=context.device)
    with _own_generators(context.device, derived_seed(context.seed, "dropout", step)):
        for features, clips in _micro_batches(context, batch, step):
            loss, part = forward_clips(context, features, context.targets[clips].to(context.device))
            (loss / len(batch)).backward()
            row += part / len(batch)
    return row


@contextmanager
def _own_generators(device: torch.device, seed: int) -> Iterator[None]:
    """Dropout draws from the global generators: seed them for this step alone, and put them back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.random.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _micro_batches(
    context: StepContext, batch: NDArray[np.int64], step: int
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Yield masked filterbanks (n, 2, frames, bins) on the device and their clip numbers."""
    for length, positions in groups_by_length([context.store.frames(clip) for clip in batch]):
        clips = batch[positions]
        bins = context.store.batch(clips[:1]).shape[3]
        seed = derived_seed(context.seed, "masks", step, length)
        keep = draw_keep(len(clips), length, bins, context.settings, seed)
        size = context.micro_batch[length]
        for start in range(0, len(clips), size):
            part = slice(start, start + size)
            features = context.store.batch(clips[part]).to(context.device, non_blocking=True)
            yield mask_filterbanks(features, keep[0][part], keep[1][part]), clips[part]


def forward_clips(context: StepContext, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Summed loss of n clips, and their summed row (8,) without graph."""
    near, far = channel_statistics(context, features)
    output = context.heads(near, far)
    losses = clip_losses(output, targets, context.settings)
    total = losses.total(context.settings)
    terms = torch.stack([total, losses.attribute, losses.machine, losses.domain, losses.consistency], dim=1)
    row = torch.cat([terms.detach(), hits(output, targets)], dim=1).sum(0)
    return total.sum(), row


def channel_statistics(context: StepContext, features: Tensor) -> tuple[Statistics, Statistics]:
    """(mean, std) of near and of far, each (n, D) float32, from (n, 2, frames, bins): both channels in one batch.

    Autograd keeps nothing from before the first adapter, and blocks after the statistics block are not computed.
    """
    clips = len(features)
    both = features.transpose(0, 1).flatten(0, 1).unsqueeze(1)
    block = context.settings.statistics_block
    with context.autocast():
        mean, std = context.encoder.statistics(both, [block])[block]
    return (mean[:clips], std[:clips]), (mean[clips:], std[clips:])
