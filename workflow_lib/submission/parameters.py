"""Number of parameters of a system, counted from its weight files, never guessed."""

import json
import struct
from collections.abc import Iterable
from math import prod
from pathlib import Path

from workflow_lib.errors import UserError

SUFFIX = ".safetensors"
# State of a network that is not trained by its loss: running statistics, and the covariances of the residuals.
NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked", "cov_source", "cov_target")


def count_parameters(files: Iterable[str | Path]) -> int:
    """Values of all weights in safetensors files, from their headers alone."""
    left_out = ("__metadata__", *NOT_PARAMETERS)
    entries = [entry for file in files for entry in _header(Path(file)).items()]
    return sum(prod(entry["shape"]) for name, entry in entries if name.rpartition(".")[2] not in left_out)


def _header(path: Path) -> dict:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return json.loads(file.read(min(length, 100 << 20)))
    except (OSError, struct.error, ValueError) as error:
        raise UserError(f"{path}: its parameters cannot be counted ({error}): get the file again") from None
