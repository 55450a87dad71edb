"""Speed of cancellation against the plain transforms of the same run: spectra, cancelling, log-mel of three channels.

    .venv/bin/python tests/benchmarks/channels.py --repeat 200

One thread; processor time of a clip of two channels, least and median of the repeats, which take turns. "Plain" frames,
windows and transforms both channels with numpy. Then clips per second on the clock, in two processes at once.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import measure
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from workflow_lib.channels import cancel_far, cancelled_spectrum, stft
from workflow_lib.encoders.logmel import load_logmel

WINDOW, HOP, RATE = 1024, 512, 16000
LOG_MEL = load_logmel()
HANN = np.sin(np.pi / WINDOW * np.arange(WINDOW)) ** 2


def main() -> None:
    options = arguments()
    measure.set_threads(1)
    clip = recording(options.seconds)
    near, far = map(stft, clip)
    cancelled = cancelled_spectrum(near, far)
    works: dict[str, Callable[[], object]] = {
        "plain": lambda: plain(clip),
        "spectra": lambda: [stft(channel) for channel in clip],
        "cancelling, 9 taps": lambda: cancelled_spectrum(near, far),
        "cancelling, 1 tap": lambda: cancelled_spectrum(near, far, 1, 0.0),
        "log-mel": lambda: [LOG_MEL.frames(channel) for channel in (near, far, cancelled)],
        "whole": lambda: whole(clip),
        "waveform": lambda: cancel_far(*clip),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeat):
        for name, work in works.items():
            begin = time.thread_time()
            work()
            found[name].append(1000 * (time.thread_time() - begin))
    figures: dict[str, object] = {f"{name} ms": f"{min(ms):.2f} ({median(ms):.2f})" for name, ms in found.items()}
    ratios = [min(found["whole"]) / min(found["plain"]), median(found["whole"]) / median(found["plain"])]
    figures["whole / plain"] = f"{ratios[0]:.2f} ({ratios[1]:.2f})"
    figures["clips/s, 2 processes"] = f"{clips_per_second(options.processes, options.clips, options.seconds):.0f}"
    print(measure.machine_in_words())
    measure.print_figures(figures)


def arguments() -> argparse.Namespace:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--clips", type=int, default=300, help="of each process")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def recording(seconds: float) -> np.ndarray:
    """Two channels (2, samples) float32: noise, of which far hears half."""
    near, far = 0.05 * np.random.default_rng(1).standard_normal((2, round(seconds * RATE)))
    return np.stack([near, 0.5 * near + far]).astype(np.float32)


def plain(clip: np.ndarray) -> list[np.ndarray]:
    """Spectra (frames, bins) of both channels: frames, window, transform."""
    padded = (np.pad(channel.astype(np.float64), WINDOW // 2, mode="reflect") for channel in clip)
    return [np.fft.rfft(sliding_window_view(channel, WINDOW)[::HOP] * HANN) for channel in padded]


def whole(clip: np.ndarray) -> list[np.ndarray]:
    """Log-mel of near, far and cancelled."""
    near, far = map(stft, clip)
    return [LOG_MEL.frames(channel) for channel in (near, far, cancelled_spectrum(near, far))]


def clips_per_second(processes: int, clips: int, seconds: float) -> float:
    """Clips on the clock in processes side by side, from a start that they have in common."""
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(work_through, [1] * processes, [seconds] * processes))  # imports
        begin = time.perf_counter()
        list(pool.map(work_through, [clips] * processes, [seconds] * processes))
        return processes * clips / (time.perf_counter() - begin)


def work_through(clips: int, seconds: float) -> None:
    measure.set_threads(1)
    clip = recording(seconds)
    for _ in range(clips):
        whole(clip)


if __name__ == "__main__":
    main()
