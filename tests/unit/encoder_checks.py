"""What the encoder tests share: golden clips, and ways to damage a weight file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_lib.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_clip(name: str) -> Tensor:
    """Return a golden clip as (1, samples) float32; name is `6s`, `10s` or `16s`."""
    with np.load(GOLDEN / "ced" / "clips.npz") as clips:
        return torch.from_numpy(clips[f"wav_{name}"].astype(np.float32) / 32768).unsqueeze(0)


def golden_values(encoder: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / encoder / "expected.npz") as values:
        return {name: torch.from_numpy(values[name]) for name in values}


def assert_close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def read_state(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a golden checkpoint, without the wrapper."""
    if file.suffix == ".safetensors":
        return load_file(file)
    with torch.serialization.safe_globals([argparse.Namespace]):
        state = torch.load(file, weights_only=True)
    return dict(state.get("model", state))


def write_state(file: Path, state: dict[str, Tensor]) -> Path:
    if file.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return file


class RunsCode:
    """What a hostile pickle holds: loading it the old way would make the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.path),)


def one_line_error(load: Callable[[], object]) -> str:
    """Return the text of the UserError that `load` raises, which is one line."""
    with pytest.raises(UserError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    return message


def damage_tensors(state: dict[str, Tensor], damage: str, name: str) -> dict[str, Tensor]:
    """Return the state with one tensor missing, extra, mis-shaped, turned into a number, or not finite."""
    state = {key: tensor.clone() for key, tensor in state.items()}
    if damage == "missing":
        del state[name]
    elif damage == "extra":
        state[name + "_2"] = state[name].clone()
    elif damage == "shape":
        state[name] = state[name][..., :-1]
    elif damage == "nan":
        state[name].view(-1)[0] = torch.nan
    elif damage == "number":
        state[name] = 3
    return state


def damage_file(source: Path, target: Path, damage: str) -> Path:
    """Write a copy of a file that is cut off, empty, text, or has bytes changed in the middle."""
    content = source.read_bytes()
    middle = len(content) // 2
    target.write_bytes(
        {
            "truncated": content[:middle],
            "beheaded": content[:40],
            "empty": b"",
            "text": b"<html>404: not found</html>",
            "flipped": content[:middle]
            + bytes(255 - byte for byte in content[middle : middle + 64])
            + content[middle + 64 :],
        }[damage]
    )
    return target
