"""A trained autoencoder for scoring many clips: batch norms folded into the layers, arrays reused.

Scores differ from the network's own by rounding (about 1e-7 of a score) and take a quarter less time. Training uses the
network itself: its validation and covariances are the baseline's bit for bit.
"""

import torch
from torch import Tensor

from workflow_lib.autoencoder.network import VECTORS_AT_ONCE, Autoencoder, Norm


class FoldedAutoencoder:
    """Residuals of one network, with the weights that it had when this was made."""

    def __init__(self, network: Autoencoder) -> None:
        norms = [*network.norm_layers(), None]
        self._layers = [_folded(*layer) for layer in zip(network.linear_layers(), norms, strict=True)]
        self._hidden: list[Tensor] = []
        self._residual = torch.empty(0)

    @torch.inference_mode()
    def residuals(self, vectors: Tensor) -> Tensor:
        """Reconstruction minus input (n, 640) of one clip, in an array that the next clip overwrites."""
        if self._residual.shape != vectors.shape:
            rows = min(len(vectors), VECTORS_AT_ONCE)
            self._hidden = [torch.empty(rows, weight.shape[1]) for weight, _ in self._layers[:-1]]
            self._residual = torch.empty_like(vectors)
        *hidden, (last_weight, last_bias) = self._layers
        for part, out in zip(vectors.split(VECTORS_AT_ONCE), self._residual.split(VECTORS_AT_ONCE), strict=True):
            active = part
            for (weight, bias), place in zip(hidden, self._hidden, strict=True):
                active = torch.addmm(bias, active, weight, out=place[: len(part)]).clamp_min_(0)
            torch.addmm(last_bias, active, last_weight, out=out).sub_(part)
        return self._residual


def _folded(linear: torch.nn.Linear, norm: Norm | None) -> tuple[Tensor, Tensor]:
    """Transposed weights (in, out) and biases (out,) float32 of a layer and the batch norm behind it."""
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    if norm is not None:
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.float().t().contiguous(), bias.float()
