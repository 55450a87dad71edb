"""Pretrained audio encoders behind one interface, `load_encoder(name, checkpoint)`; device and precision.

An encoder is one file: the module `<name>.py` of this folder that defines `load_<name>(checkpoint, *, length, ...)`,
without `checkpoint` and `length` where it has no weights (`logmel`).
Only the standard library is imported until an encoder is loaded, because the check of the configuration imports this.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from workflow_lib.config.encoder_options import encoder_names, encoder_options, has_weights
from workflow_lib.errors import UserError, nearest

__all__ = ["build_encoder", "load_encoder"]


def load_encoder(name: str, checkpoint: str | Path | None = None, *, length: str = "native", **options: Any) -> Any:
    """Load a published checkpoint, or build an untrained encoder, in evaluation mode on the CPU in float32.

    name: `eat`, `ced`, `m2d`, or `huggingface` (audio models of the transformers library); `logmel`, which has no
    weights, takes neither checkpoint nor length.
    checkpoint: a file or a folder in a published layout (recognised by content), or `"random"`.
    length: `native` encodes the whole clip, `reference` pads or crops as the published recipe does.
    options: `seed`, `embed_dim`, `depth`, `num_heads` for `"random"` (`num_heads` also where a file does not state it);
    `trust_pickle`, the names of Python types that a `.pt` file may hold beside tensors.
    Raises UserError, one line, for an unknown name and for a file that is not a whole checkpoint of this encoder.
    """
    if name not in encoder_names():
        raise UserError(f"there is no encoder named {name!r}: {nearest(name, encoder_names())}")
    load = getattr(import_module(f"{__name__}.{name}"), f"load_{name}")
    return load(checkpoint, length=length, **options) if has_weights(name) else load(**options)


def build_encoder(settings: Mapping[str, Any]) -> Any:
    """Load the frozen encoder of a model's entry in the configuration."""
    options = {key: settings[key] for key in encoder_options(settings["encoder"]) if key in settings}
    return load_encoder(settings["encoder"], settings["checkpoint"], **options)
