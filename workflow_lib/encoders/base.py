"""What every encoder shares: the interface, token statistics, and weights that are read or drawn without side effects.

A subclass builds its learned modules under `with torch.device("meta")` (nothing is drawn or filled twice) and its
front-end constants outside of it, as non-persistent buffers; `load_weights` or `draw_weights` then gives the meta
tensors their values. Reading checkpoint files is in `workflow_lib.encoders.checkpoint`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workflow_lib.encoders.checkpoint import Checkpoint, digest_tensors, take_tensors
from workflow_lib.errors import UserError

Length = Literal["native", "reference"]
EMBED_DIM, DEPTH = 768, 12  # of EAT-Base, CED-Base, M2D and AST-Base
HEAD_DIM = 64  # of every published EAT, CED, M2D and AST, whatever the width


class Encoder(nn.Module):
    """An audio transformer: waveform -> features -> patch tokens of chosen blocks -> statistics of the tokens."""

    name: str
    sample_rate: int = 16000

    def __init__(self, *, embed_dim: int, depth: int, num_heads: int, length: Length = "native") -> None:
        super().__init__()
        if length not in get_args(Length):
            raise UserError(f"encoder length is {length!r}: write 'native' or 'reference'")
        if embed_dim % num_heads:
            raise UserError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        self.embed_dim, self.depth, self.num_heads = embed_dim, depth, num_heads
        self.length: Length = length
        self.trained = False

    def frontend(self, waveform: Tensor) -> Tensor:
        """Turn (B, samples) float32 in [-1, 1] at 16 kHz into normalised features in the model's layout, B first."""
        raise NotImplementedError

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode one batch in one pass; `blocks` is sorted and valid. What a subclass implements behind `tokens`."""
        raise NotImplementedError

    def tokens(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return {block: (B, N, embed_dim)}, patch tokens only, in the reference's time-frequency order.

        Blocks are counted from 1; nothing after the last requested one is computed. Gradients flow unless the caller
        switches them off. A long clip is encoded in chunks, whose tokens are concatenated.
        """
        if not blocks or not all(1 <= block <= self.depth for block in blocks):
            raise UserError(f"blocks {list(blocks)}: name at least one, from 1 to {self.depth}")
        return self.encode(features, sorted(set(blocks)))

    def statistics(self, features: Tensor, blocks: Sequence[int]) -> dict[int, tuple[Tensor, Tensor]]:
        """Return {block: (mean, std)}, each (B, embed_dim) float32, over all patch tokens (std divides by N)."""
        return {block: pool_tokens(tokens) for block, tokens in self.tokens(features, blocks).items()}

    @property
    def weights_digest(self) -> str:
        """SHA-256 (hex) of all weights: equal for equal values, whatever file layout they came from."""
        return digest_tensors(self.state_dict())

    def load_weights(self, checkpoint: Checkpoint, names: Mapping[str, str], ignorable: Iterable[str]) -> None:
        """Fill every tensor of `state_dict()` from a checkpoint; `names` maps own names to the file's.

        Raises UserError naming tensors that are missing, mis-shaped, or neither in `names` nor in `ignorable`.
        """
        expected = self.state_dict()
        found = take_tensors(checkpoint, {names[own]: tensor for own, tensor in expected.items()}, ignorable)
        self.load_state_dict({own: found[names[own]] for own in expected}, strict=True, assign=True)
        self.trained = True

    def draw_weights(self, seed: int) -> None:
        """Draw every parameter from a generator of its own: same seed, same bytes, the global state stays.

        Matrices keep the variance of their input (uniform, variance 1 / fan-in), biases are 0, norms are the identity,
        tokens and positions are small. Buffers are left to the subclass.
        """
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            for name, parameter in module.named_parameters(recurse=False):
                value = _draw_parameter(module, name, parameter, generator)
                setattr(module, name, nn.Parameter(value, requires_grad=parameter.requires_grad))


def _draw_parameter(module: nn.Module, name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    if name == "bias":
        return torch.zeros(parameter.shape)
    if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm):
        return torch.ones(parameter.shape)
    matrix = isinstance(module, nn.Linear | nn.Conv2d)
    variance = 1.0 / parameter[0].numel() if matrix else 0.02**2
    # Uniform, not normal: the bits then come from integers alone and are the same on every CPU.
    return (torch.rand(parameter.shape, generator=generator) * 2 - 1) * (3 * variance) ** 0.5


def run_layers(layers: Iterable[nn.Module], x: Tensor, blocks: Sequence[int], leading: int) -> dict[int, Tensor]:
    """Pass x (B, leading + N, D) through the layers up to the last of `blocks`; return {block: (B, N, D)}."""
    tokens = {}
    for number, layer in enumerate(islice(layers, max(blocks)), start=1):
        x = layer(x)
        if number in blocks:
            tokens[number] = x[:, leading:]
    return tokens


def join_chunks(chunks: Sequence[Mapping[int, Tensor]], blocks: Sequence[int]) -> dict[int, Tensor]:
    """Concatenate the tokens (B, N, D) of a clip's chunks, block by block."""
    return {block: torch.cat([chunk[block] for chunk in chunks], dim=1) for block in blocks}


def check_waveform(waveform: Tensor, min_samples: int) -> Tensor:
    """Return the (B, samples) waveform if it is a floating-point batch long enough for one frame."""
    if waveform.ndim != 2 or not waveform.is_floating_point():
        raise UserError(
            f"waveform is {str(waveform.dtype).removeprefix('torch.')} {tuple(waveform.shape)}: "
            "give float32 (clips, samples) in [-1, 1]"
        )
    if waveform.shape[1] < min_samples:
        raise UserError(f"clip of {waveform.shape[1]} samples is too short: at least {min_samples} samples are needed")
    return waveform


def encoder_sizes(embed_dim: int | None, depth: int | None, num_heads: int | None, where: str) -> dict[str, int]:
    """Return the sizes of an encoder: those given, else the published base model's; heads are 64 wide."""
    width = embed_dim or EMBED_DIM
    if num_heads is None and width % HEAD_DIM:
        raise UserError(f"{where}: the number of heads is stated nowhere and width {width} is unusual: give num_heads")
    return {"embed_dim": width, "depth": depth or DEPTH, "num_heads": num_heads or width // HEAD_DIM}


def pool_tokens(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of (B, N, D) tokens over N, each (B, D) float32."""
    tokens = tokens.float()
    mean = tokens.mean(dim=1)
    # Two passes: the mean of squares less the squared mean would cancel.
    variance = (tokens - mean.unsqueeze(1)).square().mean(dim=1)
    return mean, variance.sqrt()


class PatchProjection(nn.Conv2d):
    """Convolution whose stride is its kernel, as one matrix product: (B, 1, H, W) -> (B, rows, columns, embed_dim).

    A product stays float32 on a GPU, where cuDNN would silently use TF32 for the same convolution. Trailing rows and
    columns that fill no patch are dropped, as the convolution does.
    """

    def __init__(self, embed_dim: int, patch: int = 16) -> None:
        super().__init__(1, embed_dim, kernel_size=patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        size = self.kernel_size[0]
        rows, columns = image.shape[2] // size, image.shape[3] // size
        image = image[:, 0, : rows * size, : columns * size]
        patches = image.unflatten(1, (rows, size)).unflatten(3, (columns, size)).transpose(2, 3).flatten(3)
        return F.linear(patches, self.weight.flatten(1), self.bias)
