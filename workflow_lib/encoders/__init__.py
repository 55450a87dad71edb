"""Pretrained audio encoders behind one interface: `load_encoder(name, checkpoint)`.

An encoder is one module here plus one line in the registry; nothing heavy is imported before an encoder is asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import UserError, nearest

if TYPE_CHECKING:
    from workflow_lib.encoders.base import Encoder

_LOADERS = {
    "eat": "workflow_lib.encoders.eat:load_eat",
    "ced": "workflow_lib.encoders.ced:load_ced",
    "m2d": "workflow_lib.encoders.m2d:load_m2d",
}


def encoder_names() -> list[str]:
    """Return the names that `load_encoder` knows, sorted."""
    return sorted(_LOADERS)


def load_encoder(name: str, checkpoint: str | Path, *, length: str = "native", **options) -> Encoder:
    """Load a published checkpoint, or build an untrained encoder, in evaluation mode on the CPU in float32.

    name: `eat`, `ced` or `m2d`.
    checkpoint: a file or a folder in a published layout (recognised by content), or `"random"`.
    length: `native` encodes the whole clip, `reference` pads or crops as the published recipe does.
    options: `seed`, `embed_dim`, `depth`, `num_heads` for `"random"` (`num_heads` also where a file does not state it);
    `trust_pickle`, the names of Python types that a `.pt` file may hold beside tensors.
    Raises UserError, one line, for an unknown name and for a file that is not a whole checkpoint of this encoder.
    """
    if name not in _LOADERS:
        raise UserError(f"there is no encoder named {name!r}: {nearest(name, encoder_names())}")
    module, function = _LOADERS[name].split(":")
    return getattr(import_module(module), function)(checkpoint, length=length, **options)
