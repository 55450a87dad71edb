"""Which encoders there are and what each takes, read from the text of their files: an import would bring torch."""

import ast
from pathlib import Path

from workflow_lib.config.functions_by_file import functions_by_file

# What the configuration can say to a loader; each loader takes some of them.
OPTIONS = (
    *("length", "seed", "embed_dim", "depth", "num_heads", "chunk_frames", "trust_pickle"),
    *("mels", "low_hz", "high_hz", "window_samples"),
)
_FOLDER = Path(__file__).parents[1] / "encoders"


def encoder_names() -> list[str]:
    """Return the names that `load_encoder` knows, sorted."""
    return sorted(_loaders())


def encoder_options(name: str) -> list[str]:
    """Return those of OPTIONS that the loader of an encoder takes, read from its signature."""
    return [option for option in OPTIONS if option in _arguments(name) or _loaders()[name].args.kwarg]


def has_weights(name: str) -> bool:
    """Whether an encoder has weights, and so a checkpoint and blocks: its loader takes a checkpoint."""
    return "checkpoint" in _arguments(name)


def _arguments(name: str) -> set[str]:
    arguments = _loaders()[name].args
    return {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}


def _loaders() -> dict[str, ast.FunctionDef]:
    """Encoder -> its loader, `load_<name>` of `<name>.py`."""
    return functions_by_file(_FOLDER, "load")
