"""Speed of embedding against the plain matrix product of the same run: decode, front end, encoder, write.

    .venv/bin/python tests/benchmarks/embed.py --encoder eat --device cpu --precision float32 --batch 8

Weights are random (untrained): speed does not depend on their values. Prints one table for people and one row for
docs/benchmarks.md. Operations are counted by torch on the encoder's own pass; the front end's are not counted.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

sys.path.insert(0, str(Path(__file__).parents[2]))

from workflow_lib.config.encoder_options import encoder_names
from workflow_lib.dataset.loader import CHANNELS, read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.inference import Inference
from workflow_lib.embedding.job import create_datasets, fill_store, write_rows
from workflow_lib.encoders import load_encoder

READING = {"sample_rate": 16000, "channels": 2, "resample": False}
FILES = 16  # different recordings; more clips take them in turn
# The CPU's fused attention is missing from torch's own list of counted operations.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *rest, **options: (
        sdpa_flop_count(query, key, value)
    )
}
PRODUCT = {"cpu": 4096, "cuda": 8192}  # rows, columns and depth of the plain product


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=encoder_names(), default="eat")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--block", type=int, default=12, help="last block; the paper takes 10 of 12")
    parser.add_argument("--batch", type=int, default=8, help="clips of two channels")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2, help="of the matrix library, and clips read at once")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--embed-dim", type=int, help="a small encoder: for the memory of many clips")
    parser.add_argument("--compare", action="store_true", help="statistics against float32, relative Frobenius norm")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    sizes = {"embed_dim": options.embed_dim} if options.embed_dim else {}
    compute = {"device": options.device, "precision": options.precision, "compile": options.compile}
    encoder = load_encoder(options.encoder, "random", seed=1, **sizes)
    inference = Inference(encoder, [options.block], options.batch, compute)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        clips = recordings(Path(folder), options.clips, options.seconds)
        product = plain_product(inference)
        stages, operations, waveforms = stage_seconds(inference, clips, Path(folder))
        product = max(product, plain_product(inference))
        started = time.perf_counter()
        with h5py.File(Path(folder) / "whole.h5", "w") as store:
            fill_store(store, clips, inference, READING, options.threads)
        whole = time.perf_counter() - started
        report(options, inference, stages, operations, product, whole)
        if options.compare:
            compare(inference, waveforms, options)


def recordings(folder: Path, count: int, seconds: float) -> list[Clip]:
    """Two-channel 16-bit recordings: noise with a hum, as machines sound to an encoder."""
    rng, samples, clips = np.random.default_rng(1), int(16000 * seconds), []
    time_s = np.arange(samples)[:, None] / 16000
    for index in range(count):
        path = folder / f"{index % FILES}.wav"
        if index < FILES:
            hum = 0.1 * np.sin(2 * np.pi * 50 * (index + 1) * time_s)
            noise = 0.05 * rng.standard_normal((samples, 2)) * (1 + 0.5 * np.sin(2 * np.pi * (index + 1) * time_s))
            soundfile.write(path, hum + noise, 16000, subtype="PCM_16")
        clips.append(Clip("m", f"{index}.wav", "train", "source", "normal", "", 2, 16000, samples, str(path)))
    return clips


def timed(inference: Inference, work: Callable[[], object], repeats: int) -> float:
    """Seconds of one call: the least of several, the device's queue emptied before and after."""
    seconds = []
    for _ in range(repeats):
        synchronise(inference)
        started = time.perf_counter()
        work()
        synchronise(inference)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def synchronise(inference: Inference) -> None:
    if inference.device.type == "cuda":
        torch.cuda.synchronize()


def plain_product(inference: Inference) -> float:
    """FLOP/s of one large square product in the precision and on the device of the encoder."""
    size = PRODUCT[inference.device.type]
    dtype = torch.bfloat16 if inference.bfloat16 else torch.float32
    left, right = (torch.randn(size, size, device=inference.device).to(dtype) for _ in range(2))
    left @ right
    return 2 * size**3 / timed(inference, lambda: left @ right, 5)


def stage_seconds(
    inference: Inference, clips: Sequence[Clip], folder: Path
) -> tuple[dict[str, float], int, torch.Tensor]:
    """Seconds per clip of each stage on its own, and the encoder's operations per clip."""
    batch = tuple(range(inference.batch_size))

    def read() -> torch.Tensor:
        return torch.from_numpy(np.stack([read_waveform(clips[i % len(clips)], READING) for i in batch]))

    waveforms = read()
    flat = waveforms.to(inference.device).flatten(0, 1)
    features = inference.encoder.frontend(flat)
    with inference.autocast():
        inference.encoder.statistics(
            features, inference.blocks
        )  # once unmeasured: libraries prepare, weights are rounded
        with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
            inference.encoder.statistics(features, inference.blocks)
        seconds = {
            "decode": timed(inference, read, 3),
            "front end": timed(inference, lambda: inference.encoder.frontend(flat), 3),
            "encoder": timed(inference, lambda: inference.encoder.statistics(features, inference.blocks), 3),
        }
        found = inference.statistics(waveforms)
    with h5py.File(folder / "write.h5", "w") as store:
        create_datasets(store, len(batch), inference, CHANNELS)
        seconds["write"] = timed(inference, lambda: write_rows(store, batch, found), 3)
    per_clip = {stage: value / len(batch) for stage, value in seconds.items()}
    return per_clip, counter.get_total_flops() // len(batch), waveforms


def report(
    options: argparse.Namespace,
    inference: Inference,
    stages: dict[str, float],
    operations: int,
    product: float,
    whole: float,
) -> None:
    rate = options.clips / whole
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{options.encoder}, blocks 1 to {options.block}, {inference.device}, {inference.precision}, untrained weights"
    )
    print(f"{operations / 2e9:.1f} GFLOP a channel of {options.seconds:g} s")
    for stage, seconds in stages.items():
        print(f"  {stage:10}{seconds * 1e3:10.2f} ms a clip")
    print(
        f"  WAV to HDF5{whole / options.clips * 1e3:9.2f} ms a clip, {rate:.2f} clips/s, batch {inference.batch_size}"
    )
    print(f"plain product {product / 1e9:.0f} GFLOP/s")
    encoder_rate = operations / stages["encoder"]
    print(f"encoder {encoder_rate / 1e9:.0f} GFLOP/s, {encoder_rate / product:.2f} of it")
    print(f"WAV to HDF5 {operations * rate / 1e9:.0f} GFLOP/s, {operations * rate / product:.2f} of it")
    print(f"peak memory {memory:.0f} MiB with {options.clips} clips", end="")
    print(f", on the GPU {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if options.device == "cuda" else "")
    figures = [f"{stages[stage] * 1e3:.2f}" for stage in ("decode", "front end", "encoder", "write")]
    figures += [
        f"{rate:.2f}",
        f"{operations * rate / 1e9:.0f}",
        f"{product / 1e9:.0f}",
        f"{operations * rate / product:.2f}",
    ]
    row = [options.encoder, inference.precision, str(inference.batch_size), *figures, f"{memory:.0f}"]
    print(f"| {' | '.join(row)} |")


def compare(inference: Inference, waveforms: torch.Tensor, options: argparse.Namespace) -> None:
    """Statistics of this precision against float32 on the same clips."""
    with inference.autocast():
        found = inference.statistics(waveforms[:2]).arrays()[options.block]
    exact = Inference(
        inference.encoder,
        inference.blocks,
        inference.batch_size,
        {"device": options.device, "precision": "float32", "compile": False},
    )
    expected = exact.statistics(waveforms[:2]).arrays()[options.block]
    pairs = {
        "mean": (found[0], expected[0]),
        "std": (found[1], expected[1]),
        "mean and std": (np.concatenate(found, -1), np.concatenate(expected, -1)),
    }
    for name, (theirs, ours) in pairs.items():
        print(f"{name}: relative difference to float32 {np.linalg.norm(theirs - ours) / np.linalg.norm(ours):.4f}")


if __name__ == "__main__":
    main()
