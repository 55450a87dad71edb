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
from one_line import one_line_error as expect_one_line
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import Encoder

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
    with expect_one_line() as caught:
        load()
    return str(caught.value)


# Damage of a tensor -> what the message says before its name.
FAULTS = {"missing": "missing: ", "extra": "unexpected: ", "shape": "wrong shape: ", "nan": "NaN values in "}


def damage_tensors(state: dict[str, Tensor], damage: str, name: str) -> dict[str, Tensor]:
    """Return the state with one tensor missing, extra, mis-shaped, turned into a number, or not finite."""
    tensor = state[name]
    if damage == "missing":
        return {other: state[other] for other in state if other != name}
    if damage == "nan":
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        tensor.view(-1)[0] = torch.nan
        return {**state, name: tensor}
    return {
        "extra": lambda: {**state, name + "_2": tensor.clone()},
        "shape": lambda: {**state, name: tensor[..., :-1].contiguous()},
        "rows": lambda: {**state, name: tensor[:, :-5].contiguous()},
        "number": lambda: {**state, name: 3},
    }[damage]()


# Damage of a file -> the content that it makes of the sound one, and what the message says.
FILE_DAMAGES = {
    "empty": (lambda content: b"", "the file is empty"),
    "cut in the middle": (lambda content: content[: len(content) // 2], "damaged or cut off"),
    "cut in the header": (lambda content: content[:40], "damaged or cut off"),
    "without its last byte": (lambda content: content[:-1], "damaged or cut off"),
    "a web page": (lambda _: b"<!DOCTYPE html><html>404</html>", "neither a safetensors nor a torch.save"),
    "a Git LFS pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a pickle of something else": (lambda _: b"\x80\x02}q\x00.", "damaged"),
}


def damage_file(source: Path, target: Path, damage: str) -> Path:
    target.write_bytes(FILE_DAMAGES[damage][0](source.read_bytes()))
    return target
