"""The adaptation job: from the manifests of the machines that are not held out to an adapter folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_lib.adaptation.training import train_adapter
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.encoders import build_encoder
from workflow_lib.errors import UserError
from workflow_lib.plan.model_name import ModelName


def adapt_model(
    manifests: Sequence[str],
    folder: Path,
    *,
    name: str,
    model: Mapping[str, Any],
    encoder_settings: Mapping[str, Any],
    reading: Mapping[str, Any],
    held_out: Sequence[str],
    device: str,
    state_folder: Path,
) -> None:
    """Train the adapted model `name` (`dualmic@without-fan-seed13711`) on the normal training clips of the manifests.

    `model` and `encoder_settings` are config entries; `held_out`: machines that it must not see. An interrupted
    training resumes from `state_folder`.
    """
    clips = [clip for path in manifests for clip in read_manifest(path) if clip.split == "train"]
    if not clips:
        raise UserError(f"{name}: no machine is left to adapt on: leave-one-machine-out needs two machines or more")
    train_adapter(
        clips,
        lambda: build_encoder(encoder_settings),
        AdapterSettings.from_mapping(model["adaptation"]),
        int(ModelName.parse(name).seed),
        folder,
        held_out=held_out,
        device=device,
        resample=reading["resample"],
        state_folder=state_folder,
    )
