"""Reading weight files: safetensors and `torch.save` files, without ever running code that a pickle names."""

import argparse
import hashlib
import json
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workflow_lib.errors import UserError, and_more

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_SHOWN = 4  # tensors named in a message before "and N more"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a weight file: tensors by name, other entries of the state, and what is stored beside the state."""

    path: Path
    tensors: dict[str, Tensor]
    others: dict[str, Any] = field(default_factory=dict)  # entries among the tensors that are no tensors
    extras: dict[str, Any] = field(default_factory=dict)  # `cfg`, ... beside `model`; or config.json


def read_checkpoint(path: str | Path, trust_pickle: Sequence[str] = ()) -> Checkpoint:
    """Read a weight file, or the one weight file of a folder; tensors stay on the CPU in the file's precision.

    trust_pickle: full names of Python types, such as `numpy.dtype`, that a `torch.save` file may hold beside tensors.
    Raises UserError, one line, for a file that is empty, cut off, damaged, no checkpoint, or in need of other types.
    """
    file = find_weight_file(Path(path))
    kind = _recognise(file)
    if kind == "safetensors":
        return Checkpoint(file, _read_safetensors(file), extras=_read_config(file))
    state = _read_torch(file, kind, trust_pickle)
    extras = {}
    if isinstance(state.get("model"), Mapping):
        extras, state = {name: entry for name, entry in state.items() if name != "model"}, state["model"]
    state = {str(name): entry for name, entry in state.items()}
    tensors = {name: entry for name, entry in state.items() if isinstance(entry, Tensor)}
    others = {name: entry for name, entry in state.items() if name not in tensors}
    return Checkpoint(file, tensors, others, extras or _read_config(file))


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a file that must be safetensors: of any other kind, whatever its name, nothing is opened."""
    if _recognise(file) != "safetensors":
        raise UserError(f"{file}: this is a pickle of torch.save, not safetensors: give the model's safetensors file")
    return _read_safetensors(file)


def find_weight_file(path: Path) -> Path:
    """Return the file itself, or the only weight file in a folder (safetensors first, as Hugging Face does)."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: there is no such file or folder: give the checkpoint's path")
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    preferred = [file for file in files if file.suffix == ".safetensors"] or files
    if len(preferred) == 1:
        return preferred[0]
    names = ", ".join(file.name for file in preferred)
    fault = f"holds several weight files ({names})" if names else f"holds no weight file ({', '.join(_SUFFIXES)})"
    raise UserError(f"{path}: the folder {fault}: give the path of one file")


def _recognise(file: Path) -> str:
    """Tell a file by its first bytes: `safetensors`, `zip` (torch.save), or `legacy` (torch.save before 1.6)."""
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError as fault:
        raise UserError(f"{file}: the file cannot be read ({fault.strerror}): check its permissions") from fault
    if not head:
        raise UserError(f"{file}: the file is empty: fetch the checkpoint again")
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{file}: this is a Git LFS pointer, not the weights: run `git lfs pull` where it came from")
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head[8:9] == b"{":
        return "safetensors"
    if head[:1] == b"\x80":
        return "legacy"
    raise UserError(f"{file}: this is neither a safetensors nor a torch.save file: give the published file")


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file, device="cpu")
    except (SafetensorError, ValueError, KeyError) as fault:
        raise UserError(f"{file}: the file is damaged or cut off ({_first_line(fault)}): fetch it again") from fault


def _read_config(file: Path) -> dict[str, Any]:
    """Return the `config.json` beside a Hugging Face file, or nothing."""
    config = file.with_name("config.json")
    content = read_json(config) if config.is_file() else {}
    return content if isinstance(content, dict) else {}


def read_json(file: Path) -> Any:
    """Return the content of a JSON file; UserError if it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UserError(f"{file}: this is no JSON ({_first_line(fault)}): fetch it again") from fault


def _read_torch(file: Path, kind: str, trust_pickle: Sequence[str]) -> Mapping[str, Any]:
    if kind == "zip":
        _check_archive(file)
    # argparse.Namespace is plain data, and the published M2D file holds one.
    names = [trust_pickle] if isinstance(trust_pickle, str) else trust_pickle
    trusted: list[Any] = [argparse.Namespace, *((_import_type(name), name) for name in names)]
    try:
        with torch.serialization.safe_globals(trusted), warnings.catch_warnings(action="ignore"):
            # Mapped, so that an optimiser state beside the weights is never read.
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=kind == "zip")
    except pickle.UnpicklingError as fault:
        raise UserError(_explain_pickle(file, str(fault))) from fault
    except Exception as fault:  # torch raises nearly anything on damaged bytes
        raise UserError(f"{file}: the file is damaged or cut off ({_first_line(fault)}): fetch it again") from fault
    if not isinstance(content, Mapping):
        raise UserError(f"{file}: holds a {type(content).__name__}, not named tensors: give the published checkpoint")
    return content


def _check_archive(file: Path) -> None:
    """Refuse an archive that is cut off or whose entries fail their checksums, which torch does not check."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as fault:
        raise UserError(f"{file}: the file is damaged or cut off ({_first_line(fault)}): fetch it again") from fault
    if damaged:
        raise UserError(f"{file}: the file is damaged (entry {damaged} fails its checksum): fetch it again")


def _explain_pickle(file: Path, message: str) -> str:
    wanted = re.findall(r"(?:GLOBAL |but got <class ')([\w.]+)", message)
    with suppress(Exception):  # names all at once; works on archives only
        wanted += torch.serialization.get_unsafe_globals_in_checkpoint(file)
    names = sorted(set(wanted) - {"argparse.Namespace"})
    if not names:
        return f"{file}: this is a damaged checkpoint, or a pickle that torch.save did not write: fetch it again"
    return (
        f"{file}: opening it would make Python run {', '.join(names)}: take a file of tensors only, or, if you trust "
        "its source, list exactly these names in trust_pickle"
    )


def _import_type(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as fault:
        raise UserError(f"trust_pickle: there is no {name!r} here: write a full name like numpy.dtype") from fault


def take_tensors(checkpoint: Checkpoint, expected: Mapping[str, Tensor], ignorable: Iterable[str]) -> dict[str, Tensor]:
    """Return the expected tensors by the file's names, as own copies in the expected precision.

    expected: tensors whose shape and dtype count (they may be on the meta device).
    ignorable: other names the file may hold.
    """
    found: dict[str, tuple[int, ...] | None] = dict.fromkeys(checkpoint.others)
    found |= {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    check_tensors(shapes, found, ignorable, str(checkpoint.path))
    taken = {
        name: checkpoint.tensors[name].to(tensor.dtype, copy=True).contiguous() for name, tensor in expected.items()
    }
    check_finite(taken, checkpoint.path)
    return taken


def check_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise UserError naming the tensors that hold an infinite or NaN value."""
    # The extremes carry every NaN and infinity, and take a tenth of the time of isfinite over all.
    broken = [name for name, tensor in tensors.items() if not torch.stack(tensor.aminmax()).isfinite().all()]
    if broken:
        raise UserError(f"{file}: infinite or NaN values in {and_more(sorted(broken), _SHOWN)}: fetch the file again")


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over the sorted names, shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_tensors(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...] | None],
    ignorable: Iterable[str],
    where: str,
) -> None:
    """Raise one UserError line naming what is missing, unexpected or mis-shaped; shape None means no tensor."""
    missing = [name for name in expected if name not in found]
    known = set(expected).union(ignorable)
    extra = [name for name in found if name not in known]
    shapes = [
        f"{name} is {'no tensor' if found[name] is None else found[name]}, not {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    faults = [
        f"{title} {and_more(sorted(names), _SHOWN)}"
        for title, names in (("missing:", missing), ("unexpected:", extra), ("wrong shape:", shapes))
        if names
    ]
    if faults:
        raise UserError(f"{where}: not the tensors of this encoder ({'; '.join(faults)}): give a published file")


def _first_line(fault: Exception) -> str:
    """Return the first sentence: what follows in torch's messages is advice for programmers."""
    return (str(fault).strip() or type(fault).__name__).splitlines()[0].split(". ")[0]
