"""Background noise sources of RMS about 1, each at a place of its own in the room, different in every clip."""

from collections.abc import Callable

import numpy as np

from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.signals import band, coloured_noise, periodic_wave, smooth_steps

MAINS_HZ = 50.0
Source = Callable[[np.random.Generator, int], np.ndarray]


def hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Mains transformer: even harmonics of 50 Hz, magnetostriction working at twice the mains frequency."""
    orders = np.zeros(12, dtype=complex)
    orders[1::2] = np.exp(rng.normal(0, 0.4, 6) + 2j * np.pi * rng.uniform(size=6)) / np.arange(1, 7)
    turns = np.arange(samples) * (MAINS_HZ / SAMPLE_RATE_HZ)
    return periodic_wave(turns, orders)


def ventilation(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Air duct: noise that falls above a corner between 300 and 1500 Hz, which the damper sets anew in each clip."""
    corner_hz = 300 * 5 ** rng.uniform()
    return coloured_noise(rng, samples, band(40, corner_hz, 1))


def motor(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Another machine: a shaft of any speed with its harmonics and the noise of its casing."""
    rate_hz = rng.uniform(18, 70)
    orders = np.exp(rng.normal(0, 0.6, 24) + 2j * np.pi * rng.uniform(size=24)) / np.arange(1, 25) ** 0.6
    tones = periodic_wave(rng.uniform() + np.arange(samples) * (rate_hz / SAMPLE_RATE_HZ), orders)
    centre_hz = 800 * 4 ** rng.uniform()
    return 0.5 * tones + 0.7 * coloured_noise(rng, samples, band(centre_hz / 1.6, centre_hz * 1.6))


def air(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Compressed-air tool: hiss between 1.5 and 7 kHz that is switched on and off a few times a second."""
    hiss = coloured_noise(rng, samples, band(rng.uniform(1500, 3000), 7000))
    slots = rng.uniform(size=int(np.ceil(samples / SAMPLE_RATE_HZ * 4)) + 1) < 0.6
    switch = np.repeat(slots, SAMPLE_RATE_HZ // 4)[:samples].astype(float)
    return 1.3 * hiss * smooth_steps(switch, 0.02)


SOURCES: dict[str, Source] = {source.__name__: source for source in (hum, ventilation, motor, air)}
