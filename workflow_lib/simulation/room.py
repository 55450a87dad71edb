"""One shoebox room with a machine, a near and a far microphone, and background sources at places of their own.

Paths by the image-source method (Allen and Berkley, "Image method for efficiently simulating small-room acoustics",
J. Acoust. Soc. Am. 65, 1979), up to twelve reflections, which cost a path at least 26 dB; arrivals between two samples
by a windowed sinc (Peterson, "Simulating the response of multiple microphones to a single acoustic source in a
reverberant room", J. Acoust. Soc. Am. 80, 1986). Amplitude falls as 1/distance, and by sqrt(1 - absorption) at a wall.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from workflow_lib.simulation import SAMPLE_RATE_HZ

SPEED_OF_SOUND_M_S = 343.0
REFLECTIONS = 12
ABSORPTION = (0.4, 0.55)  # of a workshop with some damping: it reverberates for about 0.3 s
SINC_HALF_WIDTH = 16
WALL_MARGIN_M = 0.5
MICROPHONES = ("near", "far")


@dataclass(frozen=True)
class Room:
    """Geometry in metres: size (3,), machine (3,), microphones {near, far: (3,)}, background {kind: (3,)}."""

    size_m: np.ndarray
    absorption: float
    machine_m: np.ndarray
    microphones_m: Mapping[str, np.ndarray]
    background_m: Mapping[str, np.ndarray]


def draw_room(rng: np.random.Generator, kinds: tuple[str, ...]) -> Room:
    """A workshop: the near microphone half a metre from the machine, the far one metres away by the other sources."""
    size_m = np.array([8.0, 6.0, 3.2]) * rng.uniform(0.9, 1.1, 3)
    machine_m = np.array([1.6, size_m[1] / 2, 0.9]) + rng.uniform(-0.3, 0.3, 3)
    microphones_m = {}
    for name, spread_rad, rise, low_m, high_m in (("near", 0.9, 0.3, 0.4, 0.6), ("far", 0.3, 0.15, 3.0, 3.8)):
        azimuth_rad = rng.uniform(-spread_rad, spread_rad)
        direction = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), rise])
        microphones_m[name] = machine_m + direction / np.linalg.norm(direction) * rng.uniform(low_m, high_m)
    background_m = {kind: _draw_background(rng, size_m, microphones_m) for kind in kinds}
    return Room(size_m, float(rng.uniform(*ABSORPTION)), machine_m, microphones_m, background_m)


def _draw_background(
    rng: np.random.Generator, size_m: np.ndarray, microphones_m: Mapping[str, np.ndarray]
) -> np.ndarray:
    """A place clear of walls and microphones, and clearly nearer to the far microphone than to the near one."""
    while True:
        place = rng.uniform(WALL_MARGIN_M, size_m - WALL_MARGIN_M)
        near, far = (np.linalg.norm(place - microphones_m[name]) for name in MICROPHONES)
        if far > 0.6 and 2.5 < near / far < 4:
            return place


def impulse_response(room: Room, source_m: np.ndarray, microphone_m: np.ndarray, taps: int) -> np.ndarray:
    """Path from a source to a microphone, (taps,): direct sound is 1 at one metre (1 / 4 pi is dropped)."""
    images_m, bounces = _images(room, source_m)
    distance_m = np.linalg.norm(images_m - microphone_m, axis=1)
    gain = (1 - room.absorption) ** (bounces / 2) / distance_m
    delay = distance_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ
    index = np.rint(delay).astype(int)[:, None] + np.arange(-SINC_HALF_WIDTH, SINC_HALF_WIDTH + 1)
    offset = index - delay[:, None]
    window = 0.5 * (1 + np.cos(np.pi * np.clip(offset / (SINC_HALF_WIDTH + 1), -1, 1)))
    inside = (index >= 0) & (index < taps)
    return np.bincount(index[inside], (gain[:, None] * window * np.sinc(offset))[inside], taps)


def _images(room: Room, source_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image sources of up to REFLECTIONS bounces: positions (n, 3) in metres and numbers of wall contacts (n,).

    Along one axis, image m lies at m L + x for even m and at (m + 1) L - x for odd m, after |m| reflections.
    """
    steps = [s for s in product(range(-REFLECTIONS, REFLECTIONS + 1), repeat=3) if sum(map(abs, s)) <= REFLECTIONS]
    index = np.array(steps)
    positions_m = np.where(index % 2 == 0, index * room.size_m + source_m, (index + 1) * room.size_m - source_m)
    return positions_m, np.abs(index).sum(axis=1)


def response_length(room: Room) -> int:
    """Number of taps that holds every image, wherever source and microphone are."""
    longest_m = np.linalg.norm(room.size_m * (REFLECTIONS + 1))
    return int(np.ceil(longest_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ)) + SINC_HALF_WIDTH + 1


class Acoustics:
    """The room's paths from machine and background sources to both microphones, ready for clips of one length.

    Sources deliver `source_samples` samples, more than a clip has: the lead-in fills the paths, so that a clip starts
    in the middle of running and circular convolution does no harm. Paths are scaled by one constant per source so that
    its response at the near microphone has energy 1; level and delay between the microphones stay physical.
    """

    def __init__(self, room: Room, clip_samples: int):
        self.clip_samples = clip_samples
        taps = response_length(room)
        self.source_samples = next_fast_len(clip_samples + taps, real=True)
        self._paths = {}
        for name, place_m in {"machine": room.machine_m, **room.background_m}.items():
            microphones_m = [room.microphones_m[name] for name in MICROPHONES]
            paths = np.stack([impulse_response(room, place_m, at, taps) for at in microphones_m])
            self._paths[name] = rfft(paths / np.linalg.norm(paths[0]), self.source_samples).astype(np.complex64)

    def record(self, sounds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Both microphones' signals (2, clip_samples) float32 of the sounds {source: (source_samples,)}."""
        spectrum = sum(rfft(sound.astype(np.float32)) * self._paths[name] for name, sound in sounds.items())
        signals = irfft(spectrum, self.source_samples)
        return signals[:, self.source_samples - self.clip_samples :]
