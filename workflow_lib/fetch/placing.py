"""From an unpacked archive to the machine folder: each split appears whole, with a note in it that says of what.

`<root>/<machine>/<split>/.fetched.json` is moved and removed together with its folder, so it never describes another.
Imported while the DAG is built: standard library only.
"""

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from workflow_lib.errors import UserError, and_more
from workflow_lib.fetch.lock import RemoteFile

log = logging.getLogger(__name__)
NOTE = ".fetched.json"


@dataclass(frozen=True)
class Note:
    """What a split folder was unpacked from."""

    record: int
    archive: str
    checksum: str
    files: int


def is_whole(folder: Path) -> bool:
    """Whether a split folder was fetched and still has all files of its archive."""
    note = read_note(folder)
    return note is not None and _count(folder) == note.files


def read_note(folder: Path) -> Note | None:
    """What a split folder was unpacked from; None where it was not, or is not there."""
    try:
        return Note(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def conflict(folder: Path, checksum: str) -> str | None:
    """Why a split folder that is there cannot be replaced, or None; files of users are never replaced."""
    if not folder.is_dir():
        return None
    note = read_note(folder)
    if note is None:
        return f"{folder}: is there, and was not fetched: use it as it is, or move it away"
    if note.checksum != checksum:
        return f"{folder}: is of another version of {note.archive}: remove the folder to have the new one"
    if _count(folder) != note.files:
        what = f"{_count(folder)} files, its archive has {note.files}"
        return f"{folder}: {what}: remove the folder to have it whole again, or use it as it is"
    return None


def place(unpacked: Path, machine_folder: Path, splits: tuple[str, ...], archive: RemoteFile) -> None:
    """Move the splits of an unpacked archive to a machine folder, which may hold the other split already."""
    source = _machine_in(unpacked, machine_folder.name, splits)
    for split in splits:
        note = Note(archive.record, archive.name, archive.checksum, files=_count(source / split))
        (source / split / NOTE).write_text(json.dumps(asdict(note)) + "\n", encoding="utf-8")
    for path in source.iterdir():
        if path.is_dir() and path.name not in splits:
            log.warning("%s: not a folder of this set, left out", path.name)
            shutil.rmtree(path)
    os.sync()  # the disk has the files before a name says that they are there
    machine_folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(machine_folder)
    except OSError:
        if not machine_folder.is_dir():
            raise
        _merge(source, machine_folder, splits)


def _machine_in(unpacked: Path, machine: str, splits: tuple[str, ...]) -> Path:
    """The folder of the machine: at the top, or in a folder around it."""
    for folder in (unpacked / machine, *sorted(unpacked.glob(f"*/{machine}")), unpacked):
        if all((folder / split).is_dir() for split in splits):
            return folder
    wanted = " and ".join(f"{machine}/{split}" for split in splits)
    found = and_more(sorted(path.name for path in unpacked.iterdir()), 5)
    raise UserError(f"the archive of {machine} has no {wanted}, but {found or 'nothing'}: ask the publisher")


def _merge(source: Path, machine_folder: Path, splits: tuple[str, ...]) -> None:
    """Attribute files first: when a split appears, all that belongs to it is there."""
    for path in sorted(source.iterdir()):
        if path.is_file():
            target = machine_folder / path.name
            # Both archives of a machine may bring an attributes_00.csv of their own.
            path.rename(target.with_stem(f"{target.stem}_{splits[0]}") if target.exists() else target)
    for split in splits:
        if not (machine_folder / split).is_dir():
            (source / split).rename(machine_folder / split)


def _count(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.name != NOTE for entry in entries)
