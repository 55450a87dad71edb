"""Power mel spectrograms of CED and M2D (centred frames, reflected ends, always float32), and Slaney's mel filters."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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


def slaney_filters(
    bins: int, mels: int, low_hz: float, high_hz: float, sample_rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return triangles (mels, bins) of height 1 on Slaney's mel scale, and factors (mels, 1) that make their areas 1.

    librosa's default filters, to be multiplied and rounded as a reference does. Slaney, "Auditory Toolbox", Interval
    Research technical report 1998-010: equal areas instead of equal peaks.
    """
    mel = np.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), mels + 2)
    edges_hz = np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))
    bins_hz = np.fft.rfftfreq(2 * (bins - 1), 1.0 / sample_rate)
    distance_hz, width_hz = edges_hz[:, None] - bins_hz, np.diff(edges_hz)[:, None]
    rising, falling = -distance_hz[:-2] / width_hz[:-1], distance_hz[2:] / width_hz[1:]
    return np.maximum(0.0, np.minimum(rising, falling)), (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear up to 1 kHz (15 mel), 27 mel for each factor of 6.4 above."""
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + np.log(hz / 1000.0) / (np.log(6.4) / 27.0)
