"""Speed of embedding against the plain matrix product of the same run: decode, front end, encoder, write.

    .venv/bin/python tests/benchmarks/embed.py --encoder eat --device cpu --precision float32 --batch 8

Weights are random (untrained): speed does not depend on their values. Prints one table for people and one row for
docs/benchmarks.md. Operations are counted by torch on the encoder's own pass; the front end's are not counted.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import measure
import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

from workflow_lib.config.channel_names import CHANNELS
from workflow_lib.config.encoder_options import encoder_names, has_weights
from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.inference import Inference
from workflow_lib.embedding.job import create_datasets, fill_store, write_rows
from workflow_lib.encoders import load_encoder

READING = {"sample_rate": 16000, "channels": 2, "resample": False}
FILES = 16  # different recordings; more clips take them in turn


def arguments() -> argparse.Namespace:
    parser = measure.encoder_parser(__doc__)
    parser.add_argument("--encoder", choices=[name for name in encoder_names() if has_weights(name)], default="eat")
    parser.add_argument("--block", type=int, default=12, help="last block; the paper takes 10 of 12")
    parser.add_argument("--batch", type=int, default=8, help="clips of two channels")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--compare", action="store_true", help="statistics against float32, relative Frobenius norm")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    measure.set_threads(options.threads)
    compute = {"device": options.device, "precision": options.precision, "compile": options.compile}
    encoder = load_encoder(options.encoder, "random", seed=1, embed_dim=options.embed_dim)
    inference = Inference(encoder, [options.block], options.batch, compute)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        clips = recordings(Path(folder), options.clips, options.seconds)
        product = measure.plain_product(options.device, options.precision)
        stages, operations, waveforms = stage_seconds(inference, clips, Path(folder))
        product = max(product, measure.plain_product(options.device, options.precision))
        with h5py.File(Path(folder) / "whole.h5", "w") as store:
            job = partial(fill_store, store, clips, inference, read_clip, CHANNELS, options.threads)
            (whole,) = measure.seconds_of(job, 1)
        report(options, stages, operations, product, options.clips / whole)
        if options.compare:
            compare(inference, waveforms, options)


def read_clip(clip: Clip) -> np.ndarray:
    """Both channels (2, samples) of a clip."""
    return read_waveform(clip, READING)


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


def stage_seconds(
    inference: Inference, clips: Sequence[Clip], folder: Path
) -> tuple[dict[str, float], int, torch.Tensor]:
    """Seconds per clip of each stage on its own, the encoder's FLOP per clip, and the clips of a batch."""
    batch = tuple(range(inference.batch_size))

    def read() -> torch.Tensor:
        return torch.from_numpy(np.stack([read_clip(clips[i % len(clips)]) for i in batch]))

    waveforms = read()
    flat = waveforms.to(inference.device).flatten(0, 1)
    features = inference.encoder.frontend(flat)

    def encode() -> None:
        inference.encoder.statistics(features, inference.blocks)

    work = {"decode": read, "front end": lambda: inference.encoder.frontend(flat), "encoder": encode}
    with inference.autocast():
        encode()  # once unmeasured: libraries prepare, weights are rounded
        with FlopCounterMode(display=False, custom_mapping=measure.ATTENTION) as counter:
            encode()
        seconds = {stage: min(measure.seconds_of(call, 3, inference.device.type)) for stage, call in work.items()}
        found = inference.statistics(waveforms)
    with h5py.File(folder / "write.h5", "w") as store:
        create_datasets(store, len(batch), inference, CHANNELS)
        seconds["write"] = min(measure.seconds_of(lambda: write_rows(store, batch, found, CHANNELS), 3))
    per_clip = {stage: value / len(batch) for stage, value in seconds.items()}
    return per_clip, counter.get_total_flops() // len(batch), waveforms


def report(
    options: argparse.Namespace, stages: dict[str, float], operations: int, product: float, clips_per_s: float
) -> None:
    print(
        f"{options.encoder}, blocks 1 to {options.block}, untrained weights, {measure.machine_in_words(options.device)}"
    )
    print(f"{operations / 2e9:.1f} GFLOP a channel of {options.seconds:g} s")
    encoder_rate = operations / stages["encoder"]
    print(f"encoder alone {encoder_rate / 1e9:.0f} GFLOP/s, {encoder_rate / product:.2f} of the plain product")
    if options.device == "cuda":
        print(f"peak memory of the GPU {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
    print(f"{options.clips} clips, from WAV to HDF5:")
    measure.print_figures(
        {
            "encoder": options.encoder,
            "precision": options.precision,
            "clips a batch": options.batch,
            **{f"{stage} ms": f"{seconds * 1e3:.2f}" for stage, seconds in stages.items()},
            "clips/s": f"{clips_per_s:.2f}",
            "GFLOP/s": f"{operations * clips_per_s / 1e9:.0f}",
            "plain GFLOP/s": f"{product / 1e9:.0f}",
            "ratio": f"{operations * clips_per_s / product:.2f}",
            "peak MiB": f"{measure.peak_memory():.0f}",
        }
    )


def compare(inference: Inference, waveforms: torch.Tensor, options: argparse.Namespace) -> None:
    """Statistics of this precision against float32 on the same clips."""
    compute = {"device": options.device, "precision": "float32", "compile": False}
    exact = Inference(inference.encoder, inference.blocks, inference.batch_size, compute)
    with inference.autocast():
        found = inference.statistics(waveforms[:2]).arrays()[options.block]
    expected = exact.statistics(waveforms[:2]).arrays()[options.block]
    pairs = {
        "mean": (found[0], expected[0]),
        "std": (found[1], expected[1]),
        "mean and std": (np.concatenate(found, -1), np.concatenate(expected, -1)),
    }
    for name, (ours, theirs) in pairs.items():
        print(f"{name}: relative difference to float32 {np.linalg.norm(ours - theirs) / np.linalg.norm(theirs):.4f}")


if __name__ == "__main__":
    main()
