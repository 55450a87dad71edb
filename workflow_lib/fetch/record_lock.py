"""What was seen of the records when they were first read: `fetch.lock.json` beside the data, to be kept and shared."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.fetch.records import RemoteFile

NAME = "fetch.lock.json"
SCHEMA = 1


def locked_files(path: Path) -> dict[tuple[int, str], RemoteFile]:
    """Files of the lock by record and name; empty if there is no lock yet, UserError if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError("schema")
        files = [RemoteFile(**entry) for entry in content["files"]]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a lock file of this version ({error}): restore it, or remove it") from None
    return {(file.record, file.name): file for file in files}


def check_and_lock(path: Path, listed: Iterable[RemoteFile]) -> None:
    """Compare what a record lists now with the lock, and add what is new; UserError if a known file has changed."""
    listed = list(listed)
    with _held(path):
        known = locked_files(path)
        changes = [change for file in listed if (change := _change(known.get((file.record, file.name)), file))]
        changes += _gone(known, listed)
        if changes:
            raise UserError("\n".join(f"{path}: {change}" for change in changes))
        merged = {**known, **{(file.record, file.name): file for file in listed}}
        if merged != known:
            _write(path, merged)


def _change(known: RemoteFile | None, now: RemoteFile) -> str | None:
    if known is None or (known.size, known.checksum) == (now.size, now.checksum):
        return None
    what = f"{known.size} bytes, {known.checksum}; now {now.size} bytes, {now.checksum}"
    advice = "take its entry out of the lock if you want the new one, else use the data you have"
    return f"record {now.record} has changed its file {now.name} (locked: {what}): {advice}"


def _gone(known: dict[tuple[int, str], RemoteFile], listed: list[RemoteFile]) -> list[str]:
    names, records = {(file.record, file.name) for file in listed}, {file.record for file in listed}
    advice = "take its entry out of the lock if that is right, else use the data you have"
    missing = [key for key in known if key[0] in records and key not in names]
    return [f"record {record} no longer has the file {name}: {advice}" for record, name in missing]


def _write(path: Path, files: dict[tuple[int, str], RemoteFile]) -> None:
    content: dict[str, Any] = {"schema": SCHEMA, "files": [files[key].facts() for key in sorted(files)]}
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """One process at a time, where the file system can: the lock is read, compared and written in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.held").open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
