"""The embedding job: every clip of a machine through one encoder, once, into an HDF5 store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.channels import Cancellation, channel_waveforms
from workflow_lib.config.channel_names import CHANNELS
from workflow_lib.dataset.loader import equal_length_batches, prefetch, read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.inference import MOMENTS, BatchStatistics, Inference, batch_size
from workflow_lib.embedding.store import create_store, read_statistics, statistics_name, store_facts
from workflow_lib.encoders import build_encoder
from workflow_lib.errors import UserError
from workflow_lib.progress import Progress

Batch = tuple[int, ...]  # indices of clips
UNITS = "dimensionless token statistics; std divides by the number of tokens"


def embed_machine(
    clips: Sequence[Clip],
    path: Path,
    *,
    name: str,
    model: Mapping[str, Any],
    encoder_settings: Mapping[str, Any],
    adapter: Sequence[str],
    channels: Sequence[str],
    reading: Mapping[str, Any],
    compute: Mapping[str, Any],
    workers: int,
    code: str,
) -> None:
    """Embed all clips of a machine with a frozen or adapted model into a store at `path`.

    `model` and `encoder_settings` are config entries (equal for a frozen model); `adapter` holds the folder of an
    adapted model, or nothing. All channels go through the encoder in one pass; `cancelled` is computed from the other
    two as the model's `cancellation` says. Memory does not grow with the number of clips: it holds the batches that the
    workers prefetch.
    """
    encoder = build_encoder(encoder_settings)
    if max(model["blocks"]) > encoder.depth:
        raise UserError(f"models.{name}.blocks: the checkpoint has {encoder.depth} blocks: write 1 to {encoder.depth}")
    if adapter:
        # Imported here: peft imports transformers, which takes three seconds that frozen models need not spend.
        from workflow_lib.adaptation.folder import load_adapted

        encoder = load_adapted(Path(adapter[0]), encoder)
    settings = {"model": dict(model), "encoder": dict(encoder_settings)}
    facts = store_facts(name, settings, encoder.trained, encoder.weights_digest, code, UNITS)
    facts["encoder"] = encoder.name
    inference = Inference(encoder, model["blocks"], batch_size(model, compute["device"]), compute)
    facts["precision"] = inference.precision
    with create_store(path, clips, facts) as store, torch.inference_mode():
        cancellation = Cancellation.from_mapping(model["cancellation"])

        def read(clip: Clip) -> NDArray[np.float32]:
            return channel_waveforms(read_waveform(clip, reading), channels, cancellation)

        fill_store(store, clips, inference, read, channels, workers, f"embed {clips[0].machine} with {name}")
        if adapter:
            _add_head(store, Path(adapter[0]), model["adaptation"]["statistics_block"])


def fill_store(
    store: h5py.File,
    clips: Sequence[Clip],
    inference: Inference,
    read: Callable[[Clip], NDArray[np.float32]],
    channels: Sequence[str],
    workers: int,
    title: str = "embed",
) -> None:
    """Write {block, channel, moment}: (clips, dimensions) float32; each clip is read once, ahead of the encoder.

    read: the channels of a clip, (channels, samples).
    """
    create_datasets(store, len(clips), inference, channels)
    batches = equal_length_batches(clips, inference.batch_size)

    def read_batch(batch: Batch) -> Tensor:
        return inference.prepare(torch.from_numpy(np.stack([read(clips[i]) for i in batch])))

    with Progress(len(clips), title) as progress, inference.autocast():
        computed = map(inference.statistics, prefetch(read_batch, batches, workers))
        for batch, statistics in zip(batches, _one_behind(computed), strict=True):
            write_rows(store, batch, statistics, channels)
            progress.add(len(batch))


def _one_behind(computed: Iterator[BatchStatistics]) -> Iterator[BatchStatistics]:
    """Yield each item after the next one was started, so that a GPU computes while a batch is written."""
    ready = next(computed, None)
    while ready is not None:
        started = next(computed, None)
        yield ready
        ready = started


def create_datasets(store: h5py.File, clips: int, inference: Inference, channels: Sequence[str]) -> None:
    """Create a dataset (clips, dimensions) float32 for every block, channel and moment."""
    for place in product(inference.blocks, channels, MOMENTS):
        store.create_dataset(statistics_name(*place), (clips, inference.encoder.embed_dim), "f4")


def write_rows(store: h5py.File, batch: Batch, statistics: BatchStatistics, channels: Sequence[str]) -> None:
    """Write the statistics of a batch into the rows of its clips."""
    first, last = batch[0], batch[-1]
    # One write a batch where the clips are neighbours; HDF5 takes other indices one by one.
    rows = slice(first, last + 1) if last - first + 1 == len(batch) else list(batch)
    for block, moments in statistics.arrays().items():
        for moment, values in zip(MOMENTS, moments, strict=True):
            for row, channel in enumerate(channels):
                store[statistics_name(block, channel, moment)][rows] = values[:, row]


def _add_head(store: h5py.File, adapter: Path, block: int) -> None:
    """Add the embedding of the ArcFace head, (clips, 256) float32, from the statistics that the store already holds."""
    from workflow_lib.adaptation.folder import load_heads
    from workflow_lib.adaptation.heads import head_embedding

    stored = read_statistics(store, block)
    near, far = ((stored[channel]["mean"], stored[channel]["std"]) for channel in CHANNELS)
    store.create_dataset("head/embedding", data=head_embedding(near, far, load_heads(adapter)).numpy(), dtype="f4")
