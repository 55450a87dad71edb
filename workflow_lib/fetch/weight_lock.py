"""What was seen of weight files when they were first met: `weights/fetch.lock.json`, to be kept and shared."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from workflow_lib.errors import UserError

LOCK = Path("weights", "fetch.lock.json")
SCHEMA = 1
ON_DISK = "on disk"  # source of a file that was there already


@dataclass(frozen=True)
class Seen:
    """One weight file as first met; `source` is the address that it came from, or ON_DISK."""

    sha256: str
    size: int
    published: str | None  # the published name of what it was fetched as
    source: str


def read_lock(path: Path = LOCK) -> dict[str, Seen]:
    """Weight files by path; empty if there is no lock yet, UserError if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        return {file: Seen(**entry) for file, entry in content["weights"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a lock file of this version ({error}): restore it, or remove it") from None


def write_lock(entries: Mapping[str, Seen], path: Path = LOCK) -> None:
    """Write all entries, sorted; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "weights": {file: asdict(entries[file]) for file in sorted(entries)}}
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file; once for each version of it in a process."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
