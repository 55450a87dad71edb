"""What the encoder tests share: golden clips, published files in small, and ways to damage a weight file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import Encoder
from workflow_lib.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden"


@dataclass(frozen=True)
class Published:
    """A golden checkpoint in a published layout, at small width.

    tensors: names in the file of a bias in the last block, a token or table, a norm and the patch projection.
    """

    encoder: str
    file: Path
    num_heads: int
    tensors: tuple[str, str, str, str]

    def load(self, checkpoint: Path | str | None = None, **options) -> Encoder:
        return load_encoder(self.encoder, checkpoint or self.file, **{"num_heads": self.num_heads, **options})


def _prefixed(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names)


_BIAS, _PATCH = "blocks.11.mlp.fc2.bias", "patch_embed.proj.weight"
_IMAGE = "modality_encoders.IMAGE."
_CED, _M2D = (_BIAS, "freq_pos_embed", "norm.weight", _PATCH), (_BIAS, "cls_token", "norm.weight", _PATCH)
M2D_608 = GOLDEN / "m2d" / "m2d_as_vit_base-80x608p16x16-240213" / "checkpoint-300.pth"
M2D_1001 = GOLDEN / "m2d" / "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly" / "weights_ep69it3124-0.48494.pth"
M2D_PREFIX = {M2D_608: "", M2D_1001: "module.ar.runtime.backbone."}
PUBLISHED = {
    "eat": Published(
        "eat",
        GOLDEN / "eat" / "eat_small_pt.pt",
        6,
        (_BIAS, *_prefixed(_IMAGE, "extra_tokens", "context_encoder.norm.weight", "local_encoder.proj.weight")),
    ),
    "ced": Published("ced", GOLDEN / "ced" / "audiotransformer_base_mAP_4999.pt", 4, _CED),
    "ced_hugging_face": Published(
        "ced", GOLDEN / "ced" / "hf_layout_model.safetensors", 4, _prefixed("encoder.", *_CED)
    ),
    "m2d_608": Published("m2d", M2D_608, 4, _M2D),
    "m2d_1001": Published("m2d", M2D_1001, 4, _prefixed(M2D_PREFIX[M2D_1001], *_M2D)),
}
EAT = PUBLISHED["eat"]


def golden_clip(name: str) -> Tensor:
    """Return a golden clip as (1, samples) float32; name is `6s`, `10s` or `16s`."""
    with np.load(GOLDEN / "ced" / "clips.npz") as clips:
        return torch.from_numpy(clips[f"wav_{name}"].astype(np.float32) / 32768).unsqueeze(0)


def golden_values(encoder: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / encoder / "expected.npz") as values:
        return {name: torch.from_numpy(values[name]) for name in values}


def assert_close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def assert_statistics(
    encoder: Encoder, waveform: Tensor, expected: dict[str, Tensor], key: str, blocks: Iterable[int]
) -> None:
    """Compare mean and standard deviation of the last clip with the golden ones, `<key>_block<number>_<moment>`."""
    statistics = encoder.statistics(encoder.frontend(waveform), blocks)
    for block in blocks:
        for index, kind in enumerate(("mean", "std")):
            assert_close(statistics[block][index][-1], expected[f"{key}_block{block:02d}_{kind}"], 2e-5)


@pytest.fixture
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@cache
def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return load_file(file)
    with torch.serialization.safe_globals([argparse.Namespace]):
        state = torch.load(file, weights_only=True)
    return {name: tensor for name, tensor in state.get("model", state).items() if name != "_ema"}


def read_state(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a golden checkpoint, without the wrapper and EAT's teacher."""
    return dict(_read(file))


def name_in_fairseq(name: str) -> str | None:
    """A published EAT name without its outer prefix -> the name in a fairseq pretraining file (None for the heads)."""
    if name.startswith(("fc_norm.", "head.")):
        return None
    if name.startswith(("blocks.", "modality_encoders.")):
        return name
    return _IMAGE + name.replace("pre_norm", "context_encoder.norm")


def eat_layout(layout: str) -> dict[str, Tensor]:
    """Make the tensors of one published EAT layout, at small width, out of the fairseq pretraining tensors."""
    shapes = json.loads((GOLDEN / "eat" / "layouts.json").read_text())[layout]
    tensors, state = {}, read_state(EAT.file)
    for name, shape in shapes.items():
        source = name_in_fairseq(name.removeprefix("model."))
        small = [{768: 96, 2304: 288, 3072: 384, 48: 6}.get(size, size) for size in shape]
        tensors[name] = state[source].float() if source else torch.full(small, 0.5)
        assert list(tensors[name].shape) == small, name
    return tensors


def write_hugging_face_eat(folder: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    sizes = {"model_type": "eat", "embed_dim": 96, "depth": 12, "num_heads": 6}
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


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
    changed = dict(state)
    if damage == "missing":
        del changed[name]
    elif damage == "extra":
        changed[name + "_2"] = state[name].clone()
    elif damage == "shape":
        changed[name] = state[name][..., :-1].contiguous()
    elif damage == "rows":
        changed[name] = state[name][:, :-5].contiguous()
    elif damage == "nan":
        changed[name] = state[name].clone(memory_format=torch.contiguous_format)
        changed[name].view(-1)[0] = torch.nan
    elif damage == "number":
        changed[name] = 3
    return changed


# Damage of a file -> what the message says.
FILE_DAMAGES = {
    "empty": "the file is empty",
    "cut in the middle": "damaged or cut off",
    "cut in the header": "damaged or cut off",
    "without its last byte": "damaged or cut off",
    "a web page": "neither a safetensors nor a torch.save",
    "a Git LFS pointer": "git lfs pull",
    "a pickle of something else": "damaged",
}


def damage_file(source: Path, target: Path, damage: str) -> Path:
    content = source.read_bytes()
    target.write_bytes(
        {
            "empty": b"",
            "cut in the middle": content[: len(content) // 2],
            "cut in the header": content[:40],
            "without its last byte": content[:-1],
            "a web page": b"<!DOCTYPE html><html>404</html>",
            "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
            "a pickle of something else": b"\x80\x02}q\x00.",
        }[damage]
    )
    return target
