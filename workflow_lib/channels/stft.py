"""Short-time Fourier transform and its inverse: periodic Hann window, half overlap, mirrored ends, float64."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from workflow_lib.errors import UserError

WINDOW_SAMPLES = 1024
FRAMES_AT_ONCE = 32  # frames whose windowed samples and spectra fit the cache

Spectrum = NDArray[np.complex128]


def stft(waveform: ArrayLike, window_samples: int = WINDOW_SAMPLES) -> Spectrum:
    """Spectra (1 + samples // hop, window_samples // 2 + 1) complex128 of one channel (samples,).

    The hop is half a window and frame t is centred on sample t * hop, as in `torch.stft` with center=True. The array is
    a transposed view: in memory, the frames of a frequency lie side by side, as cancellation reads them. UserError for
    a clip of fewer than window_samples // 2 + 1 samples, which cannot be mirrored.
    """
    half = window_samples // 2
    samples = np.asarray(waveform, dtype=np.float64)
    if samples.ndim != 1:
        raise UserError(f"an array of shape {samples.shape}: pass one channel (samples,)")
    if len(samples) < half + 1:
        raise UserError(f"clip of {len(samples)} samples: a window of {window_samples} needs at least {half + 1}")
    frames = sliding_window_view(np.pad(samples, half, mode="reflect"), window_samples)[::half]
    window = hann(window_samples)
    spectrum = np.empty((half + 1, len(frames)), dtype=np.complex128)
    # The same array for every part: new ones would cost as much as the transforms.
    windowed = np.empty((FRAMES_AT_ONCE, window_samples))
    for begin in range(0, len(frames), FRAMES_AT_ONCE):
        part = np.multiply(frames[begin : begin + FRAMES_AT_ONCE], window, out=windowed[: len(frames) - begin])
        np.fft.rfft(part, out=spectrum[:, begin : begin + len(part)].T)
    return spectrum.T


def istft(
    spectrum: ArrayLike, samples: int, window_samples: int = WINDOW_SAMPLES, least_coverage: float = 0.0
) -> NDArray[np.float64]:
    """The waveform (samples,) of spectra (frames, bins) by weighted overlap-add: the inverse of `stft`.

    The sum of windowed frames is divided by the sum of squared windows. The latter nears zero at the end of a clip
    whose length is just below a multiple of the hop; where it is less than `least_coverage`, the result is faded out
    instead of amplified, which matters for spectra that are no clip's.
    """
    half = window_samples // 2
    spectrum = np.asarray(spectrum, dtype=np.complex128)
    window = hann(window_samples)
    total = np.zeros((len(spectrum) + 1, half))  # each frame covers two rows
    for begin in range(0, len(spectrum), FRAMES_AT_ONCE):
        part = np.fft.irfft(spectrum[begin : begin + FRAMES_AT_ONCE], n=window_samples)
        part *= window
        total[begin : begin + len(part)] += part[:, :half]
        total[begin + 1 : begin + 1 + len(part)] += part[:, half:]
    coverage = np.zeros_like(total)
    coverage[:-1] += window[:half] ** 2
    coverage[1:] += window[half:] ** 2
    inside = slice(half, half + samples)
    return total.ravel()[inside] / np.maximum(coverage.ravel()[inside], least_coverage)


@lru_cache(maxsize=8)
def hann(window_samples: int) -> NDArray[np.float64]:
    """Periodic Hann window (window_samples,), read-only."""
    window = np.sin(np.pi / window_samples * np.arange(window_samples)) ** 2
    window.setflags(write=False)
    return window
