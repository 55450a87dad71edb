"""CED: a vision transformer distilled for audio tagging (Dinkel et al., arXiv:2308.11957), as published.

Length policies. Up to 1012 frames (10.11 s) a clip is one chunk of its own length under both: nothing is padded and,
as in the reference, up to 15 trailing frames that fill no patch are unused. Longer clips are cut every 1012 frames, and
the last chunk is padded with zeros: to a whole patch (`native`) or to 1012 frames (`reference`, where that padding
enters the statistics).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from workflow_lib.encoders.base import Length, check_waveform, encoder_sizes
from workflow_lib.encoders.checkpoint import read_checkpoint
from workflow_lib.encoders.melspec import PowerMel
from workflow_lib.encoders.prenorm import PATCH, PreNormEncoder, pad_frames, round_up, sizes_in

_SAMPLE_RATE = 16000
_MELS = 64
_N_FFT = 512
_HOP_SAMPLES = 160
_CHUNK_FRAMES = 1012
_COLUMNS = _CHUNK_FRAMES // PATCH  # of the published position table
_FLOOR_POWER = 1e-10
_TOP_DB = 120.0
_NORM_EPS = 1e-5
_RANDOM_STD_DB = 20.0  # a plausible spread of the dB values, for untrained variants

_HF_PREFIX = "encoder."
_HEAD = tuple(f"outputlayer.{part}.{kind}" for part in (0, 1) for kind in ("weight", "bias"))
# Front-end constants that are computed again, a counter of the training, and the tagging head: no token needs them.
_IGNORABLE = ("front_end.0.spectrogram.window", "front_end.0.mel_scale.fb", "init_bn.1.num_batches_tracked", *_HEAD)
_IGNORABLE_HF = ("encoder.init_bn.num_batches_tracked", *_HEAD)


class MelNorm(nn.Module):
    """Batch norm per mel band with fixed statistics in every mode: part of the front end, never trained."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(mels))

    def forward(self, decibel: Tensor) -> Tensor:
        return F.batch_norm(
            decibel, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=_NORM_EPS
        )

    def fill(self) -> None:
        """Give the statistics of an untrained encoder: any two-digit dB value comes out near the unit range."""
        self.weight, self.bias = torch.ones(_MELS), torch.zeros(_MELS)
        self.running_mean, self.running_var = torch.zeros(_MELS), torch.full((_MELS,), _RANDOM_STD_DB**2)


class Ced(PreNormEncoder):
    """CED with its front end: features (B, 64, frames), tokens of a 4 x columns patch grid, no CLS."""

    name = "ced"
    mels = _MELS
    min_frames = PATCH

    def __init__(self, *, embed_dim: int, depth: int, num_heads: int, length: Length) -> None:
        super().__init__(embed_dim=embed_dim, depth=depth, num_heads=num_heads, length=length)
        with torch.device("meta"):
            self.time_pos_embed = nn.Parameter(torch.empty(1, embed_dim, 1, _COLUMNS))
            self.freq_pos_embed = nn.Parameter(torch.empty(1, embed_dim, _MELS // PATCH, 1))
            self.init_bn = MelNorm(_MELS)
        filterbank = melscale_fbanks(_N_FFT // 2 + 1, 0.0, _SAMPLE_RATE / 2, _MELS, _SAMPLE_RATE, mel_scale="htk")
        self.power_mel = PowerMel(torch.hann_window(_N_FFT), filterbank, _HOP_SAMPLES)

    def frontend(self, waveform: Tensor) -> Tensor:
        """Turn (B, samples) in [-1, 1] at 16 kHz into batch-normed log-mel (B, 64, 1 + samples // 160), whole clips."""
        check_waveform(waveform, (PATCH - 1) * _HOP_SAMPLES)
        return self.init_bn(power_to_db(self.power_mel(waveform)))

    def split(self, features: Tensor) -> list[Tensor]:
        """Cut after every 1012 frames, as the length policy says."""
        frames = features.shape[-1]
        if frames <= _CHUNK_FRAMES:
            return [features]
        *full, last = features.split(_CHUNK_FRAMES, dim=-1)
        if self.length == "native":
            return [*full, pad_frames(last, min(round_up(last.shape[-1]), _CHUNK_FRAMES))]
        # The reference pads the last chunk only if it is short, and forgets it if it is not.
        return full if last.shape[-1] == _CHUNK_FRAMES else [*full, pad_frames(last, _CHUNK_FRAMES)]

    def embed(self, chunk: Tensor) -> Tensor:
        """Add time and mel positions, which start again in every chunk."""
        grid = self.patches(chunk)
        positions = self.time_pos_embed[..., : grid.shape[2]] + self.freq_pos_embed
        return (grid + positions.permute(0, 2, 3, 1)).flatten(1, 2)


def power_to_db(power: Tensor) -> Tensor:
    """Decibels of (B, mels, frames), at most 120 dB below each clip's own maximum.

    The reference takes the maximum over the whole batch; per clip is what it does at batch size 1, and a clip then
    does not depend on its neighbours.
    """
    decibel = 10 * power.clamp(min=_FLOOR_POWER).log10()
    return decibel.maximum(decibel.amax(dim=(1, 2), keepdim=True) - _TOP_DB)


def load_ced(
    checkpoint: str | Path,
    *,
    length: Length = "native",
    seed: int = 0,
    embed_dim: int | None = None,
    depth: int | None = None,
    num_heads: int | None = None,
    trust_pickle: Sequence[str] = (),
) -> Ced:
    """Load the original `.pt` or the Hugging Face file, recognised by names, or draw an untrained CED (`"random"`)."""
    if checkpoint == "random":
        encoder = Ced(**encoder_sizes(embed_dim, depth, num_heads, "ced"), length=length)
        encoder.draw_weights(seed)
        encoder.init_bn.fill()
        return encoder.eval()
    file = read_checkpoint(checkpoint, trust_pickle)
    hugging_face = any(name.startswith(_HF_PREFIX) for name in file.tensors)
    prefix = _HF_PREFIX if hugging_face else ""
    encoder = Ced(**sizes_in(file, prefix, "CED", embed_dim, depth, num_heads), length=length)
    names = {own: prefix + own for own in encoder.state_dict()}
    if not hugging_face:
        # In the original the batch norm is the second of a sequence, behind a rearrangement without weights.
        names = {own: theirs.replace("init_bn.", "init_bn.1.") for own, theirs in names.items()}
    encoder.load_weights(file, names, _IGNORABLE_HF if hugging_face else _IGNORABLE)
    return encoder.eval()
