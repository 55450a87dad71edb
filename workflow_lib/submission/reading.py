"""Files of a package in memory, from a zip or a folder; nothing is unpacked to disk.

A zip may come from anybody: names that leave the folder, links, encryption and bombs are faults, and such entries are
not read.
"""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workflow_lib.config.submission_form import FOLDER, LARGEST_REPORT
from workflow_lib.dataset.clip_name import one_line

MOST_ENTRIES = 1000
LARGEST_META = 256 << 10  # bytes; a usual one has 3 kB, and a large one takes minutes to read
LARGEST = {".csv": 8 << 20, ".yaml": LARGEST_META, ".yml": LARGEST_META}  # 200 rows of a table have 10 kB
LARGEST_PACKAGE = 256 << 20
MOST_COMPRESSED, SMALL = 200, 1 << 20  # times; files up to SMALL bytes may be compressed more
READ = tuple(LARGEST)
AT_ONCE = 1 << 20  # bytes that are unpacked at a time


@dataclass
class Package:
    """Content of the checked files by path within the package, None for all others; and the faults."""

    files: dict[str, bytes | None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each file


def read_package(path: Path) -> Package:
    """All files of a zip or folder."""
    if path.is_dir():
        return _read_folder(path)
    package = Package()
    if path.exists() and not path.is_file():  # reading a pipe would wait
        return Package(faults=[f"{path}: neither a zip nor a folder"])
    try:
        with zipfile.ZipFile(path) as archive:
            _read_zip(archive, package)
    except FileNotFoundError:
        package.faults.append(f"{path}: there is no such file or folder")
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        package.faults.append(f"{path}: cannot be read as a zip ({error})")
    return package


def _read_folder(root: Path) -> Package:
    package = Package()
    above = root.resolve()
    above = above.parent if above.name == FOLDER else above  # the folder task2 itself may be given
    for folder, folders, names in os.walk(root.resolve()):  # links to folders are listed and not followed
        for name in sorted([*names, *folders]):
            path = Path(folder, name)
            inside = path.relative_to(above).as_posix()
            if path.is_symlink():
                package.faults.append(f"{inside}: a symbolic link: put the file itself there")
            elif path.is_file():
                _keep(package, inside, path.stat().st_size, path)
            elif not path.is_dir():  # an empty folder is no fault: zips do not need to have it
                package.faults.append(f"{inside}: no file but a pipe, socket or device: leave it out")
    return package


def _keep(package: Package, inside: str, size: int, path: Path) -> None:
    if size > (largest := _largest(inside)):
        package.faults.append(f"{inside}: {size:,} bytes, at most {largest:,} make sense")
        return
    try:
        package.files[inside] = path.read_bytes() if inside.endswith(READ) else None
        package.sizes[inside] = size
    except OSError as error:
        package.faults.append(f"{inside}: cannot be read ({error.strerror})")


def _largest(name: str) -> int:
    """Bytes that a file of this name may have."""
    return next((size for ending, size in LARGEST.items() if name.endswith(ending)), LARGEST_REPORT)


def _read_zip(archive: zipfile.ZipFile, package: Package) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        package.faults.append(f"{len(entries):,} entries, at most {MOST_ENTRIES:,} make sense: none was read")
        return
    if (total := sum(entry.file_size for entry in entries)) > LARGEST_PACKAGE:
        package.faults.append(f"{total:,} bytes unpacked, at most {LARGEST_PACKAGE:,} make sense: none was read")
        return
    for entry in entries:
        name = entry.orig_filename  # ZipInfo.filename hides what follows a NUL, and backslashes on some systems
        faults = list(_entry_faults(entry, name))
        if not entry.is_dir() and not faults and name in package.files:
            faults = [f"{name}: twice in the zip: leave one of the two out"]
        package.faults += faults
        if not faults and not entry.is_dir():
            package.files[name], package.sizes[name] = _content(archive, entry, package), entry.file_size


def _entry_faults(entry: zipfile.ZipInfo, name: str) -> Iterator[str]:
    shown = one_line(name)
    parts = name.split("/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        yield f"{shown}: an absolute path: name files within the package"
    elif ".." in parts or "\\" in name or not name.isprintable():
        yield f"{shown}: a path that may lead out of the package: no '..', no backslash, no control character"
    elif not entry.is_dir() and ("" in parts or "." in parts):  # two such names may be one path
        yield f"{shown}: not a plain path: write it without '.' and '//'"
    if stat.S_ISLNK(entry.external_attr >> 16):
        yield f"{shown}: a symbolic link: put the file itself there"
    if entry.flag_bits & 0x1:
        yield f"{shown}: encrypted: store it without a password"
    largest = _largest(name)
    if entry.file_size > largest:
        yield f"{shown}: {entry.file_size:,} bytes unpacked, at most {largest:,} make sense"
    elif entry.file_size > SMALL and entry.file_size > MOST_COMPRESSED * max(1, entry.compress_size):
        yield f"{shown}: compressed {entry.file_size // max(1, entry.compress_size):,} times, as a zip bomb is"


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, package: Package) -> bytes | None:
    """Content of a checked file, None for others and broken ones; all are unpacked, so that damage is found.

    Never more than the stated and allowed size is unpacked.
    """
    content, size = bytearray(), 0
    try:
        with archive.open(entry) as file:  # refuses a name that differs from the one in the directory
            while (part := file.read(AT_ONCE)) and size <= entry.file_size:
                size += len(part)
                content += part if entry.filename.endswith(READ) else b""
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        package.faults.append(f"{entry.filename}: cannot be unpacked ({error}): pack it again")
        return None
    if size != entry.file_size:
        package.faults.append(f"{entry.filename}: not as long as the zip says: pack it again")
        return None
    return bytes(content) if entry.filename.endswith(READ) else None
