"""Sizes and checksums of published files when first seen: `fetch.lock.json` beside the data, to be kept and shared.

That of a suite holds what the records list; that of the weights the sums of the files themselves.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.errors import UserError
from workflow_lib.files import replacing

NAME = "fetch.lock.json"
WEIGHTS_LOCK = Path("weights", NAME)
SCHEMA = 1
ON_DISK = "on disk"  # source of a weight file that was there already
Entries = TypeVar("Entries")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a record of Zenodo; checksum: "md5:<hex>" or "sha256:<hex>"."""

    record: int
    name: str
    size: int
    checksum: str
    url: str


@dataclass(frozen=True)
class Seen:
    """One weight file as first seen; `source` is the address that it came from, or ON_DISK."""

    sha256: str
    size: int
    published: str | None  # the published name of what it was fetched as
    source: str


def _read(path: Path, parse: Callable[[Any], Entries], empty: Entries) -> Entries:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        return parse(content)
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a lock file of this version ({error}): restore it, or remove it") from None


def _write(path: Path, entries: Mapping[str, Any]) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps({"schema": SCHEMA, **entries}, indent=1) + "\n", encoding="utf-8")


def locked_files(path: Path) -> dict[tuple[int, str], RemoteFile]:
    """Files of the lock by record and name; empty if there is no lock yet, UserError if it cannot be read."""
    files: list[RemoteFile] = _read(path, lambda content: [RemoteFile(**entry) for entry in content["files"]], [])
    return {(file.record, file.name): file for file in files}


def check_and_lock(path: Path, listed: Iterable[RemoteFile]) -> None:
    """Compare what a record lists now with the lock, and add what is new; UserError if a known file has changed."""
    now = {(file.record, file.name): file for file in listed}
    records = {record for record, _ in now}
    with _held(path):
        known = locked_files(path)
        changes = [_change(file, now.get(key)) for key, file in known.items() if file.record in records]
        if lines := [f"{path}: {change}" for change in changes if change]:
            raise UserError("\n".join(lines))
        merged = {**known, **now}
        if merged != known:
            _write(path, {"files": [asdict(merged[key]) for key in sorted(merged)]})


def _change(known: RemoteFile, now: RemoteFile | None) -> str | None:
    advice = "remove its entry from the lock if that is right, else use the data you have"
    if now is None:
        return f"record {known.record} no longer has the file {known.name}: {advice}"
    if (known.size, known.checksum) == (now.size, now.checksum):
        return None
    what = f"{known.size} bytes, {known.checksum}; now {now.size} bytes, {now.checksum}"
    return f"record {now.record} has changed its file {now.name} (locked: {what}): {advice}"


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """One process at a time, where the file system can: the lock is read, compared and written in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.held").open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def seen_weights(path: Path = WEIGHTS_LOCK) -> dict[str, Seen]:
    """Weight files by path; empty if there is no lock yet, UserError if it cannot be read."""
    return _read(path, lambda content: {file: Seen(**entry) for file, entry in content["weights"].items()}, {})


def write_seen(entries: Mapping[str, Seen], path: Path = WEIGHTS_LOCK) -> None:
    """Write all entries, sorted; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, {"weights": {file: asdict(entries[file]) for file in sorted(entries)}})


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file; once for each version of it in a process."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
