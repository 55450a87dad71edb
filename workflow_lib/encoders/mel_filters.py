"""Triangular mel filters, on Slaney's scale and on HTK's. No torch."""

import numpy as np
from numpy.typing import NDArray


def slaney_filters(
    bins: int, mels: int, low_hz: float, high_hz: float, sample_rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return triangles (mels, bins) of height 1 on Slaney's mel scale, and factors (mels, 1) that make their areas 1.

    librosa's default filters, to be multiplied and rounded as a reference does. Slaney, "Auditory Toolbox", Interval
    Research technical report 1998-010: equal areas instead of equal peaks.
    """
    mel = np.linspace(_slaney_mel(low_hz), _slaney_mel(high_hz), mels + 2)
    edges_hz = np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))
    return _triangles(edges_hz, bins, sample_rate), (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]


def htk_filters(bins: int, mels: int, low_hz: float, high_hz: float, sample_rate: int) -> NDArray[np.float64]:
    """Return triangles (mels, bins) of height 1 on HTK's scale, mel = 2595 log10(1 + f / 700 Hz).

    A band that is narrower than the distance of two bins may hold none: its row is 0.
    """
    low_mel, high_mel = 2595.0 * np.log10(1.0 + np.array([low_hz, high_hz]) / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(low_mel, high_mel, mels + 2) / 2595.0) - 1.0)
    return _triangles(edges_hz, bins, sample_rate)


def _triangles(edges_hz: NDArray[np.float64], bins: int, sample_rate: int) -> NDArray[np.float64]:
    """Rise from each edge to the next and fall to the one after it: edges (mels + 2,) -> (mels, bins)."""
    bins_hz = np.fft.rfftfreq(2 * (bins - 1), 1.0 / sample_rate)
    distance_hz, width_hz = edges_hz[:, None] - bins_hz, np.diff(edges_hz)[:, None]
    rising, falling = -distance_hz[:-2] / width_hz[:-1], distance_hz[2:] / width_hz[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def _slaney_mel(hz: float) -> float:
    """Slaney's scale: linear up to 1 kHz (15 mel), 27 mel for each factor of 6.4 above."""
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + np.log(hz / 1000.0) / (np.log(6.4) / 27.0)
