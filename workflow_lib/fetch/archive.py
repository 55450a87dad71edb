"""Zips unpacked so that nothing leaves the folder, nothing is a link, and nothing grows beyond what it declares.

All entries are checked before the first byte is written; whatever is wrong ends in one line and no folder.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import short_cause
from workflow_lib.fetch.download import FULL, readable
from workflow_lib.progress import Progress

MAX_ENTRIES = 200_000
MAX_RATIO = 50.0  # unpacked to packed, of the whole archive: recordings shrink by a tenth or two, silence by far more
FREE_BYTES = 100_000_000  # unpacked; below this the ratio is not checked
MAX_NAME_BYTES = 255
PIECE_BYTES = 1 << 20
ENCRYPTED = 0x1
DRIVE = re.compile(r"[A-Za-z]:")
# A damaged or hostile zip can make the reader of the standard library fail in all of these ways.
READ_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError)


class Refused(Exception):
    """Why an archive is not unpacked, in a few words."""


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder beside a zip with all its files, removed at the end of the block; UserError if it is not a sound zip."""
    folder = archive.with_suffix(".unpacked")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        _unpack(archive, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened.infolist(), archive.stat().st_size)
            needed, free = sum(info.file_size for info in entries.values()), shutil.disk_usage(archive.parent).free
            if needed > free:
                what = f"it unpacks to {readable(needed)}, {readable(free)} are free"
                raise UserError(f"{archive}: not enough room: {what}: make room, then run the same command again")
            folder.mkdir()
            with Progress(needed, f"unpack {archive.name}", unit="byte") as progress:
                for name, info in entries.items():
                    _write(opened, info, folder / name, progress)
    except UserError:
        raise
    except Refused as error:
        what = f"{error}: nothing was unpacked: remove the archive, and ask the publisher"
        raise UserError(f"{archive}: {what}") from None
    except OSError as error:
        what = "the disk is full" if error.errno in FULL else f"cannot be unpacked ({short_cause(error)})"
        raise UserError(f"{archive}: {what}: correct that, then run the same command again") from None
    except READ_ERRORS as error:
        what = f"damaged ({short_cause(error)}): remove it, then run the same command again"
        raise UserError(f"{archive}: {what}") from None


def _checked(infos: list[zipfile.ZipInfo], packed_bytes: int) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of an archive under the names that they will have."""
    if len(infos) > MAX_ENTRIES:
        raise Refused(f"{len(infos)} entries, at most {MAX_ENTRIES} are accepted")
    total = sum(info.file_size for info in infos)
    if total > max(FREE_BYTES, MAX_RATIO * packed_bytes):
        raise Refused(f"{readable(packed_bytes)} that unpack to {readable(total)}: no recordings shrink like that")
    _check_overlap(infos, packed_bytes)
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        name = _safe_name(info)
        if name in entries:
            raise Refused(f"two entries with the name {ascii(info.orig_filename)[:80]}")
        if not info.is_dir() and name.parts:
            entries[name] = info
    return entries


def _check_overlap(infos: list[zipfile.ZipInfo], packed_bytes: int) -> None:
    """Entries that share their packed bytes make an archive unpack to far more than it holds."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise Refused(f"entries that overlap ({ascii(info.orig_filename)[:80]})")
        end = info.header_offset + info.compress_size
    if end > packed_bytes:
        raise Refused("entries beyond the end of the file")


def _safe_name(info: zipfile.ZipInfo) -> PurePosixPath:
    """The name of an entry with plain separators; Refused if it could lead out of the folder or is no readable file."""
    # zipfile cuts names at a zero byte; Windows tools write backslashes.
    name = info.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    faults = {
        "an absolute path": path.is_absolute() or DRIVE.match(name),
        "a path out of the folder": ".." in path.parts,
        "a name with unprintable characters": not name.isprintable(),
        f"a name longer than {MAX_NAME_BYTES} bytes": any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts),
        "a link or device": stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR),
        "an encrypted entry": info.flag_bits & ENCRYPTED,
    }
    for fault, found in faults.items():
        if found:
            raise Refused(f"{fault} ({ascii(info.orig_filename)[:80]})")
    return path


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(info) as source, path.open("xb") as target:
        while piece := source.read(PIECE_BYTES):  # never more than declared: zipfile stops there
            target.write(piece)
            progress.add(len(piece))
        if target.tell() != info.file_size:
            raise Refused(f"{ascii(info.orig_filename)[:80]} declares {info.file_size} bytes and holds {target.tell()}")
