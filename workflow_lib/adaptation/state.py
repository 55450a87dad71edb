"""The state of a training between epochs: one safetensors file that appears whole and is checked when read."""

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from workflow_lib.files import replacing

LOGGER = logging.getLogger(__name__)
Rows = dict[str, Tensor]


def save_state(
    path: Path, identity: str, epochs_done: int, parameters: dict[str, nn.Parameter], optimizer: Optimizer, rows: Rows
) -> None:
    """Write all that is needed to resume a training after `epochs_done` epochs; `rows` are the logs so far."""
    tensors = {f"parameter.{name}": parameter.detach() for name, parameter in parameters.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    tensors |= {f"rows.{name}": value for name, value in rows.items()}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"identity": identity, "epochs_done": str(epochs_done)})


def load_state(
    path: Path, identity: str, parameters: dict[str, nn.Parameter], optimizer: Optimizer
) -> tuple[int, Rows] | None:
    """Restore parameters and optimiser from a saved state; returns (epochs done, rows), or None without a usable file.

    A file of another training (other clips, settings, seed or weights) and a damaged one are ignored with a warning.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError:
        LOGGER.warning("%s is damaged; training starts from the beginning", path)
        return None
    if metadata.get("identity") != identity:
        LOGGER.warning("%s is of another training; this one starts from the beginning", path)
        return None
    _restore(tensors, parameters, optimizer)
    return int(metadata["epochs_done"]), _with_prefix(tensors, "rows.")


def _restore(tensors: dict[str, Tensor], parameters: dict[str, nn.Parameter], optimizer: Optimizer) -> None:
    saved = _with_prefix(tensors, "parameter.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _with_prefix(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
