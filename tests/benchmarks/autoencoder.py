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
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import measure
import numpy as np
import torch

from workflow_lib.autoencoder import log_mel, network
from workflow_lib.autoencoder.batches import collect_vectors
from workflow_lib.autoencoder.inference import FoldedAutoencoder
from workflow_lib.autoencoder.train_step import TrainingStep
from workflow_lib.autoencoder.training import TrainingPasses
from workflow_lib.scoring.mahalanobis import invert_covariances, mahalanobis_scores

BATCH, SECONDS, RATE, SCORED = 256, 10, 16000, 1200
CLIP_FRAMES = SECONDS * RATE // log_mel.HOP_SAMPLES + 1
DISTINCT = 100  # clips; the others are these again
LAYERS = [*pairwise(network.WIDTHS_DOWN), *pairwise(network.WIDTHS_UP)]


def arguments() -> argparse.Namespace:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3, help="epochs measured; the median counts")
    parser.add_argument("--side-by-side", action="store_true", help="two trainings at once, one thread each")
    parser.add_argument("--epochs-only", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where an epoch goes, by torch operation")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    measure.set_threads(options.threads)
    print(f"{measure.machine_in_words()}, torch {torch.__version__}", flush=True)
    if options.side_by_side:
        side_by_side(options)
        return
    frames = training_frames(options.clips)
    if not options.epochs_only:
        measure_features(options.repeat)
    training = measure_epochs(frames, options)
    if not options.epochs_only:
        measure_scoring(training, frames, options.repeat)
    print(f"peak resident memory of this process: {measure.peak_memory():.0f} MiB", flush=True)


def training_frames(clips: int) -> list[np.ndarray]:
    """Log-mel frames (313, 128) of clips of band-limited noise around -30 dB."""
    rng, bands = np.random.default_rng(1), log_mel.MEL_BANDS
    mixing = rng.standard_normal((bands, bands)).astype(np.float32) * 0.3
    distinct = [
        rng.standard_normal((CLIP_FRAMES, bands), dtype=np.float32) @ mixing - 30 for _ in range(min(DISTINCT, clips))
    ]
    return [distinct[number % len(distinct)] for number in range(clips)]


# ---- training --------------------------------------------------------------------------------------------------------


def measure_epochs(frames: list[np.ndarray], options: argparse.Namespace) -> TrainingPasses:
    training = TrainingPasses(collect_vectors(frames, [n % 100 == 0 for n in range(len(frames))]), BATCH, 13711)
    step, products = TrainingStep(training.network, 1e-3), products_of(training)
    training.epoch(step)  # warms up, as the next line does
    products()
    spent = measure.seconds_of(lambda: training.epoch(step), options.repeat)
    plain = measure.seconds_of(products, options.repeat)
    forward = sum(2 * wide_in * wide_out for wide_in, wide_out in LAYERS)
    backward = 2 * forward - 2 * LAYERS[0][0] * LAYERS[0][1]
    operations = len(training.train_index) * (forward + backward) + len(training.valid_index) * forward
    print_ratio(f"epoch of {len(training.train_index)} vectors and validation", spent, plain, "s")
    print(f"  all epochs {', '.join(f'{seconds:.2f}' for seconds in spent)}; ", end="")
    print(f"products {operations / median(plain) / 1e9:.0f} GFLOP/s", flush=True)
    if options.profile:
        measure.profile(lambda: training.epoch(step))
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

    return run


def side_by_side(options: argparse.Namespace) -> None:
    """Two processes, one thread each, one epoch at a time: seconds per epoch and machine."""
    command = [sys.executable, __file__, "--threads", "1", "--epochs-only", "--clips", str(options.clips)]
    command += ["--repeat", str(options.repeat)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        print(process.communicate()[0].split("\n", 1)[1].strip(), flush=True)


# ---- features and scores ---------------------------------------------------------------------------------------------


def measure_features(repeat: int) -> None:
    clips = np.random.default_rng(2).uniform(-0.5, 0.5, (20, SECONDS * RATE)).astype(np.float32)
    log_mel.log_mel(clips[0])
    windowed = np.random.default_rng(3).random((CLIP_FRAMES, log_mel.WINDOW_SAMPLES))
    power = np.ones((CLIP_FRAMES, log_mel.BASIS), np.float32)

    def floor() -> None:
        for begin in range(0, CLIP_FRAMES, log_mel.FRAMES_AT_ONCE):
            np.fft.rfft(windowed[begin : begin + log_mel.FRAMES_AT_ONCE], axis=-1)
        np.dot(log_mel.mel_filterbank(), power.T)

    spent, plain = [], []
    for clip in clips.repeat(repeat * 3, axis=0):  # in turn: the machine's speed drifts
        spent += measure.seconds_of(lambda clip=clip: log_mel.log_mel(clip), 1)
        plain += measure.seconds_of(floor, 1)
    print_ratio("features of a clip of 10 s", spent, plain, "ms")
    print(f"  the least of {len(spent)}: {min(spent) * 1e3:.2f} ms, plain {min(plain) * 1e3:.2f} ms", flush=True)


def measure_scoring(training: TrainingPasses, frames: list[np.ndarray], repeat: int) -> None:
    clips = [frames[number % len(frames)] for number in range(SCORED)]
    folded, covariances = FoldedAutoencoder(training.network), training.covariances()
    precision = invert_covariances(covariances.source.numpy(), covariances.target.numpy())
    rows = CLIP_FRAMES - log_mel.FRAMES + 1
    arrays = [(torch.randn(rows, wide_in), torch.randn(wide_out, wide_in)) for wide_in, wide_out in LAYERS]

    def means_of(some: list[np.ndarray]) -> np.ndarray:
        vectors = map(log_mel.five_frame_vectors, some)
        return np.stack([network.clip_residuals(folded, v, second_moment=False).mean_residual for v in vectors])

    def distances(means: np.ndarray) -> None:
        mahalanobis_scores(means, None, precision.source, precision.target, "official")

    def products() -> None:
        for _ in clips:
            for inputs, weights in arrays:
                torch.mm(inputs, weights.t())

    plain = measure.seconds_of(products, repeat)
    whole = measure.seconds_of(lambda: distances(means_of(clips)), repeat)
    print_ratio(f"scores of {SCORED} clips from features, mean squared error and Mahalanobis", whole, plain, "s")
    alone, means = median(measure.seconds_of(lambda: distances(means_of(clips[:1])), 50)), means_of(clips)
    (closed,) = measure.seconds_of(lambda: distances(means), 1)
    print(f"Mahalanobis of a clip, network included: {alone * 1e3:.2f} ms; ", end="")
    print(f"m P m' alone {closed / SCORED * 1e6:.1f} us", flush=True)
    print(f"  ({rows} vectors of {log_mel.VECTOR_SIZE} values a clip)", flush=True)


def print_ratio(what: str, spent: list[float], plain: list[float], unit: str) -> None:
    """Medians of both, which are in seconds, and their ratio."""
    ours, floor = (median(times) * (1e3 if unit == "ms" else 1) for times in (spent, plain))
    print(f"{what}: {ours:.2f} {unit}, plain {floor:.2f} {unit}, ratio {ours / floor:.2f}", flush=True)


if __name__ == "__main__":
    main()
