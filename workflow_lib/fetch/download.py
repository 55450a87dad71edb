"""One file from a server: resumed where it broke off, and the right bytes or no file at all."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import requests
from tqdm import tqdm
from urllib3.exceptions import ProtocolError

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import Session, with_retries
from workflow_lib.files import replacing

log = logging.getLogger(__name__)
PIECE_BYTES = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk, quota or file system answers


def readable(size: float) -> str:
    """A number of bytes for people: three figures and a decimal unit, such as 1.23GB."""
    return tqdm.format_sizeof(size, "B")


def download(
    session: Session,
    url: str,
    path: Path,
    *,
    size: int | None = None,
    checksum: str | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Get a file; where it is there already and is the published one, no connection is made.

    size, checksum ("md5:<hex>" or "sha256:<hex>"): of the published file, None where unknown. progress: called with the
    bytes that have come since its last call (those of an earlier run at first; negative where a download starts again).
    Raises UserError of one line.
    """
    if path.is_file():
        fault = _fault(path, size, checksum)
        if fault is None:
            return
        log.warning("%s: not the published file (%s): it is downloaded again", path, fault)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab", buffering=0) as file:
            _hold(file, part, path)
            _complete(session, _PartialFile(path, url, file, progress), size, checksum)
    except OSError as error:
        if error.errno not in FULL:
            what = f"cannot be written ({error.strerror or error}): correct that, then run the same command again"
        else:
            so_far = readable(part.stat().st_size if part.exists() else 0)
            what = f"the disk is full after {so_far}: make room in {path.parent}; the same command goes on from there"
        raise UserError(f"{path}: {what}") from None


def _fault(path: Path, size: int | None, checksum: str | None) -> str | None:
    """How a file differs from the published one, or None."""
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        return f"{found_size} bytes, published are {size}"
    if checksum is None:
        return None
    kind, _, wanted = checksum.lower().partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    return f"{kind} is {found}, published is {wanted}" if found != wanted else None


def _hold(file: BinaryIO, part: Path, path: Path) -> None:
    """One process at a time downloads a file."""
    with suppress(OSError):  # a file system without locks: then nothing is held
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path}: another process downloads it: wait for it, or end it") from None
    # Between opening and locking, the process that held it may have moved it into place.
    if not part.exists() or os.fstat(file.fileno()).st_ino != part.stat().st_ino:
        raise UserError(f"{path}: another process has just downloaded it: run the same command again")


class _PartialFile:
    """The bytes so far in `<name>.part`; `<name>.part.json` holds their address and version.

    resumed: bytes of an earlier connection are in it.
    """

    def __init__(self, path: Path, url: str, file: BinaryIO, progress: Callable[[int], object]) -> None:
        self.path, self.url, self.file, self.progress = path, url, file, progress
        self.part, self.facts = Path(file.name), path.with_name(f"{path.name}.part.json")
        progress(self.position)
        try:
            facts = json.loads(self.facts.read_text(encoding="utf-8"))
            known, self.validator = facts["url"] == url, facts["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            self.restart(None)
        self.resumed = self.position > 0

    @property
    def position(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def restart(self, validator: str | None) -> None:
        """Start a version of the file from its first byte; bytes of another version are removed."""
        self.progress(-self.position)
        self.file.truncate(0)
        self.validator, self.resumed = validator, False
        with replacing(self.facts) as beside:
            beside.write_text(json.dumps({"url": self.url, "validator": validator}), encoding="utf-8")

    def append(self, data: bytes) -> None:
        """Write the next bytes, all of them."""
        rest = memoryview(data)
        while rest:
            written = self.file.write(rest)
            self.progress(written)
            rest = rest[written:]


def _complete(session: Session, part: _PartialFile, size: int | None, checksum: str | None) -> None:
    """Receive the rest over as many connections as it takes, and move the file into place if it is the right one."""

    def receive() -> str | None:
        with_retries(lambda: _receive(session, part, size, checksum), session, part.url, lambda: part.position)
        return _fault(part.part, size, checksum)

    try:
        fault = receive()
        if fault and part.resumed:
            # The beginning may be damaged, or of another version that the server did not tell apart.
            log.warning("%s: %s: the bytes from before are thrown away", part.path, fault)
            part.restart(None)
            fault = receive()
        if fault:
            part.restart(None)
            advice = "the download was removed: run the same command again; if that does not help, ask the publisher"
            raise UserError(f"{part.path}: {fault} ({part.url}): {advice}")
        os.fsync(part.file.fileno())
        part.part.replace(part.path)
        part.facts.unlink(missing_ok=True)
    finally:
        if not part.position:
            part.part.unlink(missing_ok=True)
            part.facts.unlink(missing_ok=True)


def _receive(session: Session, part: _PartialFile, size: int | None, checksum: str | None) -> None:
    """Append what one connection brings; urllib3's HTTPError where another attempt may bring the rest."""
    if size is not None and part.position > size:
        part.restart(None)
    if size and part.position == size:
        return
    if not part.validator and not checksum:
        part.restart(None)  # nothing would show that the rest is of another version
    headers = {"Range": f"bytes={part.position}-"} if part.position else {}
    if part.position and part.validator:
        headers["If-Range"] = part.validator
    with session.open(part.url, headers) as response:
        _begin(response, part)
        coming = response.raw.length_remaining  # None if the server does not say it
        total = size if coming is None else part.position + coming
        if size is not None and size != total:
            part.restart(None)
            advice = "nothing was downloaded: check the proxy, or ask the publisher"
            raise UserError(f"{part.url}: {total} bytes, published are {size}: {advice}")
        if total is not None and total - part.position > (free := shutil.disk_usage(part.path.parent).free):
            missing = f"{readable(total - part.position)} are still to come, {readable(free)} are free"
            raise UserError(f"{part.path}: not enough room: {missing}: make room in {part.path.parent}")
        # read1: what has come before a connection breaks off is not lost, as it would be in pieces of one size.
        while data := response.raw.read1(PIECE_BYTES):
            part.append(data)
            if total is not None and part.position > total:
                raise ProtocolError(f"more than the {total} bytes of the file")
        if total is not None and part.position < total:
            raise ProtocolError(f"it ended after {part.position} of {total} bytes")


def _begin(response: requests.Response, part: _PartialFile) -> None:
    """Bring the partial file to where the body of an answer begins; ProtocolError if it cannot continue the file."""
    tag = response.headers.get("ETag", "W/")
    validator = tag if not tag.startswith("W/") else response.headers.get("Last-Modified")
    continues = response.headers.get("Content-Range", "").startswith(f"bytes {part.position}-")  # bytes 5-99/100
    if response.status_code == 200:
        part.restart(validator)
    elif response.status_code == 206 and continues and (part.validator is None or validator in (None, part.validator)):
        part.resumed = True
    else:
        part.restart(None)
        raise ProtocolError("the server cannot go on where the download broke off")
