"""An encoder from its entry in the configuration."""

from collections.abc import Mapping
from typing import Any

from workflow_lib.config.encoder_options import encoder_options
from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import Encoder


def build_encoder(settings: Mapping[str, Any]) -> Encoder:
    """The frozen encoder of a model's config entry, on the CPU, in evaluation mode."""
    options = {key: settings[key] for key in encoder_options(settings["encoder"]) if key in settings}
    return load_encoder(settings["encoder"], settings["checkpoint"], **options)
