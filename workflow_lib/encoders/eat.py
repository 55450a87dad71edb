"""EAT (Chen et al. 2024, arXiv:2401.03497): front end, post-norm audio transformer, and its published file layouts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

import numpy as np
import torch
from timm.layers import Attention, Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from workflow_lib.encoders.base import (
    DEPTH,
    EMBED_DIM,
    Encoder,
    Length,
    PatchProjection,
    check_waveform,
    encoder_sizes,
    join_chunks,
    run_layers,
)
from workflow_lib.encoders.checkpoint import Checkpoint, read_checkpoint
from workflow_lib.encoders.kaldi import FRAME_SAMPLES, KaldiFbank
from workflow_lib.errors import UserError

MEL_BINS = 128
PATCH = 16
MEL_PATCHES = MEL_BINS // PATCH
REFERENCE_FRAMES = 1024
LOG_MEL_MEAN, LOG_MEL_STD = -4.268, 4.569  # of AudioSet; the reference divides by twice the standard deviation
LAYER_NORM_EPS = 1e-6
TABLE_ROWS = 768 * MEL_PATCHES  # of EAT-Base; 64 * 8 in the oldest release


class PostNormBlock(nn.Module):
    """Transformer block with norms after the residual sums; the MLP's residual starts after the first norm."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.attn = Attention(dim, num_heads, qkv_bias=True)
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, 4 * dim)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.mlp(x))


class Eat(Encoder):
    """EAT encoder: (B, samples) -> (B, 1, frames, 128) -> patch tokens, token = 8 * time + mel, low mels first.

    `length="native"` rounds the clip's own frames up to whole patches; `"reference"` pads or crops to 1024 frames
    (10.25 s). A clip longer than the position table (122.9 s) is encoded in chunks as long as the table.
    """

    name = "eat"
    positions: Tensor

    def __init__(self, *, embed_dim: int, depth: int, num_heads: int, table_rows: int, length: Length) -> None:
        super().__init__(embed_dim=embed_dim, depth=depth, num_heads=num_heads, length=length)
        self.fbank = KaldiFbank(MEL_BINS)
        with torch.device("meta"):
            self.patch_embed = PatchProjection(embed_dim, PATCH)
            self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
            self.register_buffer("positions", torch.empty(1, table_rows, embed_dim))  # fixed in the reference too
            self.pre_norm = nn.LayerNorm(embed_dim, eps=LAYER_NORM_EPS)
            self.blocks = nn.ModuleList(PostNormBlock(embed_dim, num_heads) for _ in range(depth))

    def frontend(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, 1, frames, 128) normalised log-mel, frames a multiple of 16."""
        waveform = check_waveform(waveform, FRAME_SAMPLES)
        # In double precision, or the mean would depend on how many clips and threads share the sum.
        centred = waveform - waveform.mean(-1, keepdim=True, dtype=torch.float64).to(waveform.dtype)
        log_mel = self.fbank(centred)
        frames = log_mel.shape[1]
        wanted = REFERENCE_FRAMES if self.length == "reference" else -(-frames // PATCH) * PATCH
        log_mel = F.pad(log_mel, (0, 0, 0, wanted - frames))  # zeros in log-mel, or a crop of the end
        return ((log_mel - LOG_MEL_MEAN) / (2 * LOG_MEL_STD)).unsqueeze(1)

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode (B, 1, frames, 128), or without the 1, each chunk on its own; see `tokens`."""
        features = features.unsqueeze(1) if features.ndim == 3 else features
        shape = tuple(features.shape)
        if len(shape) != 4 or (shape[1], shape[3]) != (1, MEL_BINS) or shape[2] % PATCH:
            raise UserError(f"EAT features are {shape}: give (clips, 1, a multiple of {PATCH}, {MEL_BINS})")
        chunk_frames = self.positions.shape[1] // MEL_PATCHES * PATCH
        cls = self.cls_token.expand(len(features), -1, -1)  # has no position
        chunks = []
        for chunk in features.split(chunk_frames, dim=2):
            x = self.pre_norm(torch.cat((cls, self.embed(chunk)), dim=1))
            chunks.append(run_layers(self.blocks, x, blocks, leading=1))
        return join_chunks(chunks, blocks)

    def embed(self, features: Tensor) -> Tensor:
        """(B, 1, frames, 128) -> (B, N, embed_dim): patches with their positions, before CLS and the first norm."""
        patches = self.patch_embed(features).flatten(1, 2)
        return patches + self.positions[:, : patches.shape[1]]


def sincos_table(rows: int, embed_dim: int) -> Tensor:
    """EAT's position table (1, rows, embed_dim) float32: the first half of the columns codes mel, the second time."""
    if embed_dim % 4:
        raise UserError(f"embed_dim {embed_dim} is not a multiple of 4, which EAT's position table needs")
    row = np.arange(rows)
    # In float32 throughout, as the published table was made: at high indices double precision differs by 1e-4.
    frequency = np.float32(1) / np.float32(10000) ** (np.arange(embed_dim // 4, dtype=np.float32) / (embed_dim / 4))
    quarters = []
    for index in (row % MEL_PATCHES, row // MEL_PATCHES):
        angle = np.outer(index.astype(np.float32), frequency)
        quarters += [np.sin(angle), np.cos(angle)]
    return torch.from_numpy(np.concatenate(quarters, axis=1))[None]


@dataclass(frozen=True, eq=False)
class _Layout:
    """How a published file names tensors: a prefix on every name, other names for parts, and what is not needed."""

    prefix: str
    parts: Mapping[str, str]
    ignorable: frozenset[str]

    def name(self, own: str) -> str:
        for part, theirs in self.parts.items():
            if own.startswith(part):
                return self.prefix + theirs + own.removeprefix(part)
        return self.prefix + own


_HUGGING_FACE_PARTS = {
    "cls_token": "extra_tokens",
    "positions": "fixed_positional_encoder.positions",
    "patch_embed": "local_encoder.proj",
}
# IMAGE is a leftover of the code that EAT grew from; it holds the audio.
_FAIRSEQ_PARTS = {own: f"modality_encoders.IMAGE.{theirs}" for own, theirs in _HUGGING_FACE_PARTS.items()}
_FAIRSEQ_PARTS["pre_norm"] = "modality_encoders.IMAGE.context_encoder.norm"
_HEADS = [f"{module}.{tensor}" for module in ("fc_norm", "head") for tensor in ("weight", "bias")]
_DECODER = [
    f"modality_encoders.IMAGE.decoder.{module}.{tensor}"
    for module in (*(f"blocks.{number}.0" for number in range(6)), "proj")
    for tensor in ("weight", "bias")
]
_LAYOUTS = (
    # Hugging Face, pretrained or finetuned
    _Layout("model.", _HUGGING_FACE_PARTS, frozenset(f"model.{name}" for name in _HEADS)),
    # fairseq pretraining; `_ema` is the teacher, a whole second encoder with other values
    _Layout("", _FAIRSEQ_PARTS, frozenset([*_DECODER, "_ema"])),
    # fairseq finetuning
    _Layout("model.", _FAIRSEQ_PARTS, frozenset(_HEADS)),
)


def load_eat(
    checkpoint: str | Path,
    *,
    length: Length = "native",
    seed: int = 0,
    embed_dim: int | None = None,
    depth: int | None = None,
    num_heads: int | None = None,
    trust_pickle: Sequence[str] = (),
) -> Eat:
    """Load EAT from a file or folder, or draw one (`"random"`, EAT-Base unless sizes are given): see `load_encoder`."""
    if checkpoint == "random":
        sizes = encoder_sizes(embed_dim, depth, num_heads, "random EAT")
        encoder = Eat(**sizes, table_rows=TABLE_ROWS, length=length)
        encoder.draw_weights(seed)
        encoder.positions = sincos_table(TABLE_ROWS, encoder.embed_dim)
        return encoder.eval()
    file = read_checkpoint(checkpoint, trust_pickle)
    layout = _recognise(file)
    sizes = _sizes(file, layout, {"embed_dim": embed_dim, "depth": depth, "num_heads": num_heads})
    table, rows = file.tensors.get(layout.name("positions")), TABLE_ROWS
    if table is not None and table.ndim == 3 and table.shape[1] and table.shape[1] % MEL_PATCHES == 0:
        rows = table.shape[1]
    encoder = Eat(**sizes, table_rows=rows, length=length)
    encoder.load_weights(file, {own: layout.name(own) for own in encoder.state_dict()}, layout.ignorable)
    return encoder.eval()


def _recognise(checkpoint: Checkpoint) -> _Layout:
    """Return the layout that shares most tensor names with the file."""
    own = ["cls_token", "positions", "patch_embed.weight", "patch_embed.bias", "pre_norm.weight", "pre_norm.bias"]
    own += [f"blocks.{number}.attn.qkv.weight" for number in range(DEPTH)]
    shared = {layout: sum(layout.name(name) in checkpoint.tensors for name in own) for layout in _LAYOUTS}
    best = max(_LAYOUTS, key=lambda layout: shared[layout])
    if shared[best] < len(own) // 2:
        names = ", ".join(sorted([*checkpoint.tensors, *checkpoint.others])[:3]) or "nothing"
        raise UserError(f"{checkpoint.path}: this is no EAT checkpoint (it holds {names}, ...): give an EAT file")
    return best


def _sizes(checkpoint: Checkpoint, layout: _Layout, given: Mapping[str, int | None]) -> dict[str, int]:
    """Take the width from the tensors, depth and heads from the file's configuration; the caller must agree."""
    stated = next(_stated_sizes(checkpoint.extras), {})
    norms = (checkpoint.tensors.get(layout.name(f"blocks.{number}.norm1.bias")) for number in range(DEPTH))
    width = mode([len(norm) for norm in norms if norm is not None and norm.ndim == 1] or [EMBED_DIM])
    heads = stated.get("num_heads", given["num_heads"])
    found = encoder_sizes(width, stated.get("depth"), heads, str(checkpoint.path))
    for source, sizes in (("the caller", given), ("its configuration", stated)):
        for name, size in sizes.items():
            if name in found and size not in (None, found[name]):
                raise UserError(
                    f"{checkpoint.path}: {name} is {found[name]}, but {source} says {size}: correct one of them"
                )
    return found


def _stated_sizes(configuration: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a configuration, outermost first, that state the sizes of an encoder."""
    level = [configuration]
    while level:
        mappings = [entry for entry in level if isinstance(entry, Mapping)]
        yield from (entry for entry in mappings if isinstance(entry.get("num_heads"), int) and "embed_dim" in entry)
        level = [value for entry in mappings for value in entry.values()]
