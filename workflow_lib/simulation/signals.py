"""Building blocks of the simulated sounds: shafts, periodic waves, impacts, ringing structures, coloured noise."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft
from scipy.signal import lfilter

from workflow_lib.simulation import SAMPLE_RATE_HZ

TABLE_SIZE = 8192
WANDER_KNOTS_HZ = 4.0


class Mode(NamedTuple):
    """One resonance of a structure: it rings at `frequency_hz`, dies to 1/e in `decay_s`, starts with `gain`."""

    frequency_hz: float
    decay_s: float
    gain: float


def shaft_turns(
    rng: np.random.Generator, samples: int, rate_hz: float, offset: float = 0.01, wander: float = 0.003
) -> np.ndarray:
    """Angle of a shaft in turns, (samples,): random start, a rate off by `offset` per clip and wandering by `wander`.

    Both are relative standard deviations; the wander is linear between values drawn four times a second.
    """
    start, rate_hz = rng.uniform(), rate_hz * (1 + offset * rng.standard_normal())
    knots = rng.standard_normal(int(np.ceil(samples / SAMPLE_RATE_HZ * WANDER_KNOTS_HZ)) + 1)
    knot_positions = np.arange(len(knots)) * (SAMPLE_RATE_HZ / WANDER_KNOTS_HZ)
    rates_hz = rate_hz * (1 + wander * np.interp(np.arange(samples), knot_positions, knots))
    return start + np.cumsum(rates_hz) / SAMPLE_RATE_HZ


def periodic_wave(turns: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Wave that repeats each turn: Re sum_n orders[n-1] exp(2 pi i n turns), n from 1; orders (N,) complex or real.

    Read by linear interpolation from one turn of 8192 points, whose error is below -60 dB for up to 80 orders.
    """
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=complex)
    spectrum[1 : len(orders) + 1] = np.asarray(orders) * (TABLE_SIZE / 2)
    table = irfft(spectrum, TABLE_SIZE)
    step = np.roll(table, -1) - table
    position = (turns - np.floor(turns)) * TABLE_SIZE
    index = position.astype(np.int32) & (TABLE_SIZE - 1)  # a turn just below 1 may round to the table's end
    return table[index] + (position - np.floor(position)) * step[index]


def crossing_times(turns: np.ndarray, per_turn: float = 1.0) -> np.ndarray:
    """Times in seconds at which a shaft completes each 1/`per_turn` of a turn (turns must rise)."""
    events = np.arange(np.ceil(turns[0] * per_turn), np.floor(turns[-1] * per_turn) + 1) / per_turn
    return np.interp(events, turns, np.arange(len(turns))) / SAMPLE_RATE_HZ


def impulses(times_s: np.ndarray, heights: np.ndarray, samples: int) -> np.ndarray:
    """Impulses of these heights, each shared by its two neighbouring samples; those outside the clip are left out."""
    position = np.asarray(times_s) * SAMPLE_RATE_HZ
    inside = (position >= 0) & (position < samples - 1)
    position, height = position[inside], np.broadcast_to(heights, inside.shape)[inside]
    index = position.astype(int)
    late = position - index
    return np.bincount(index, height * (1 - late), samples) + np.bincount(index + 1, height * late, samples)


def ring(excitation: np.ndarray, modes: Sequence[Mode]) -> np.ndarray:
    """Structure of damped resonances driven by `excitation`: impulse response sum gain exp(-t/decay) sin(2 pi f t)."""
    total = np.zeros(len(excitation))
    for mode in modes:
        radius = np.exp(-1 / (mode.decay_s * SAMPLE_RATE_HZ))
        angle = 2 * np.pi * mode.frequency_hz / SAMPLE_RATE_HZ
        denominator = [1.0, -2 * radius * np.cos(angle), radius**2]
        total += lfilter([0.0, mode.gain * radius * np.sin(angle)], denominator, excitation)
    return total


def coloured_noise(rng: np.random.Generator, samples: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Stationary Gaussian noise (samples,) of RMS 1 with amplitude spectrum gain(frequency in Hz).

    Made in the frequency domain, hence circular: the end continues into the beginning.
    """
    frequency_hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ)
    shape = gain(np.maximum(frequency_hz, 1.0)) * (frequency_hz > 0)
    white = rng.standard_normal(2 * len(shape), dtype=np.float32).view(np.complex64)
    scale = samples / (2 * np.sqrt(np.sum(shape**2)))
    return irfft(white * (scale * shape).astype(np.float32), samples)


def band(low_hz: float, high_hz: float, steepness: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    """Amplitude response of a band-pass with Butterworth-like edges (6 dB per octave and unit of steepness)."""

    def gain(frequency_hz: np.ndarray) -> np.ndarray:
        low, high = (low_hz / frequency_hz) ** (2 * steepness), (frequency_hz / high_hz) ** (2 * steepness)
        return 1 / np.sqrt((1 + low) * (1 + high))

    return gain


def smooth_steps(switch: np.ndarray, rise_s: float) -> np.ndarray:
    """Envelope following a 0/1 `switch` with an exponential rise and fall of time constant `rise_s`."""
    pole = np.exp(-1 / (rise_s * SAMPLE_RATE_HZ))
    return lfilter([1 - pole], [1.0, -pole], switch, zi=[pole * switch[0]])[0]
