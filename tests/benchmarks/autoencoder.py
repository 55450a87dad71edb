"""Speed of the autoencoder branch at full scale against the plain products and transforms of the same run.

    .venv/bin/python tests/benchmarks/autoencoder.py --threads 2          # and --threads 1, --side-by-side

One machine of the challenge: 1,000 training clips of 10 s, 309,000 five-frame vectors, batch 256, 1,087 steps an epoch,
1,200 clips to score. Recordings are noise (speed does not depend on their values), so no result here means anything.
Prints one line per measurement: the library's own time, the floor, and the ratio.

    epoch      products   of every step: three for each linear layer (two for the first: its input needs no gradient),
                          and of the validation one, as plain torch matrix products of the same shapes, called alone
    features   transforms and mel product of a clip as numpy calls them, in double precision as the recipe has them
    scoring    products of all layers for all vectors
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
PARSER = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
PARSER.add_argument("--threads", type=int, default=1)
PARSER.add_argument("--clips", type=int, default=1000)
PARSER.add_argument("--repeat", type=int, default=3, help="epochs measured; the median counts")
PARSER.add_argument("--side-by-side", action="store_true", help="two trainings at once, one thread each")
PARSER.add_argument("--epochs-only", action="store_true")
PARSER.add_argument("--profile", action="store_true", help="where an epoch goes, by torch operation")
ARGUMENTS = PARSER.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(ARGUMENTS.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from workflow_lib.autoencoder.batches import collect_vectors  # noqa: E402
from workflow_lib.autoencoder.inference import FoldedAutoencoder  # noqa: E402
from workflow_lib.autoencoder.log_mel import (  # noqa: E402
    BASIS,
    FRAMES,
    FRAMES_AT_ONCE,
    HOP_SAMPLES,
    MEL_BANDS,
    VECTOR_SIZE,
    WINDOW_SAMPLES,
    five_frame_vectors,
    log_mel,
    mel_filterbank,
)
from workflow_lib.autoencoder.network import (  # noqa: E402
    WIDTHS_DOWN,
    WIDTHS_UP,
    clip_residuals,
)
from workflow_lib.autoencoder.train_step import TrainingStep  # noqa: E402
from workflow_lib.autoencoder.training import TrainingPasses  # noqa: E402
from workflow_lib.scoring.mahalanobis import invert_covariances, mahalanobis_scores  # noqa: E402

BATCH, SECONDS, RATE, SCORED = 256, 10, 16000, 1200
DISTINCT = 100  # clips; the others are these again
LAYERS = [*pairwise(WIDTHS_DOWN), *pairwise(WIDTHS_UP)]


def main() -> None:
    torch.set_num_threads(ARGUMENTS.threads)
    print(f"{processor()}, {os.cpu_count()} cores, {ARGUMENTS.threads} threads, torch {torch.__version__}", flush=True)
    if ARGUMENTS.side_by_side:
        side_by_side()
        return
    frames = list(training_frames())
    if not ARGUMENTS.epochs_only:
        measure_features()
    training = measure_epochs(frames)
    if not ARGUMENTS.epochs_only:
        measure_scoring(training, frames)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory of this process: {peak:.0f} MiB", flush=True)


def training_frames():
    """Log-mel frames (313, 128) of clips of band-limited noise around -30 dB."""
    rng = np.random.default_rng(1)
    count = SECONDS * RATE // HOP_SAMPLES + 1
    mixing = rng.standard_normal((MEL_BANDS, MEL_BANDS)).astype(np.float32) * 0.3
    distinct = [
        rng.standard_normal((count, MEL_BANDS), dtype=np.float32) @ mixing - 30
        for _ in range(min(DISTINCT, ARGUMENTS.clips))
    ]
    return (distinct[number % len(distinct)] for number in range(ARGUMENTS.clips))


# ---- training --------------------------------------------------------------------------------------------------------


def measure_epochs(frames) -> TrainingPasses:
    training = TrainingPasses(collect_vectors(frames, [n % 100 == 0 for n in range(len(frames))]), BATCH, 13711)
    step = TrainingStep(training.network, 1e-3)
    training.epoch(step)  # warms up
    spent = [clock(lambda: training.epoch(step)) for _ in range(ARGUMENTS.repeat)]
    plain = [clock(products_of(training)) for _ in range(ARGUMENTS.repeat)]
    operations = epoch_operations(training)
    epoch, floor = statistics.median(spent), statistics.median(plain)
    line(f"epoch of {len(training.train_index)} vectors and validation", epoch, floor, "s")
    print(
        f"  all epochs {seconds(spent)}; products {seconds(plain)}: {operations / floor / 1e9:.0f} GFLOP/s", flush=True
    )
    if ARGUMENTS.profile:
        with torch.profiler.profile() as profile:
            training.epoch(step)
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
    step.release()
    return training


def products_of(training: TrainingPasses) -> Callable[[], None]:
    """The plain products of an epoch, on arrays that stay: (n, in) x (in, out), and of training its two gradients."""
    arrays = {}

    def of_batch(rows: int, gradients: bool) -> None:
        for number, (wide_in, wide_out) in enumerate(LAYERS):
            key = rows, number
            if key not in arrays:
                shapes = (rows, wide_in), (wide_out, wide_in), (rows, wide_out)
                arrays[key] = [torch.randn(shape) for shape in shapes] + [torch.empty(shape) for shape in shapes]
            inputs, weights, outputs, to_inputs, to_weights, to_outputs = arrays[key]
            torch.mm(inputs, weights.t(), out=to_outputs)
            if gradients:
                torch.mm(outputs.t(), inputs, out=to_weights)
                if number:
                    torch.mm(outputs, weights, out=to_inputs)

    def run() -> None:
        for index, gradients in ((training.train_index, True), (training.valid_index, False)):
            for batch in index.split(BATCH):
                of_batch(len(batch), gradients)

    run()
    return run


def epoch_operations(training: TrainingPasses) -> float:
    forward = sum(2 * wide_in * wide_out for wide_in, wide_out in LAYERS)
    first = 2 * LAYERS[0][0] * LAYERS[0][1]
    return len(training.train_index) * (3 * forward - first) + len(training.valid_index) * forward


def side_by_side() -> None:
    """Two processes, one thread each, one epoch at a time: seconds per epoch and machine."""
    command = [sys.executable, __file__, "--threads", "1", "--epochs-only", "--clips", str(ARGUMENTS.clips)]
    command += ["--repeat", str(ARGUMENTS.repeat)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        print(process.communicate()[0].split("\n", 1)[1].strip(), flush=True)


# ---- features and scores ---------------------------------------------------------------------------------------------


def measure_features() -> None:
    clips = np.random.default_rng(2).uniform(-0.5, 0.5, (20, SECONDS * RATE)).astype(np.float32)
    log_mel(clips[0])
    frames = SECONDS * RATE // HOP_SAMPLES + 1
    windowed, power = np.random.default_rng(3).random((frames, WINDOW_SAMPLES)), np.ones((frames, BASIS), np.float32)

    def floor() -> None:
        for begin in range(0, frames, FRAMES_AT_ONCE):
            np.fft.rfft(windowed[begin : begin + FRAMES_AT_ONCE], axis=-1)
        np.dot(mel_filterbank(), power.T)

    spent, plain = [], []
    for clip in clips.repeat(ARGUMENTS.repeat * 3, axis=0):  # in turn: the machine's speed drifts
        spent.append(clock(lambda clip=clip: log_mel(clip)) * 1e3)
        plain.append(clock(floor) * 1e3)
    line("features of a clip of 10 s", statistics.median(spent), statistics.median(plain), "ms")
    print(f"  the least of {len(spent)}: {min(spent):.2f} ms, plain {min(plain):.2f} ms", flush=True)


def measure_scoring(training: TrainingPasses, frames) -> None:
    clips = [frames[number % len(frames)] for number in range(SCORED)]
    network = FoldedAutoencoder(training.network)
    covariances = training.covariances()
    precision = invert_covariances(covariances.source.numpy(), covariances.target.numpy())
    found = []

    def residuals() -> None:
        found[:] = [clip_residuals(network, five_frame_vectors(clip), second_moment=False) for clip in clips]

    def distances() -> None:
        means = np.stack([residual.mean_residual for residual in found])
        mahalanobis_scores(means, None, precision.source, precision.target, "official")

    rows = len(clips[0]) - FRAMES + 1
    arrays = [(torch.randn(rows, wide_in), torch.randn(wide_out, wide_in)) for wide_in, wide_out in LAYERS]

    def products() -> None:
        for _ in clips:
            for inputs, weights in arrays:
                torch.mm(inputs, weights.t())

    plain = statistics.median(clock(products) for _ in range(ARGUMENTS.repeat))
    whole = statistics.median(clock(lambda: (residuals(), distances())) for _ in range(ARGUMENTS.repeat))
    line(f"scores of {SCORED} clips from features, mean squared error and Mahalanobis", whole, plain, "s")
    one = five_frame_vectors(clips[0])

    def mahalanobis() -> None:
        mean = clip_residuals(network, one, second_moment=False).mean_residual
        mahalanobis_scores(mean, None, precision.source, precision.target, "official")

    alone = statistics.median(clock(mahalanobis) for _ in range(50))
    closed = clock(distances) / SCORED
    print(
        f"Mahalanobis of a clip, network included: {alone * 1e3:.2f} ms; m P m' alone {closed * 1e6:.1f} us", flush=True
    )
    print(f"  ({rows} vectors of {VECTOR_SIZE} values a clip)", flush=True)


# ---- words -----------------------------------------------------------------------------------------------------------


def clock(measured: Callable[[], object]) -> float:
    begin = time.perf_counter()
    measured()
    return time.perf_counter() - begin


def line(what: str, found: float, floor: float, unit: str) -> None:
    print(f"{what}: {found:.2f} {unit}, plain {floor:.2f} {unit}, ratio {found / floor:.2f}", flush=True)


def seconds(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(row.split(":", 1)[1].strip() for row in lines if row.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
