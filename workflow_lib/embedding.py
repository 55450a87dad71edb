"""The embedding job: every clip of a machine through one encoder, once, into an HDF5 store."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from workflow_lib import __version__
from workflow_lib.adaptation.settings import AdapterSettings
from workflow_lib.device import choose_device
from workflow_lib.digest import settings_digest
from workflow_lib.encoders.base import Encoder
from workflow_lib.encoders.building import build_encoder
from workflow_lib.errors import UserError
from workflow_lib.manifest import Clip
from workflow_lib.recordings import CHANNELS, ahead, equal_length_batches, read_waveform
from workflow_lib.store import create_store, read_statistics, statistics_name

log = logging.getLogger(__name__)
MOMENTS = ("mean", "std")
DEFAULT_BATCH = 8
REPORT_EVERY_S = 10.0


def embed_machine(
    clips: Sequence[Clip],
    path: Path,
    *,
    name: str,
    model: Mapping[str, Any],
    encoder_settings: Mapping[str, Any],
    adapter: Sequence[str],
    reading: Mapping[str, Any],
    device: str,
    code: str,
) -> None:
    """Embed all clips of a machine with a frozen or adapted model into a store at `path`.

    `model` and `encoder_settings` are config entries (equal for a frozen model); `adapter` holds the folder of an
    adapted model, or nothing. Near and far go through the encoder in one pass; memory is that of one batch.
    """
    encoder = build_encoder(encoder_settings)
    _check_blocks(encoder, model["blocks"], name)
    if adapter:
        # Imported here: peft brings transformers, three seconds that frozen models need not wait for.
        from workflow_lib.adaptation.folder import load_adapted

        encoder = load_adapted(Path(adapter[0]), encoder)
    facts = _provenance({"model": dict(model), "encoder": dict(encoder_settings)}, encoder, name, code)
    job = _Embedding(clips, encoder.to(choose_device(device)).eval(), model["blocks"], reading)
    with create_store(path, clips, facts) as store, torch.inference_mode():
        job.fill(store, _batch_size(model, job.device))
        if adapter:
            _add_head(store, Path(adapter[0]), AdapterSettings.from_mapping(model["adaptation"]).statistics_block)


def _batch_size(model: Mapping[str, Any], device: torch.device) -> int:
    # The matrix library of a CPU may add in another order for another number of rows: one clip at a time keeps its
    # statistics, byte for byte, independent of the clips around it (leakage rule 3), and is no slower there.
    return 1 if device.type == "cpu" else model.get("batch_size", DEFAULT_BATCH)


def _add_head(store: h5py.File, adapter: Path, block: int) -> None:
    """Add the embedding of the ArcFace head, (clips, 256) float32, from the statistics that the store already holds."""
    from workflow_lib.adaptation.folder import load_heads
    from workflow_lib.adaptation.heads import head_embedding

    near, far = (read_statistics(store, block)[channel] for channel in CHANNELS)
    store.create_dataset("head/embedding", data=head_embedding(near, far, load_heads(adapter)).numpy(), dtype="f4")


class _Embedding:
    """One pass over the clips of a machine."""

    def __init__(
        self, clips: Sequence[Clip], encoder: Encoder, blocks: Sequence[int], reading: Mapping[str, Any]
    ) -> None:
        self.clips, self.encoder, self.blocks, self.reading = clips, encoder, blocks, reading
        self.device = next(encoder.parameters()).device
        self.channels = CHANNELS[: reading["channels"]]

    def fill(self, store: h5py.File, batch_size: int) -> None:
        """Write {block, channel, moment}: (clips, width) float32; each clip is read once, a batch ahead."""
        width = (len(self.clips), self.encoder.embed_dim)
        moments = {
            (block, channel, moment): store.create_dataset(statistics_name(block, channel, moment), width, "f4")
            for block in self.blocks
            for channel in self.channels
            for moment in MOMENTS
        }
        batches = equal_length_batches(self.clips, batch_size)
        progress = Progress(len(self.clips))
        for batch, waveforms in zip(batches, ahead(self._read, batches), strict=True):
            for key, values in self._statistics(waveforms).items():
                for row, clip in enumerate(batch):
                    moments[key][clip] = values[row]
            progress.add(len(batch))

    def _read(self, batch: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(np.stack([read_waveform(self.clips[index], self.reading) for index in batch]))

    def _statistics(self, waveforms: torch.Tensor) -> dict[tuple[int, str, str], NDArray[np.float32]]:
        """(clips, channels, samples) -> {block, channel, moment}: (clips, width)."""
        features = self.encoder.frontend(waveforms.to(self.device).flatten(0, 1))
        found = {}
        for block, pair in self.encoder.statistics(features, self.blocks).items():
            for moment, values in zip(MOMENTS, pair, strict=True):
                by_channel = values.unflatten(0, waveforms.shape[:2]).cpu().numpy()
                found |= {(block, channel, moment): by_channel[:, i] for i, channel in enumerate(self.channels)}
        return found


class Progress:
    """One line in the log every few seconds: a log file is read by people."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.said = self.start

    def add(self, clips: int) -> None:
        """Count clips as done."""
        self.done += clips
        now = time.monotonic()
        if now - self.said > REPORT_EVERY_S or self.done == self.total:
            log.info("%d of %d clips, %.1f clips/s", self.done, self.total, self.done / max(now - self.start, 1e-9))
            self.said = now


def _provenance(settings: Mapping[str, Any], encoder: Encoder, name: str, code: str) -> dict[str, str]:
    """Attributes of a store: from which settings, weights and code it was made."""
    return {
        "model": name,
        "encoder": encoder.name,
        "trained": "yes" if encoder.trained else "no",
        "config_digest": settings_digest(settings),
        "weights_digest": encoder.weights_digest,
        "code_version": f"{__version__}+{code}",
        "units": "dimensionless token statistics; std divides by the number of tokens",
    }


def _check_blocks(encoder: Encoder, blocks: Sequence[int], name: str) -> None:
    if max(blocks) > encoder.depth:
        raise UserError(f"models.{name}.blocks: the checkpoint has {encoder.depth} blocks: write 1 to {encoder.depth}")
