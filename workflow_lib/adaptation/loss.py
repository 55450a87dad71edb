"""The training objective, equation 1 of the paper: attributes, machine, domain and near-far consistency."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from workflow_lib.adaptation.heads import HeadOutput
from workflow_lib.config.adaptation import AdapterSettings


@dataclass(frozen=True)
class ClipLosses:
    """The four terms of equation 1 for each of n clips, (n,) float32, unweighted."""

    attribute: Tensor
    machine: Tensor
    domain: Tensor
    consistency: Tensor

    def total(self, settings: AdapterSettings) -> Tensor:
        """Weighted sum of the terms per clip, (n,)."""
        return (
            self.attribute
            + settings.machine_weight * self.machine
            + settings.domain_weight * self.domain
            + settings.consistency_weight * self.consistency
        )


def arcface_logits(cosine: Tensor, target: Tensor, scale: float, margin_rad: float) -> Tensor:
    """ArcFace logits (n, classes): scale * cos(angle + margin) for the target class, scale * cos(angle) for the others.

    Beyond angle = pi - margin the cosine would rise again; there the line cos(angle) - margin * sin(margin) goes on
    falling instead. `cosine` is (n, classes) in [-1, 1], `target` (n,) int64. Source: ArcFace, CVPR 2019, section 3.
    """
    own = cosine.gather(1, target[:, None])
    # sqrt has no finite slope at 0; the bound moves an angle by at most 3e-4 rad, at cosine +-1 only.
    sine = (1 - own * own).clamp_min(1e-7).sqrt()
    with_margin = own * math.cos(margin_rad) - sine * math.sin(margin_rad)
    past_turn = own - margin_rad * math.sin(margin_rad)
    own = torch.where(own > -math.cos(margin_rad), with_margin, past_turn)
    return scale * cosine.scatter(1, target[:, None], own)


def consistency_loss(near: Tensor, far: Tensor) -> Tensor:
    """1 - cosine between the near and far statistics of each clip, (n, 2D) each -> (n,).

    The statistics are those that the heads see. Standardised per channel, what sets one microphone apart from the other
    in general costs nothing, and what sets a clip apart is pulled to agree, in direction only.
    """
    return 1 - functional.cosine_similarity(near, far)


def clip_losses(output: HeadOutput, targets: Tensor, settings: AdapterSettings) -> ClipLosses:
    """All terms of equation 1 for n clips; `targets` (n, 3) int64 holds proxy, machine and domain numbers."""
    proxy, machine, domain = targets.unbind(1)
    logits = arcface_logits(output.cosine, proxy, settings.arcface_scale, settings.arcface_margin_rad)
    return ClipLosses(
        functional.cross_entropy(logits, proxy, reduction="none"),
        functional.cross_entropy(output.machine, machine, reduction="none"),
        functional.cross_entropy(output.domain, domain, reduction="none"),
        consistency_loss(output.near, output.far),
    )


def hits(output: HeadOutput, targets: Tensor) -> Tensor:
    """Which of n clips each head gets right: (n, 3) float32 of 0 and 1, columns proxy, machine, domain; no margin."""
    guesses = [logits.argmax(1) for logits in (output.cosine, output.machine, output.domain)]
    return (torch.stack(guesses, dim=1) == targets).float()
