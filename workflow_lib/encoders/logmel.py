"""Log-mel statistics: an encoder without weights. No torch.

Power spectra of a periodic Hann window with half its length between frames and reflected ends, HTK mel bands without
normalisation, 10 log10 of at least 1e-10; per channel five statistics over the frames of the whole clip, in float64.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from workflow_lib.channels import Cancellation, cancelled_spectrum, channel_waveforms, stft
from workflow_lib.config.channel_names import CANCELLED, CHANNELS
from workflow_lib.encoders.mel_filters import htk_filters
from workflow_lib.errors import UserError

SAMPLE_RATE = 16000
FLOOR_POWER = 1e-10
STATISTICS = ("mean", "std", "power", "p95", "delta_std")


class LogMel:
    """Log-mel frames of the channels of a clip, and their statistics."""

    name = "logmel"

    def __init__(self, *, mels: int, low_hz: float, high_hz: float, window_samples: int) -> None:
        if not 0 <= low_hz < high_hz <= SAMPLE_RATE / 2:
            raise UserError(f"logmel: bands from {low_hz:g} to {high_hz:g} Hz: write 0 <= low_hz < high_hz <= 8000")
        self.mels, self.window_samples = mels, window_samples
        # Each bin lies in two triangles at most: the sparse product is 50 times smaller, and no BLAS decides its order.
        self._filters = csr_array(htk_filters(window_samples // 2 + 1, mels, low_hz, high_hz, SAMPLE_RATE))

    def frames(self, spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Log-mel frames (bands, frames) in dB of a spectrum (frames, bins) as `channels.stft` gives it."""
        power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)
        mel = self._filters @ power
        return 10.0 * np.log10(np.maximum(mel, FLOOR_POWER, out=mel), out=mel)

    def spectra(
        self, recorded: NDArray[np.floating], channels: Sequence[str], cancellation: Cancellation
    ) -> dict[str, NDArray[np.complex128]]:
        """Spectrum (frames, bins) of each of the channels of a clip (recorded channels, samples)."""
        if CANCELLED in channels and cancellation.window_samples != self.window_samples:
            heard = channel_waveforms(np.asarray(recorded, np.float32), channels, cancellation)
            return {name: stft(row, self.window_samples) for name, row in zip(channels, heard, strict=True)}
        wanted = CHANNELS if CANCELLED in channels else channels
        if missing := [name for name in wanted if CHANNELS.index(name) >= len(recorded)]:
            raise UserError(f"the clip has no channel {', '.join(missing)}: choose a view without it")
        found = {name: stft(recorded[CHANNELS.index(name)], self.window_samples) for name in wanted}
        if CANCELLED in channels:
            found[CANCELLED] = cancelled_spectrum(
                found["near"], found["far"], cancellation.taps, cancellation.ridge, cancellation.causal
            )
        return {name: found[name] for name in channels}

    def statistics(self, spectrum: NDArray[np.complex128]) -> dict[str, NDArray[np.float64]]:
        """Statistics of one channel over its frames, each (bands,) float64 in dB: `frame_statistics` of `frames`."""
        return frame_statistics(self.frames(spectrum))


def frame_statistics(decibel: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The five statistics over the frames of (bands, frames) in dB, each (bands,) float64.

    mean and std (population); power: 10 log10 of the mean of 10^(L/10), plus 1e-10, which loud frames dominate; p95:
    the 95th percentile, linearly interpolated; delta_std: the deviation of the differences between neighbouring frames.
    """
    differences = np.diff(decibel, axis=1)
    return {
        "mean": decibel.mean(axis=1),
        "std": decibel.std(axis=1),
        "power": 10.0 * np.log10((10.0 ** (decibel / 10.0)).mean(axis=1) + FLOOR_POWER),
        "p95": np.percentile(decibel, 95, axis=1),
        "delta_std": differences.std(axis=1) if differences.size else np.zeros(len(decibel)),
    }


def load_logmel(*, mels: int = 128, low_hz: float = 0.0, high_hz: float = 8000.0, window_samples: int = 1024) -> LogMel:
    """Build the front end: `mels` bands from `low_hz` to `high_hz`, a window of `window_samples` at 16 kHz."""
    return LogMel(mels=mels, low_hz=low_hz, high_hz=high_hz, window_samples=window_samples)
