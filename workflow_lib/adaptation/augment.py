"""SpecAugment on normalised filterbanks, drawn per training step (paper section 2.3, its reference 12)."""

import torch
from torch import Tensor
from torchaudio.functional import mask_along_axis_iid

from workflow_lib.config.adaptation import AdapterSettings

# Widest share of an axis that one mask may hide: a short clip must not vanish behind masks sized for long ones.
LARGEST_SHARE = 0.65


def draw_keep(clips: int, frames: int, bins: int, settings: AdapterSettings, seed: int) -> tuple[Tensor, Tensor]:
    """Draw masks for a batch: frames kept (clips, 2, frames, 1) and bins kept (clips, 2, 1, bins), float32 0 or 1.

    Channel 0 is near, 1 is far; with shared masks both hide the same cells. The draws depend on `seed` alone: the
    global generator, which torchaudio uses, is put back.
    """
    drawn_channels = 1 if settings.mask_sharing == "shared" else 2
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        frames_kept = torch.ones(clips, drawn_channels, frames, 1)
        bins_kept = torch.ones(clips, drawn_channels, 1, bins)
        for _ in range(settings.time_masks):
            frames_kept = mask_along_axis_iid(frames_kept, settings.time_mask_frames, 0.0, 2, LARGEST_SHARE)
        for _ in range(settings.frequency_masks):
            bins_kept = mask_along_axis_iid(bins_kept, settings.frequency_mask_bins, 0.0, 3, LARGEST_SHARE)
    return frames_kept.expand(clips, 2, frames, 1), bins_kept.expand(clips, 2, 1, bins)


def mask_filterbanks(filterbanks: Tensor, frames_kept: Tensor, bins_kept: Tensor) -> Tensor:
    """Set hidden cells of (clips, 2, frames, bins) to 0, which is the mean of normalised filterbanks."""
    return filterbanks * frames_kept.to(filterbanks.device) * bins_kept.to(filterbanks.device)
