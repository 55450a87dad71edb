"""The beginning of a file that is being downloaded: `<name>.part`, and `<name>.part.json` says of which."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workflow_lib.errors import UserError

CHUNK_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
KINDS = ("md5", "sha256")


class Sums:
    """MD5 and SHA-256 of bytes as they come."""

    def __init__(self) -> None:
        self._digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in KINDS}

    def add(self, data: bytes) -> None:
        """Take in the next bytes."""
        for digest in self._digests.values():
            digest.update(data)

    @property
    def checksums(self) -> dict[str, str]:
        """Kind of sum to hexadecimal digits."""
        return {kind: digest.hexdigest() for kind, digest in self._digests.items()}


class Part:
    """Bytes of one file so far, with their sums; one process at a time holds it."""

    def __init__(self, path: Path, url: str, moved: Callable[[int], None]) -> None:
        """Take up what is there of `path` from `url`; `moved` is told how far the position moves, back as well."""
        self.path, self.url, self._moved = path, url, moved
        self.part = path.with_name(f"{path.name}.part")
        self._facts = path.with_name(f"{path.name}.part.json")
        self.file = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.position, self.validator, self.sums = 0, None, Sums()
        try:
            self._hold()
            self._take_up()
        except BaseException:
            os.close(self.file)
            raise
        self.resumed = self.position > 0  # bytes of an earlier connection, or of an earlier process, are in it

    def _hold(self) -> None:
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is held
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path}: another process downloads it: wait for it, or end it") from None
        # Between opening and locking, the process that held it may have moved it into place.
        if not self.part.exists() or os.fstat(self.file).st_ino != self.part.stat().st_ino:
            raise UserError(f"{self.path}: another process has just downloaded it: run the same command again")

    def _take_up(self) -> None:
        facts = self._read_facts()
        if facts.get("url") != self.url:
            self.restart(None)
            return
        self.validator = facts.get("validator")
        while data := os.read(self.file, CHUNK_BYTES):
            self._count(data)

    def _read_facts(self) -> dict[str, str | None]:
        try:
            facts = json.loads(self._facts.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def restart(self, validator: str | None) -> None:
        """Begin anew with a version of the file; the old bytes go first, lest they be taken for the new one's."""
        os.ftruncate(self.file, 0)
        os.lseek(self.file, 0, os.SEEK_SET)
        self._moved(-self.position)
        self.position, self.validator, self.sums, self.resumed = 0, validator, Sums(), False
        beside = self._facts.with_name(f".{os.getpid()}.{self._facts.name}")
        beside.write_text(json.dumps({"url": self.url, "validator": validator}), encoding="utf-8")
        beside.replace(self._facts)

    def append(self, data: bytes) -> None:
        """Write the next bytes, all of them."""
        rest = memoryview(data)
        while rest:
            written = os.write(self.file, rest)
            self._count(rest[:written])
            rest = rest[written:]

    def _count(self, data: bytes | memoryview) -> None:
        self.sums.add(data)
        self.position += len(data)
        self._moved(len(data))

    def check_room(self, total: int | None) -> None:
        """UserError if the disk cannot take the rest of `total` bytes."""
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and total - self.position > free:
            missing = f"{readable(total - self.position)} are still to come, {readable(free)} are free"
            raise UserError(f"{self.path}: not enough room: {missing}: make room in {self.path.parent}")

    def publish(self) -> None:
        """Move the whole file into place."""
        os.fsync(self.file)
        self.part.replace(self.path)
        self._facts.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all of it."""
        self.part.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; what is there stays, but for an empty beginning."""
        if self.position == 0:
            self.discard()
        os.close(self.file)


@contextmanager
def held_part(path: Path, url: str, moved: Callable[[int], None]) -> Iterator[Part]:
    """The beginning of a file, held until the end of the block; UserError where the disk is at fault."""
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, url, moved)
        yield part
    except OSError as error:
        raise UserError(_disk_fault(path, error, part)) from None
    finally:
        if part:
            part.close()


def _disk_fault(path: Path, error: OSError, part: Part | None) -> str:
    if error.errno in FULL:
        so_far = readable(part.position if part else 0)
        return (
            f"{path}: the disk is full after {so_far}: make room in {path.parent}; the same command goes on from there"
        )
    return f"{path}: cannot be written ({error.strerror or error}): mend that, then run the same command again"


def readable(size: float) -> str:
    """A number of bytes for people: three figures and a decimal unit."""
    if size < 1000:
        return f"{size:.0f} bytes"
    power = min(4, len(str(int(size))) // 3 - (len(str(int(size))) % 3 == 0))
    return f"{size / 1000**power:.3g} {'kMGT'[power - 1]}B"
