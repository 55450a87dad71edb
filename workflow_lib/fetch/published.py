"""Published weights: where they come from, under which licence, and which of them a checkpoint of the configuration is.

Imported while the DAG is built: standard library and yaml only. Facts stand in weights.yaml, beside this file.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflow_lib.files import read_yaml

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Published:
    """One published weight file, with the licence of its encoder."""

    encoder: str
    name: str
    title: str
    file: str
    licence: str
    licence_url: str
    restricted: str | None = None  # why it has to be accepted
    hosts: tuple[str, ...] = ()
    huggingface: str | None = None
    archive: str | None = None
    url: str | None = None
    sha256: str | None = None
    megabytes: int = 0

    @property
    def address(self) -> str:
        """Where it is downloaded from; HF_ENDPOINT names a mirror of Hugging Face."""
        if self.huggingface:
            endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
            return f"{endpoint}/{self.huggingface}/resolve/main/{self.file}"
        return self.archive or self.url or ""

    def destination(self, checkpoint: str) -> Path:
        """The file that a checkpoint of the configuration names: itself, or the published one in a folder."""
        path = Path(checkpoint)
        return path if path.suffix in WEIGHT_SUFFIXES else path / self.file


@cache
def published() -> dict[str, list[Published]]:
    """All published files by encoder, the one that config.yaml means first."""
    found: dict[str, list[Published]] = {}
    for encoder, entry in read_yaml(Path(__file__).with_name("weights.yaml")).items():
        shared = {**entry, "hosts": tuple(entry["hosts"])}
        files = shared.pop("files")
        found[encoder] = [Published(encoder=encoder, name=name, **shared, **file) for name, file in files.items()]
    return found


def restricted_encoders() -> list[str]:
    """Encoders whose licence has to be accepted (fetch.accept_licence)."""
    return [encoder for encoder, files in published().items() if files[0].restricted]


def meant_by(encoder: str, checkpoint: str) -> Published | None:
    """The published file that a checkpoint of the configuration stands for, by its path; None for other encoders.

    A published name in the path decides, then the file's own name, then its kind; a folder of any name means the first.
    """
    path, known = Path(checkpoint), published().get(encoder, [])
    named = [file for file in known if file.name in (*path.parts, path.stem)]
    same_name = [file for file in known if file.file == path.name]
    same_kind = [file for file in known if path.suffix not in WEIGHT_SUFFIXES or file.file.endswith(path.suffix)]
    return next(iter([*named, *same_name, *same_kind]), None)


def file_on_disk(checkpoint: str) -> Path | None:
    """The weight file that a checkpoint leads to, as the loader finds it; None if there is none, or no single one."""
    path = Path(checkpoint)
    if not path.is_dir():
        return path if path.is_file() else None
    files = sorted(file for file in path.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    preferred = [file for file in files if file.suffix == ".safetensors"] or files
    return preferred[0] if len(preferred) == 1 else None
