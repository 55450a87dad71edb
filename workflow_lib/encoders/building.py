"""An encoder from its entry in the configuration."""

from collections.abc import Mapping
from typing import Any

from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import Encoder

SIZES = ("seed", "embed_dim", "depth", "num_heads")  # of an untrained encoder


def build_encoder(settings: Mapping[str, Any]) -> Encoder:
    """The frozen encoder of a model's config entry, on the CPU, in evaluation mode."""
    sizes = {key: settings[key] for key in SIZES if key in settings}
    return load_encoder(settings["encoder"], settings["checkpoint"], length=settings.get("length", "native"), **sizes)
