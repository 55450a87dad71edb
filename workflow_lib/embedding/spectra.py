"""The embedding job of an encoder without weights: log-mel statistics of every clip of a machine. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workflow_lib.channels import Cancellation
from workflow_lib.dataset.loader import prefetch, read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.store import create_store, statistics_name, store_facts
from workflow_lib.encoders import build_encoder
from workflow_lib.encoders.logmel import STATISTICS
from workflow_lib.errors import UserError
from workflow_lib.progress import Progress

UNITS = "statistics of log-mel bands in dB"
NO_WEIGHTS = "none"  # stands where other stores have the digest of the weights


def embed_spectra(
    clips: Sequence[Clip],
    path: Path,
    *,
    name: str,
    model: Mapping[str, Any],
    channels: Sequence[str],
    reading: Mapping[str, Any],
    workers: int,
    code: str,
) -> None:
    """Write the log-mel statistics of all clips of a machine into a store at `path`; `model` is its config entry.

    Each clip is read once and on its own; `workers` threads read and compute, and their number changes no byte.
    """
    encoder = build_encoder(model)
    cancellation = Cancellation.from_mapping(model["cancellation"])

    def computed(clip: Clip) -> NDArray[np.float64]:
        try:
            spectra = encoder.spectra(read_waveform(clip, reading), channels, cancellation)
        except UserError as error:
            raise UserError(f"{clip.path}: {error}") from None
        found = (encoder.statistics(spectra[channel]) for channel in channels)
        return np.stack([np.stack([statistics[s] for s in STATISTICS]) for statistics in found])

    facts = store_facts(name, {"model": dict(model)}, True, NO_WEIGHTS, code, UNITS) | {"encoder": encoder.name}
    with create_store(path, clips, facts) as store, threadpool_limits(1, user_api="blas"):
        rows = np.empty((len(clips), len(channels), len(STATISTICS), encoder.mels), np.float32)
        with Progress(len(clips), f"embed {clips[0].machine} with {name}") as progress:
            for index, values in enumerate(prefetch(computed, clips, workers)):
                rows[index] = values
                progress.add(1)
        for c, channel in enumerate(channels):
            for s, statistic in enumerate(STATISTICS):
                store.create_dataset(statistics_name(None, channel, statistic), data=rows[:, c, s])
