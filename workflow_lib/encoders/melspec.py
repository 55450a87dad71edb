"""Power mel spectrograms as CED and M2D take them: centred frames, reflected ends, always float32."""

import math

import torch
from torch import Tensor, nn

_SLANEY_HZ_PER_MEL = 200.0 / 3  # below the break frequency the Slaney scale is linear
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = math.log(6.4) / 27  # above it, 27 mels per factor of 6.4


class PowerMel(nn.Module):
    """Waveform (B, samples) -> mel-weighted |STFT|^2 (B, mels, 1 + samples // hop), without normalisation."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, window: Tensor, filterbank: Tensor, hop_samples: int) -> None:
        """Take the window (n_fft,) and the filterbank (n_fft // 2 + 1, mels), both float32."""
        super().__init__()
        self.hop_samples = hop_samples
        # Constants, not weights: they stay out of state_dict and so out of the weights' digest.
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)

    @property
    def min_samples(self) -> int:
        """Shortest clip whose ends can be reflected."""
        return len(self.window) // 2 + 1

    def forward(self, waveform: Tensor) -> Tensor:
        # The references' front ends run in float32 also where the encoder runs under autocast.
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(),
                n_fft=len(self.window),
                hop_length=self.hop_samples,
                window=self.window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            return (power.transpose(1, 2) @ self.filterbank).transpose(1, 2)


def slaney_filterbank(bins: int, mels: int, low_hz: float, high_hz: float, sample_rate: int) -> Tensor:
    """Return the (bins, mels) float32 filterbank of librosa's default: Slaney mel scale, triangles of area 1.

    Computed in float64 and rounded once, as nnAudio does; torchaudio's float32 one differs by 1e-7.
    """
    mel = torch.linspace(_slaney_mel(low_hz), _slaney_mel(high_hz), mels + 2, dtype=torch.float64)
    edge_hz = _slaney_hz(mel)
    bin_hz = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64).unsqueeze(1)
    width_hz = edge_hz.diff()
    rising = (bin_hz - edge_hz[:-2]) / width_hz[:-1]
    falling = (edge_hz[2:] - bin_hz) / width_hz[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (edge_hz[2:] - edge_hz[:-2])).float()


def _slaney_mel(hz: float) -> float:
    if hz < _SLANEY_BREAK_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + math.log(hz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP


def _slaney_hz(mel: Tensor) -> Tensor:
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    logarithmic = _SLANEY_BREAK_HZ * torch.exp(_SLANEY_LOG_STEP * (mel - break_mel))
    return torch.where(mel < break_mel, mel * _SLANEY_HZ_PER_MEL, logarithmic)
