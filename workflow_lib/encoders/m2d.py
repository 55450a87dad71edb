"""M2D-AS: Masked Modeling Duo trained with AudioSet labels (Niizumi et al., ICASSP 2023, arXiv:2210.14648).

Length policies. The published recipe cuts a clip of any length into chunks (608 frames for `80x608`, 1001 for
`80x1001`) and pads the last one only to a whole patch, so `native` and `reference` are the same. A full chunk of 1001
frames holds 62 patches and 9 more frames (90 ms), which the published model leaves unused.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from workflow_lib.encoders.base import DEPTH, Length, check_waveform, encoder_sizes
from workflow_lib.encoders.checkpoint import Checkpoint, read_checkpoint
from workflow_lib.encoders.mel_filters import slaney_filters
from workflow_lib.encoders.melspec import PowerMel
from workflow_lib.encoders.prenorm import PATCH, PreNormEncoder, pad_frames, round_up, sizes_in
from workflow_lib.errors import UserError

_SAMPLE_RATE = 16000
_MELS = 80
_ROWS = _MELS // PATCH
_N_FFT = 400
_HOP_SAMPLES = 160
_LOW_HZ, _HIGH_HZ = 50.0, 8000.0
_LOG_OFFSET = torch.finfo(torch.float32).eps  # added to the power, not a floor
_NORM_STATS = (-7.1, 4.2)  # mean and standard deviation of the log-mel where a file states none
_CHUNK_FRAMES = {38: 608, 62: 1001}  # columns of the position table -> chunk of the published models
_DECODER_DEPTH = 8

_BACKBONE = "module.ar.runtime.backbone."
_BLOCK = tuple(
    f"{part}.{kind}"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
)
# Pre-training only: the teacher, the decoder, and the predictor of AudioSet labels.
_IGNORABLE_PRETRAINED = (
    "mask_token",
    "decoder_pos_embed",
    *(f"decoder_blocks.{block}.{name}" for block in range(_DECODER_DEPTH) for name in _BLOCK),
    *(f"target_blocks.{block}.{name}" for block in range(DEPTH) for name in _BLOCK),
    *(
        f"{part}.{kind}"
        for part in ("decoder_embed", "decoder_norm", "decoder_pred", "target_norm", "offline_predictor")
        for kind in ("weight", "bias")
    ),
)
# Recomputable front-end constants and the tagging head.
_IGNORABLE_FINETUNED = (
    *(f"module.ar.runtime.to_spec.{name}" for name in ("mel_basis", "stft.wsin", "stft.wcos", "stft.window_mask")),
    *(f"module.head.norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
    *(f"module.head.mlp.mlp.0.{kind}" for kind in ("weight", "bias")),
)


class M2d(PreNormEncoder):
    """M2D with its front end: features (B, 80, frames), tokens of a 5 x columns patch grid, a CLS inside only."""

    name = "m2d"
    mels = _MELS
    leading_tokens = 1
    norm_stats: Tensor

    def __init__(self, *, embed_dim: int, depth: int, num_heads: int, columns: int, length: Length) -> None:
        super().__init__(embed_dim=embed_dim, depth=depth, num_heads=num_heads, length=length)
        self.chunk_frames = _CHUNK_FRAMES[columns]
        with torch.device("meta"):
            self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
            self.pos_embed = nn.Parameter(torch.empty(1, 1 + _ROWS * columns, embed_dim))
        self.register_buffer("norm_stats", torch.tensor(_NORM_STATS))
        # Filters and window are rounded once, as the reference's, which come from nnAudio and scipy.
        triangles, unit_area = slaney_filters(_N_FFT // 2 + 1, _MELS, _LOW_HZ, _HIGH_HZ, _SAMPLE_RATE)
        filterbank = torch.from_numpy(np.ascontiguousarray((triangles * unit_area).T, dtype=np.float32))
        self.power_mel = PowerMel(torch.hann_window(_N_FFT, dtype=torch.float64).float(), filterbank, _HOP_SAMPLES)

    def frontend(self, waveform: Tensor) -> Tensor:
        """Turn (B, samples) in [-1, 1] at 16 kHz into normalised log-mel (B, 80, 1 + samples // 160), whole clips."""
        check_waveform(waveform, self.power_mel.min_samples)
        mean, std = self.norm_stats
        return ((self.power_mel(waveform) + _LOG_OFFSET).log() - mean) / std

    def split(self, features: Tensor) -> list[Tensor]:
        """Cut after every 608 or 1001 frames; the last one is padded to a whole patch, at most to a full chunk."""
        *full, last = features.split(self.chunk_frames, dim=-1)
        return [*full, pad_frames(last, min(round_up(last.shape[-1]), self.chunk_frames))]

    def embed(self, chunk: Tensor) -> Tensor:
        """Add the positions of the first columns, which start again in every chunk, and put the CLS in front."""
        grid = self.patches(chunk)
        positions = self.pos_embed[:, 1:].unflatten(1, (_ROWS, -1))[:, :, : grid.shape[2]]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(grid), -1, -1)
        return torch.cat([cls, (grid + positions).flatten(1, 2)], dim=1)


def load_m2d(
    checkpoint: str | Path,
    *,
    length: Length = "native",
    seed: int = 0,
    embed_dim: int | None = None,
    depth: int | None = None,
    num_heads: int | None = None,
    chunk_frames: int = 608,
    trust_pickle: Sequence[str] = (),
) -> M2d:
    """Load M2D-AS as pre-trained (`80x608`) or fine-tuned (`80x1001 … AS-FT_enconly`), by names and shapes.

    With `"random"` an untrained one is drawn; `chunk_frames` (608 or 1001) selects which of the two it follows.
    """
    if checkpoint == "random":
        columns = {frames: columns for columns, frames in _CHUNK_FRAMES.items()}
        if chunk_frames not in columns:
            raise UserError(f"chunk_frames is {chunk_frames}: write one of {', '.join(map(str, columns))}")
        sizes = encoder_sizes(embed_dim, depth, num_heads, "m2d")
        encoder = M2d(**sizes, columns=columns[chunk_frames], length=length)
        encoder.draw_weights(seed)
        return encoder.eval()
    file = read_checkpoint(checkpoint, trust_pickle)
    finetuned = any(name.startswith(_BACKBONE) for name in file.tensors)
    prefix = _BACKBONE if finetuned else ""
    sizes = sizes_in(file, prefix, "M2D", embed_dim, depth, num_heads)
    encoder = M2d(**sizes, columns=_table_columns(file, prefix), length=length)
    names = {own: prefix + own for own in encoder.state_dict()}
    # The published default where a file states no normalisation, as in the reference's loader.
    file.tensors.setdefault(names["norm_stats"], torch.tensor(_NORM_STATS))
    encoder.load_weights(file, names, _IGNORABLE_FINETUNED if finetuned else _IGNORABLE_PRETRAINED)
    return encoder.eval()


def _table_columns(checkpoint: Checkpoint, prefix: str) -> int:
    """Return the columns of the position table, from which alone a file's chunk length is known."""
    name = f"{prefix}pos_embed"
    table = checkpoint.tensors.get(name)
    if table is None:
        raise UserError(f"{checkpoint.path}: the tensors are not those of M2D (missing: {name}): give a published file")
    rows = table.shape[1] if table.ndim == 3 else 0
    for columns in _CHUNK_FRAMES:
        if rows == 1 + _ROWS * columns:
            return columns
    known = " or ".join(str(1 + _ROWS * columns) for columns in _CHUNK_FRAMES)
    raise UserError(
        f"{checkpoint.path}: the tensors are not those of M2D-AS (wrong shape: {name} is {tuple(table.shape)}, "
        f"its rows are not {known}): give the 80x608 or the 80x1001 model"
    )
