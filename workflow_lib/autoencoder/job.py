"""The autoencoder jobs: training on a machine's normal clips, then the residuals of all its clips in an HDF5 store."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from workflow_lib.autoencoder.inference import FoldedAutoencoder
from workflow_lib.autoencoder.log_mel import channel_frames, five_frame_vectors, log_mel
from workflow_lib.autoencoder.network import Autoencoder, ClipResidual, clip_residuals
from workflow_lib.autoencoder.training import EpochLog, train_autoencoder
from workflow_lib.channels import Cancellation, channel_waveforms
from workflow_lib.config.channel_names import CANCELLED
from workflow_lib.dataset.loader import prefetch, read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.store import create_store, store_facts
from workflow_lib.encoders.checkpoint import digest_tensors
from workflow_lib.errors import UserError
from workflow_lib.files import write_csv

log = logging.getLogger(__name__)
UNITS = "residuals in dB, mse and second moments in dB^2"
BATCH_COLUMNS = ("score", "value")
NOTES = "notes"  # key of the training's notes in the metadata of the weights, from which the scores take them


def train_on_machine(
    clips: Sequence[Clip],
    weights: Path,
    training_log: Path,
    batch_values: Path,
    *,
    model: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> None:
    """Train the autoencoder of one machine on its normal training clips; `model` is its config entry.

    Writes the weights (safetensors, with the residual covariances of both domains), the training log and the scores of
    whole batches that the baseline fits its thresholds to (CSV).
    """
    chosen = [clip for clip in clips if clip.split == "train" and clip.label == "normal"]
    trained = train_autoencoder(
        list(prefetch(lambda clip: _frames(clip, model, reading), chosen)),
        [clip.domain == "target" for clip in chosen],
        epochs=model["epochs"],
        batch_size=model["batch_size"],
        learning_rate=model["learning_rate"],
        seed=model["seed"],
        progress=lambda epoch: log.info("loss %.4f, validation %.4f", epoch.loss, epoch.val_loss),
    )
    trained.network.save(weights, {NOTES: "\n".join(trained.notes)})
    columns = [column.name for column in fields(EpochLog)]
    rows = ([number, *astuple(epoch)] for number, epoch in enumerate(trained.log, 1))
    write_csv(training_log, ["epoch", *columns], rows)
    samples = {"mse": trained.mse_sample, "mahalanobis": trained.mahalanobis_sample}
    write_csv(batch_values, BATCH_COLUMNS, ((name, repr(float(v))) for name, values in samples.items() for v in values))


def reconstruct_machine(
    clips: Sequence[Clip],
    weights: str,
    path: Path,
    *,
    name: str,
    model: Mapping[str, Any],
    second_moments: bool,
    reading: Mapping[str, Any],
    code: str,
) -> None:
    """Write the residual summaries of all clips of a machine, and the covariances of its autoencoder, into a store."""
    network = Autoencoder.load(weights)
    folded = FoldedAutoencoder(network)

    def summary(clip: Clip) -> ClipResidual:
        vectors = five_frame_vectors(_frames(clip, model, reading))
        return clip_residuals(folded, vectors, second_moment=second_moments)

    residuals = list(map(summary, clips))
    columns: dict[str, NDArray] = {
        "mse": np.array([residual.mse for residual in residuals]),
        "mean_residual": np.stack([residual.mean_residual for residual in residuals]),
        "covariance_source": network.cov_source.numpy(),
        "covariance_target": network.cov_target.numpy(),
    }
    moments = [residual.second_moment for residual in residuals if residual.second_moment is not None]
    if moments:
        columns["second_moment"] = np.stack(moments)
    with safe_open(weights, framework="np") as file:
        notes = (file.metadata() or {}).get(NOTES, "")
    facts = store_facts(name, dict(model), True, digest_tensors(network.state_dict()), code, UNITS)
    with create_store(path, clips, {**facts, NOTES: notes}) as store:
        for key, values in columns.items():
            store.create_dataset(f"residuals/{key}", data=values)


def _frames(clip: Clip, model: Mapping[str, Any], reading: Mapping[str, Any]) -> NDArray[np.float32]:
    try:
        recorded = read_waveform(clip, reading)
        if model["input"] == CANCELLED:
            return log_mel(
                channel_waveforms(recorded, [CANCELLED], Cancellation.from_mapping(model["cancellation"]))[0]
            )
        return channel_frames(recorded, model["input"])
    except UserError as error:
        raise UserError(f"{clip.path}: {error}") from None
