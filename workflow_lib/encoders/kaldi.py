"""Kaldi's log-mel filterbank over a batch of clips, equal to `torchaudio.compliance.kaldi.fbank` on each of them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance.kaldi import get_mel_banks

SAMPLE_RATE = 16000
FRAME_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
FFT_SAMPLES = 512
PRE_EMPHASIS = 0.97
LOWEST_HZ = 20.0
ENERGY_FLOOR = torch.finfo(torch.float32).eps  # Kaldi's; its logarithm, -15.94, is the value of digital silence


class KaldiFbank(nn.Module):
    """(B, samples) -> (B, 1 + (samples - 400) // 160, mel_bins): Hann window, power, natural logarithm, no dither."""

    window: Tensor
    mel: Tensor

    def __init__(self, mel_bins: int = 128) -> None:
        super().__init__()
        # Neither is part of a checkpoint; the device is named because encoders are built under the meta device.
        window = torch.hann_window(FRAME_SAMPLES, periodic=False, device="cpu")
        banks, _ = get_mel_banks(mel_bins, FFT_SAMPLES, SAMPLE_RATE, LOWEST_HZ, 0.0, 100.0, -500.0, 1.0)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("mel", F.pad(banks, (0, 1)).T.contiguous(), persistent=False)  # the Nyquist bin weighs 0

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):  # log-mel needs float32 whatever the encoder runs in
            if waveform.is_cuda:
                return self._log_mel(waveform.float())
            # One by one, a clip stays in the cache and its bits cannot depend on its neighbours.
            return torch.stack([self._log_mel(clip) for clip in waveform.float()])

    def _log_mel(self, waveform: Tensor) -> Tensor:
        """Log-mel (..., F, mel_bins) of (..., samples): frames without their mean, pre-emphasised, windowed, padded."""
        frames = waveform.unfold(-1, FRAME_SAMPLES, HOP_SAMPLES)
        frames = frames - frames.mean(-1, keepdim=True)
        # The first sample of a frame is its own predecessor.
        emphasised = frames - PRE_EMPHASIS * torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
        windowed = F.pad(emphasised * self.window, (0, FFT_SAMPLES - FRAME_SAMPLES))
        power = torch.fft.rfft(windowed).abs().pow(2)
        return (power @ self.mel).clamp_min(ENERGY_FLOOR).log()
