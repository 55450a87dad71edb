"""The pre-norm vision transformer that CED and M2D share: patches of a (mel, time) image, chunk by chunk."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from workflow_lib.encoders.base import (
    DEPTH,
    Encoder,
    Length,
    PatchProjection,
    encoder_sizes,
    join_chunks,
    run_layers,
)
from workflow_lib.encoders.checkpoint import Checkpoint
from workflow_lib.errors import UserError

PATCH = 16  # frames and mel bands a patch spans
_EPS = 1e-6  # of every LayerNorm


class PreNormEncoder(Encoder):
    """Blocks x + attention(norm1(x)), then x + mlp(norm2(x)); a block's output is the residual stream, without a norm.

    A subclass cuts features into chunks (`split`) and turns one chunk into tokens (`embed`). The final `norm` belongs
    to the published model; no block's output passes through it.
    """

    mels: int
    min_frames = 1
    leading_tokens = 0  # tokens in front of the patches that the features leave out (CLS)

    def __init__(self, *, embed_dim: int, depth: int, num_heads: int, length: Length) -> None:
        super().__init__(embed_dim=embed_dim, depth=depth, num_heads=num_heads, length=length)
        norm = partial(nn.LayerNorm, eps=_EPS)
        with torch.device("meta"):
            self.patch_embed = nn.ModuleDict({"proj": PatchProjection(embed_dim, PATCH)})
            self.blocks = nn.ModuleList(
                Block(embed_dim, num_heads, mlp_ratio=4.0, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]  # a factory
                for _ in range(depth)
            )
            self.norm = norm(embed_dim)

    def split(self, features: Tensor) -> list[Tensor]:
        """Cut (B, mels, frames) along time into the chunks that are encoded one by one, padded as the recipe says."""
        raise NotImplementedError

    def embed(self, chunk: Tensor) -> Tensor:
        """Turn one chunk (B, mels, frames) into the first block's input (B, leading + N, embed_dim)."""
        raise NotImplementedError

    def patches(self, chunk: Tensor) -> Tensor:
        """Project a chunk (B, mels, frames) to its patch grid (B, mels / 16, frames // 16, embed_dim)."""
        return self.patch_embed["proj"](chunk.unsqueeze(1))

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return {block: (B, N, embed_dim)}: chunk after chunk, and in each the mel row is the slow index."""
        features = check_features(features, self.mels, self.min_frames)
        parts = self.split(features)
        chunks = [run_layers(self.blocks, self.embed(part), blocks, self.leading_tokens) for part in parts]
        return chunks[0] if len(chunks) == 1 else join_chunks(chunks, blocks)


def check_features(features: Tensor, mels: int, min_frames: int) -> Tensor:
    """Return features (B, mels, frames), also if they come as an image (B, 1, mels, frames)."""
    image = features.squeeze(1) if features.ndim == 4 and features.shape[1] == 1 else features
    if image.ndim != 3 or image.shape[1] != mels or image.shape[2] < min_frames:
        wanted = f"(clips, {mels}, at least {min_frames} frames)"
        raise UserError(f"features are {tuple(features.shape)}: give what frontend returns, {wanted}")
    return image


def pad_frames(features: Tensor, frames: int) -> Tensor:
    """Append zeros to (B, mels, T) up to `frames`; after normalisation, as both references do."""
    if frames == features.shape[-1]:
        return features
    return F.pad(features, (0, frames - features.shape[-1]))


def round_up(frames: int) -> int:
    """Return the next multiple of the patch."""
    return -(-frames // PATCH) * PATCH


def sizes_in(
    checkpoint: Checkpoint, prefix: str, encoder: str, embed_dim: int | None, depth: int | None, num_heads: int | None
) -> dict[str, int]:
    """Return the sizes of the encoder in a file; embed_dim, depth and num_heads are those that the caller states."""
    width = embed_dim or _width_of(checkpoint, prefix, encoder)
    return encoder_sizes(width, depth, _stated_heads(checkpoint, num_heads), str(checkpoint.path))


def _width_of(checkpoint: Checkpoint, prefix: str, encoder: str) -> int:
    """Read the token width from a checkpoint: what most norms agree on, so that one wrong tensor does not mislead."""
    norms = [f"{prefix}norm.weight", f"{prefix}norm.bias"]
    norms += [f"{prefix}blocks.{block}.{norm}.weight" for block in range(DEPTH) for norm in ("norm1", "norm2")]
    tensors = [checkpoint.tensors[name] for name in norms if name in checkpoint.tensors]
    widths = Counter(len(tensor) for tensor in tensors if tensor.ndim == 1)
    if not widths:
        raise UserError(f"{checkpoint.path}: holds no tensor of a {encoder} encoder: give a published {encoder} file")
    return widths.most_common(1)[0][0]


def _stated_heads(checkpoint: Checkpoint, num_heads: int | None) -> int | None:
    """Return the number of heads the caller or the `config.json` beside the file states, if any does."""
    stated = checkpoint.extras.get("num_heads")
    if not isinstance(stated, int):
        return num_heads
    if num_heads not in (None, stated):
        raise UserError(f"{checkpoint.path}: its config.json says {stated} heads, the caller {num_heads}: correct one")
    return stated
