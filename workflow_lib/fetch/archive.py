"""Zips unpacked so that nothing leaves the folder, nothing is a link, and nothing grows beyond what it declares.

All entries are looked at before the first byte is written; whatever is wrong ends in one line and an empty place.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workflow_lib.errors import UserError
from workflow_lib.fetch.part import FULL, readable

PIECE_BYTES = 1 << 20
ENCRYPTED = 0x1
DRIVE = re.compile(r"[A-Za-z]:")
MAX_NAME_BYTES = 255
# A damaged or hostile zip can make the reader of the standard library fail in all of these ways.
READ_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
READ_ERRORS += (UnicodeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; recordings shrink by a tenth or two, silence by far more."""

    entries: int = 200_000
    ratio: float = 50.0  # unpacked to packed, of the whole archive
    free_bytes: int = 100_000_000  # below this the ratio is not asked for


@dataclass(frozen=True)
class Entry:
    """One file of an archive, under the name that it will have."""

    info: zipfile.ZipInfo
    name: PurePosixPath


class Refused(Exception):
    """Why an archive is not unpacked, in a few words."""


DEFAULT = Limits()


def unpack(
    archive: Path, folder: Path, *, limits: Limits = DEFAULT, progress: Callable[[int], None] | None = None
) -> list[PurePosixPath]:
    """Unpack a zip into a folder that is not there yet; the names of its files, or UserError and no folder."""
    if folder.exists():  # what fails below is removed again, and must not be another's
        raise UserError(f"{folder}: is there already: remove it, then run the same command again")
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = list(_checked(opened, archive.stat().st_size, limits))
            _check_room(folder, entries)
            folder.mkdir(parents=True)
            for entry in entries:
                _write(opened, entry, folder, progress or (lambda _: None))
        return [entry.name for entry in entries]
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, (Refused, OSError, *READ_ERRORS)) and not isinstance(error, UserError):
            raise UserError(f"{archive}: {_reason(error)}") from None
        raise


def declared_bytes(archive: Path) -> int:
    """What a zip says it unpacks to; 0 where it cannot be read."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(info.file_size for info in opened.infolist())
    except (OSError, *READ_ERRORS):
        return 0


def _reason(error: BaseException) -> str:
    if isinstance(error, Refused):
        return f"{error}: nothing was unpacked: remove the archive, and ask the publisher"
    if isinstance(error, OSError) and error.errno in FULL:
        return "the disk is full: make room, then run the same command again"
    if isinstance(error, OSError):
        return f"cannot be unpacked ({error.strerror or error}): mend that, then run the same command again"
    return f"damaged ({' '.join(str(error).split())[:120]}): remove it, then run the same command again"


# ---- before the first byte -------------------------------------------------------------------------------------------


def _checked(opened: zipfile.ZipFile, packed_bytes: int, limits: Limits) -> Iterator[Entry]:
    infos = opened.infolist()
    if len(infos) > limits.entries:
        raise Refused(f"{len(infos)} entries, at most {limits.entries} are taken")
    total = sum(info.file_size for info in infos)
    if total > max(limits.free_bytes, limits.ratio * packed_bytes):
        raise Refused(f"{readable(packed_bytes)} that unpack to {readable(total)}: no recordings shrink like that")
    _check_overlap(infos, packed_bytes)
    seen: set[PurePosixPath] = set()
    for info in infos:
        name = _safe_name(info)
        _check_kind(info)
        if info.is_dir() or not name.parts:
            continue
        if name in seen:
            raise Refused(f"two entries with the name {_show(info)}")
        seen.add(name)
        yield Entry(info, name)


def _check_overlap(infos: list[zipfile.ZipInfo], packed_bytes: int) -> None:
    """Entries that share their packed bytes make an archive unpack to far more than it holds."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise Refused(f"entries that overlap ({_show(info)})")
        end = info.header_offset + info.compress_size
    if end > packed_bytes:
        raise Refused("entries beyond the end of the file")


def _safe_name(info: zipfile.ZipInfo) -> PurePosixPath:
    """The name of an entry with plain separators; Refused if it could lead out of the folder or cannot be a file."""
    # zipfile cuts names at a zero byte; Windows tools write backslashes.
    name = info.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or DRIVE.match(name):
        raise Refused(f"an absolute path ({_show(info)})")
    if ".." in path.parts:
        raise Refused(f"a path out of the folder ({_show(info)})")
    if not name.isprintable():
        raise Refused(f"a name with unprintable characters ({_show(info)})")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise Refused(f"a name longer than {MAX_NAME_BYTES} bytes ({_show(info)})")
    return path


def _check_kind(info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused(f"a link or device ({_show(info)})")
    if info.flag_bits & ENCRYPTED:
        raise Refused(f"an encrypted entry ({_show(info)})")


def _show(info: zipfile.ZipInfo) -> str:
    text = ascii(info.orig_filename)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_room(folder: Path, entries: list[Entry]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed, free = sum(entry.info.file_size for entry in entries), shutil.disk_usage(folder.parent).free
    if needed > free:
        what = f"it unpacks to {readable(needed)}, {readable(free)} are free"
        raise UserError(f"{folder.parent}: not enough room: {what}: make room, then run the same command again")


# ---- byte by byte ----------------------------------------------------------------------------------------------------


def _write(opened: zipfile.ZipFile, entry: Entry, folder: Path, progress: Callable[[int], None]) -> None:
    path = folder / entry.name
    path.parent.mkdir(parents=True, exist_ok=True)
    written, declared = 0, entry.info.file_size
    with opened.open(entry.info) as source, path.open("xb") as target:
        while piece := source.read(PIECE_BYTES):
            written += len(piece)
            if written > declared:
                break
            target.write(piece)
            progress(len(piece))
    if written != declared:
        raise Refused(f"{_show(entry.info)} declares {declared} bytes and holds {written} or more")
