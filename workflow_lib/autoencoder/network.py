"""The reconstruction autoencoder of the official baseline: network, residuals, scores (paper, section 2.1)."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from workflow_lib.autoencoder.log_mel import FRAMES, MEL_BANDS, VECTOR_SIZE
from workflow_lib.errors import UserError
from workflow_lib.scoring.mahalanobis import Reading, mahalanobis_scores, pack_symmetric

WIDTHS_DOWN = (VECTOR_SIZE, 128, 128, 128, 128, 8)
WIDTHS_UP = (8, 128, 128, 128, 128, VECTOR_SIZE)
NORM_EPS, NORM_MOMENTUM = 1e-3, 0.01
VECTORS_AT_ONCE = 2048  # of a long clip: keeps the activations in the cache


class Norm(nn.BatchNorm1d):
    """Batch norm of the baseline, which always tracks its running statistics."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=NORM_EPS, momentum=NORM_MOMENTUM)


class Autoencoder(nn.Module):
    """640-128-128-128-128-8-128-128-128-128-640, batch norm and ReLU after every linear layer but the last (Figure 1).

    `cov_source` and `cov_target` (128, 128) are the residual covariances of a domain's training vectors; they have no
    gradient. Initial weights are torch's defaults, drawn in the order encoder, decoder.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cov_source = nn.Parameter(torch.zeros(MEL_BANDS, MEL_BANDS), requires_grad=False)
        self.cov_target = nn.Parameter(torch.zeros(MEL_BANDS, MEL_BANDS), requires_grad=False)
        self.encoder = nn.Sequential(*_normalised_layers(WIDTHS_DOWN))
        self.decoder = nn.Sequential(*_normalised_layers(WIDTHS_UP[:-1]), nn.Linear(*WIDTHS_UP[-2:]))

    def forward(self, vectors: Tensor) -> Tensor:
        """Reconstructions (n, 640) of vectors (n, 640) in dB."""
        return self.decoder(self.encoder(vectors))

    @torch.inference_mode()
    def residuals(self, vectors: Tensor) -> Tensor:
        """Reconstruction minus input (n, 640), in eval mode whatever the mode of the network; every row on its own.

        The same numbers as `forward`, to the bit, without the cost of calling the modules.
        """
        residual = torch.empty_like(vectors)
        *hidden, last = self.linear_layers()
        for part, out in zip(vectors.split(VECTORS_AT_ONCE), residual.split(VECTORS_AT_ONCE), strict=True):
            active = part
            for linear, norm in zip(hidden, self.norm_layers(), strict=True):
                active = functional.linear(active, linear.weight, linear.bias)
                statistics = (norm.running_mean, norm.running_var)
                active = functional.batch_norm(active, *statistics, norm.weight, norm.bias, eps=NORM_EPS)
                functional.relu_(active)
            torch.addmm(last.bias, active, last.weight.t(), out=out).sub_(part)
        return residual

    def linear_layers(self) -> list[nn.Linear]:
        return [layer for layer in (*self.encoder, *self.decoder) if isinstance(layer, nn.Linear)]

    def norm_layers(self) -> list[Norm]:
        return [layer for layer in (*self.encoder, *self.decoder) if isinstance(layer, Norm)]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A trained network in eval mode from a safetensors file; UserError that names what does not fit."""
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read as safetensors weights ({error}): train again") from error
        with torch.random.fork_rng(devices=[]):
            network = cls()
        _check_state(path, state, network.state_dict())
        network.load_state_dict(state)
        return network.eval()

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write all tensors to a safetensors file, and at most one text: the writer orders several at random."""
        if metadata and len(metadata) > 1:
            raise ValueError(f"one text for the file to have the same bytes each time, got {', '.join(metadata)}")
        state = {name: tensor.detach().contiguous() for name, tensor in sorted(self.state_dict().items())}
        save_file(state, path, metadata=dict(metadata) if metadata else None)


class Reconstructing(Protocol):
    """The network, or its folded form (workflow_lib.autoencoder.inference)."""

    def residuals(self, vectors: Tensor) -> Tensor: ...


class ClipResidual(NamedTuple):
    """Summaries of a clip's residuals (reconstruction minus input, dB) that the scores are computed from."""

    mse: float  # mean square over all vectors and values, dB²
    mean_residual: NDArray[np.float64]  # (128,) mean over the blocks of all vectors, dB
    second_moment: NDArray[np.float32] | None  # (8256,) upper triangle of the blocks' mean outer product, dB²


def clip_residuals(network: Reconstructing, vectors: ArrayLike | Tensor, *, second_moment: bool = True) -> ClipResidual:
    """Residual summaries of one clip's vectors (n, 640); they do not depend on other clips.

    The second moment, which only the reading `per_block` needs, costs a fifth of the time and most of the storage.
    """
    residual = _residuals(network, vectors)
    moment = _second_moment(residual) if second_moment else None
    return ClipResidual(_mean_square(residual), mean_residual(residual), moment)


def mse_score(network: Autoencoder, vectors: ArrayLike | Tensor) -> float:
    """Mean squared reconstruction error of one clip's vectors (n, 640), dB²."""
    return _mean_square(_residuals(network, vectors))


def mahalanobis_score(
    network: Autoencoder,
    vectors: ArrayLike | Tensor,
    precision_source: ArrayLike | Tensor,
    precision_target: ArrayLike | Tensor,
    kind: Reading = "official",
) -> float:
    """Selective Mahalanobis score of one clip's vectors (n, 640); readings: workflow_lib.scoring.mahalanobis."""
    residual = _residuals(network, vectors)
    second_moment = _second_moment(residual) if kind == "per_block" else None
    source, target = (np.asarray(precision, dtype=np.float64) for precision in (precision_source, precision_target))
    return float(mahalanobis_scores(mean_residual(residual), second_moment, source, target, kind))


def _normalised_layers(widths: tuple[int, ...]) -> list[nn.Module]:
    """Linear, batch norm and ReLU from width to width; as in the baseline, a ReLU follows the bottleneck, too."""
    layers: list[nn.Module] = []
    for wide_in, wide_out in pairwise(widths):
        layers += [nn.Linear(wide_in, wide_out), Norm(wide_out), nn.ReLU()]
    return layers


def _check_state(path: str | Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    shapes = [name for name in sorted(expected.keys() & state.keys()) if state[name].shape != expected[name].shape]
    faults = {"missing": missing, "unknown": extra, "of another shape": shapes}
    found = "; ".join(f"{what}: {', '.join(names)}" for what, names in faults.items() if names)
    if found:
        raise UserError(f"{path}: not the weights of this autoencoder, tensors {found}: train again")


def _residuals(network: Reconstructing, vectors: ArrayLike | Tensor) -> Tensor:
    """Reconstruction minus input (n, 640) float32 of one clip."""
    inputs = torch.as_tensor(vectors, dtype=torch.float32)
    if inputs.ndim != 2 or inputs.shape[1] != VECTOR_SIZE or len(inputs) == 0:
        raise UserError(f"vectors of shape {tuple(inputs.shape)}: the autoencoder takes (n, {VECTOR_SIZE}), n > 0")
    return network.residuals(inputs)


def mean_residual(residual: Tensor) -> NDArray[np.float64]:
    """Mean block (128,) of residuals (n, 640)."""
    return residual.sum(0).double().view(FRAMES, MEL_BANDS).sum(0).numpy() / (FRAMES * len(residual))


def _second_moment(residual: Tensor) -> NDArray[np.float32]:
    """Mean outer product of the blocks, upper triangle (8256,), of residuals (n, 640)."""
    blocks = residual.view(-1, MEL_BANDS)
    sums: NDArray[np.float32] = pack_symmetric((blocks.T @ blocks).numpy())
    return sums / np.float32(len(blocks))


def _mean_square(residual: Tensor) -> float:
    # Row means first: they keep single precision exact to 1e-7 however long the clip is.
    return float(residual.square().mean(1).mean(dtype=torch.float64))
