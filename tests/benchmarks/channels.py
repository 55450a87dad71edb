"""Speed of cancellation against the plain transforms of the same run: spectra, cancelling, log-mel of three channels.

    .venv/bin/python tests/benchmarks/channels.py --repeat 200

One thread; processor time of a clip of two channels, least and median of the repeats, which take turns. "Plain" frames,
windows and transforms both channels with numpy. Then, on the clock, the job of a machine: clips are read from disk,
cancelled, and the statistics of the cancelled channel written, in two threads. Memory is kept as the jobs keep it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import measure
import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from workflow_lib.channels import cancel_far, cancelled_spectrum, stft
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.spectra import embed_spectra
from workflow_lib.encoders.logmel import load_logmel
from workflow_lib.job import LARGEST_KEPT

WINDOW, HOP, RATE = 1024, 512, 16000
LOG_MEL = load_logmel()
HANN = np.sin(np.pi / WINDOW * np.arange(WINDOW)) ** 2


def main() -> None:
    options = arguments()
    measure.set_threads(1)
    bytearray(LARGEST_KEPT)
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
    per_second = clips_per_second(options.clips, options.workers, options.seconds)
    figures["job, clips/s"], figures["job of 1,200 clips, s"] = f"{per_second:.0f}", f"{1200 / per_second:.0f}"
    print(measure.machine_in_words())
    measure.print_figures(figures)


def arguments() -> argparse.Namespace:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--clips", type=int, default=300, help="of the job")
    parser.add_argument("--workers", type=int, default=2, help="threads of the job")
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


def clips_per_second(clips: int, workers: int, seconds: float) -> float:
    """Clips on the clock in the job of a machine, after one of a few clips."""
    with tempfile.TemporaryDirectory() as folder:
        listed = []
        for number in range(clips):
            path = Path(folder, f"{number}.wav")
            soundfile.write(path, recording(seconds).T, RATE, subtype="PCM_16")
            frames = round(seconds * RATE)
            listed.append(Clip("fan", path.name, "train", "source", "normal", "", 2, RATE, frames, str(path)))
        run_job(listed[:10], folder, workers)
        (found,) = measure.seconds_of(lambda: run_job(listed, folder, workers), 1)
        return clips / found


def run_job(clips: list[Clip], folder: str, workers: int) -> None:
    embed_spectra(
        clips,
        Path(folder, "store.h5"),
        name="logmel",
        model={"encoder": "logmel", "checkpoint": None, "cancellation": {}},
        channels=["cancelled"],
        reading={"sample_rate": RATE, "channels": 2, "resample": False},
        workers=workers,
        code="benchmark",
    )


if __name__ == "__main__":
    main()
