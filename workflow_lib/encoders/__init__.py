"""Pretrained audio encoders behind one interface: `load_encoder(name, checkpoint)`.

An encoder is one file: the module `<name>.py` of this folder that defines `load_<name>(checkpoint, *, length, ...)`.
Nothing but the standard library is imported before an encoder is asked for: the configuration is checked with this.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_lib.errors import UserError, nearest

if TYPE_CHECKING:
    from workflow_lib.encoders.base import Encoder

# What the configuration can say to a loader; each loader takes some of them.
OPTIONS = ("length", "seed", "embed_dim", "depth", "num_heads", "chunk_frames", "trust_pickle")
_FOLDER = Path(__file__).parent


def encoder_names() -> list[str]:
    """Return the names that `load_encoder` knows, sorted."""
    return sorted(_loaders())


def encoder_options(name: str) -> list[str]:
    """Return those of OPTIONS that the loader of an encoder takes, read from its signature."""
    arguments = _loaders()[name].args
    named = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
    return [option for option in OPTIONS if option in named or arguments.kwarg]


def load_encoder(name: str, checkpoint: str | Path, *, length: str = "native", **options) -> Encoder:
    """Load a published checkpoint, or build an untrained encoder, in evaluation mode on the CPU in float32.

    name: `eat`, `ced`, `m2d`, or `huggingface` (audio models of the transformers library).
    checkpoint: a file or a folder in a published layout (recognised by content), or `"random"`.
    length: `native` encodes the whole clip, `reference` pads or crops as the published recipe does.
    options: `seed`, `embed_dim`, `depth`, `num_heads` for `"random"` (`num_heads` also where a file does not state it);
    `trust_pickle`, the names of Python types that a `.pt` file may hold beside tensors.
    Raises UserError, one line, for an unknown name and for a file that is not a whole checkpoint of this encoder.
    """
    if name not in _loaders():
        raise UserError(f"there is no encoder named {name!r}: {nearest(name, encoder_names())}")
    module = import_module(f"{__name__}.{name}")
    return getattr(module, f"load_{name}")(checkpoint, length=length, **options)


@cache
def _loaders() -> dict[str, ast.FunctionDef]:
    """Find `load_<name>` in each `<name>.py`, by reading the text: an import would bring torch."""
    found = {}
    for path in sorted(_FOLDER.glob("*.py")):
        try:
            definitions = ast.parse(path.read_text(encoding="utf-8")).body
        except (SyntaxError, ValueError) as fault:
            raise UserError(f"{path}: this is no Python ({fault}): mend it, or take it out of the folder") from fault
        for node in definitions:
            if isinstance(node, ast.FunctionDef) and node.name == f"load_{path.stem}":
                found[path.stem] = node
    return found
