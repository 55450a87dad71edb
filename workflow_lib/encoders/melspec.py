"""Power mel spectrograms of CED and M2D: centred frames, reflected ends, always float32."""

import torch
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
