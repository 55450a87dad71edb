"""The task heads on the statistics of both channels, and the 256-D embedding they give (paper section 2.3)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Statistics = tuple[Tensor, Tensor]  # mean and standard deviation, (n, D) each
StoredStatistics = tuple[NDArray[np.float32], NDArray[np.float32]]
# Statistics that vary less than this share of the median one are not scaled up to unit spread: that is mostly rounding.
LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class HeadOutput:
    """Outputs of the heads for n clips, all float32.

    near, far: the statistics they see, (n, 2D) each; cosine: to each proxy (n, proxies); machine, domain: logits.
    """

    near: Tensor
    far: Tensor
    cosine: Tensor
    machine: Tensor
    domain: Tensor


class TaskHeads(nn.Module):
    """4D statistics -> embedding; on the embedding: ArcFace proxies, a machine classifier, a domain classifier.

    The four parts of the input are near mean, near std, far mean, far std, D each (3072 values at D = 768). They are
    standardised by fixed buffers, which are the identity until `fit_input`.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, embed_dim: int, embedding_size: int, proxies: int, machines: int, domains: int) -> None:
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(4 * embed_dim))
        self.register_buffer("input_std", torch.ones(4 * embed_dim))
        self.embedding = nn.Linear(4 * embed_dim, embedding_size)
        self.proxies = nn.Parameter(torch.empty(proxies, embedding_size))
        self.machine = nn.Linear(embedding_size, machines)
        self.domain = nn.Linear(embedding_size, domains)
        nn.init.xavier_normal_(self.proxies)

    def fit_input(self, near: Statistics, far: Statistics) -> None:
        """Take mean and spread of the input from training clips: (mean (n, D), std (n, D)) of each channel."""
        statistics = torch.cat([*near, *far], dim=1).float()
        spread = statistics.std(0, correction=0)
        floor = LEAST_SPREAD * spread.median()
        self.input_mean.copy_(statistics.mean(0))
        self.input_std.copy_(torch.where(spread > 0, spread.clamp_min(floor), 1.0))

    def forward(self, near: Statistics, far: Statistics) -> HeadOutput:
        """Outputs for n clips from (mean (n, D), std (n, D)) of each channel."""
        inputs = self.standardise(near, far)
        embedding = self.embedding(inputs)
        cosine = functional.linear(functional.normalize(embedding), functional.normalize(self.proxies))
        seen_near, seen_far = inputs.chunk(2, dim=1)
        return HeadOutput(seen_near, seen_far, cosine, self.machine(embedding), self.domain(embedding))

    def standardise(self, near: Statistics, far: Statistics) -> Tensor:
        """Input (n, 4D) float32 of the embedding, from (mean (n, D), std (n, D)) of each channel."""
        return (torch.cat([*near, *far], dim=1).float() - self.input_mean) / self.input_std


def head_embedding(near: Statistics | StoredStatistics, far: Statistics | StoredStatistics, heads: TaskHeads) -> Tensor:
    """Embedding (n, 256) float32 of clips from (mean (n, D), std (n, D)) of near and far; tensors or numpy arrays.

    The vectors are not normalised: the training space is angular, so score them by cosine distance or normalise first.
    """
    as_input = partial(torch.as_tensor, dtype=torch.float32, device=heads.embedding.weight.device)
    with torch.no_grad():
        inputs = heads.standardise((as_input(near[0]), as_input(near[1])), (as_input(far[0]), as_input(far[1])))
        return heads.embedding(inputs)
