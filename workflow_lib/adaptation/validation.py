"""Normal training clips withheld from an adaptation, and the accuracy of its heads on them after each epoch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workflow_lib.adaptation.classes import proxy_of
from workflow_lib.adaptation.log_rows import STEP_COLUMNS, VALIDATION_HEADER
from workflow_lib.adaptation.schedule import derived_seed, groups_by_length
from workflow_lib.adaptation.step import StepContext, forward_clips
from workflow_lib.dataset.manifest import Clip


def withhold(clips: Sequence[Clip], fraction: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """(training, withheld) clips, each in the given order: a share of every proxy's clips, drawn by `seed` alone.

    A proxy keeps at least one clip to learn from, so that every withheld clip has a class that the heads know.
    """
    rng = np.random.default_rng(derived_seed(seed, "withheld"))
    proxies = [proxy_of(clip) for clip in clips]
    withheld: set[int] = set()
    for proxy in sorted(set(proxies)):
        members = [number for number, found in enumerate(proxies) if found == proxy]
        share = min(round(fraction * len(members)), len(members) - 1)
        withheld |= set(rng.permutation(members)[:share].tolist())
    return (
        [clip for number, clip in enumerate(clips) if number not in withheld],
        [clip for number, clip in enumerate(clips) if number in withheld],
    )


def validate(context: StepContext) -> Tensor:
    """The row of `VALIDATION_HEADER` without the epoch, (6,) float64, on all clips, unmasked and without dropout."""
    row = torch.zeros(len(STEP_COLUMNS), dtype=torch.float64)
    context.encoder.eval()
    with torch.no_grad():
        for length, clips in groups_by_length([context.store.frames(clip) for clip in range(len(context.store))]):
            size = context.micro_batch[length]
            for part in (clips[start : start + size] for start in range(0, len(clips), size)):
                features = context.store.batch(part).to(context.device)
                row += forward_clips(context, features, context.targets[part].to(context.device))[1].cpu()
    context.encoder.train()
    means = dict(zip(STEP_COLUMNS, (row / len(context.store)).tolist(), strict=True))
    largest = torch.bincount(context.targets[:, 0]).max()
    known = {"clips": len(context.store), "chance": float(largest) / len(context.store), **means}
    return torch.tensor([known[name] for name in VALIDATION_HEADER[1:]], dtype=torch.float64)
