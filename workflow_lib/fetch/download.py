"""One file from a server: taken up where it broke off, and the right bytes or no file at all."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import DEFAULT, Passing, Retry, opened, patiently, pieces
from workflow_lib.fetch.part import CHUNK_BYTES, KINDS, Part, Sums, held_part

__all__ = ["Fetched", "Retry", "download", "measure"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """A file that is whole; checksums: {"md5": …, "sha256": …}."""

    size: int
    checksums: Mapping[str, str]


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it comes; None where nothing is."""

    size: int | None
    checksum: str | None  # "md5:<hex>" or "sha256:<hex>"

    def __post_init__(self) -> None:
        if self.checksum is not None and self.kind not in KINDS:
            raise UserError(f"checksum {self.checksum!r}: unknown kind: write md5:<digits> or sha256:<digits>")

    @property
    def kind(self) -> str | None:
        return self.checksum.partition(":")[0].lower() if self.checksum else None

    def fault(self, size: int, checksums: Mapping[str, str]) -> str | None:
        """How bytes differ from the published ones, or None."""
        if self.size is not None and size != self.size:
            return f"{size} bytes, published are {self.size}"
        if self.checksum is None:
            return None
        wanted = self.checksum.partition(":")[2].lower()
        found = checksums[self.kind]
        return f"{self.kind} is {found}, published is {wanted}" if found != wanted else None


def download(
    url: str,
    path: Path,
    *,
    size: int | None,
    checksum: str | None,
    hosts: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
    settings: Retry = DEFAULT,
) -> Fetched:
    """Get a file; where it is there already and is the published one, no connection is made.

    hosts: further hosts that redirects may lead to. progress: called with the bytes that have come since its last call
    (those taken up at first; negative where a download starts again). Raises UserError of one line.
    """
    expected = Expected(size, checksum)
    if path.is_file():
        there = measure(path)
        fault = expected.fault(there.size, there.checksums)
        if fault is None:
            return there
        log.warning("%s: not the published file (%s): it is downloaded again", path, fault)
    with held_part(path, url, progress or (lambda _: None)) as part:
        return _Transfer(part, expected, hosts, settings).run()


def measure(path: Path) -> Fetched:
    """Size and sums of a file on disk."""
    sums, size = Sums(), 0
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            sums.add(data)
            size += len(data)
    return Fetched(size, sums.checksums)


@dataclass
class _Transfer:
    """Brings a part to its end, over as many connections as it takes."""

    part: Part
    expected: Expected
    hosts: Collection[str]
    settings: Retry

    def run(self) -> Fetched:
        self._complete()
        fault = self._fault()
        if fault and self.part.resumed:
            # The beginning may have been damaged, or be of another version that the server did not tell apart.
            log.warning("%s: %s: the bytes from before are thrown away", self.part.path, fault)
            self.part.restart(None)
            self._complete()
            fault = self._fault()
        if fault:
            self.part.discard()
            advice = (
                "the download was removed: run the same command again; if it ends like this again, ask the publisher"
            )
            raise UserError(f"{self.part.path}: {fault} ({self.part.url}): {advice}")
        self.part.publish()
        return Fetched(self.part.position, self.part.sums.checksums)

    def _fault(self) -> str | None:
        return self.expected.fault(self.part.position, self.part.sums.checksums)

    def _complete(self) -> None:
        patiently(self._connect_once, self.part.url, self.settings, lambda: self.part.position)

    def _connect_once(self) -> None:
        part, size = self.part, self.expected.size
        if size is not None and part.position > size:
            part.restart(None)
        if size is not None and part.position == size and part.position:
            return
        if not part.validator and not self.expected.checksum:
            part.restart(None)  # nothing would show that the rest is of another version
        headers = _range_headers(part)
        with opened(part.url, headers, self.hosts, self.settings) as response:
            total = self._begin(response)
            self._receive(response, total)

    def _begin(self, response: requests.Response) -> int | None:
        """Set the part to where the body of an answer begins; the size of the whole file, if it is said."""
        part = self.part
        if response.status_code == 206 and _continues(response, part):
            part.resumed = True
            total = _content_range(response)[1]
        elif response.status_code == 200:
            part.restart(_validator(response))
            total = _content_length(response)
        else:
            part.restart(None)
            raise Passing("the server cannot go on where the download broke off")
        if self.expected.size is not None and total not in (None, self.expected.size):
            part.discard()
            advice = "nothing was downloaded: check the proxy, or ask the publisher"
            raise UserError(f"{part.url}: {total} bytes, published are {self.expected.size}: {advice}")
        part.check_room(total if total is not None else self.expected.size)
        return total if total is not None else self.expected.size

    def _receive(self, response: requests.Response, total: int | None) -> None:
        for data in pieces(response):
            if total is not None and self.part.position + len(data) > total:
                self.part.restart(None)
                raise Passing(f"the server sent more than the {total} bytes it should")
            self.part.append(data)
        if total is not None and self.part.position < total:
            raise Passing(f"the connection ended after {self.part.position} of {total} bytes")


def _range_headers(part: Part) -> dict[str, str]:
    if not part.position:
        return {}
    condition = {"If-Range": part.validator} if part.validator else {}
    return {"Range": f"bytes={part.position}-", **condition}


def _continues(response: requests.Response, part: Part) -> bool:
    """Whether a partial answer begins where the part ends, and is of the same version."""
    start, _ = _content_range(response)
    same = part.validator is None or _validator(response) in (None, part.validator)
    return part.position > 0 and start == part.position and same


def _validator(response: requests.Response) -> str | None:
    """What tells versions of a file apart: a strong ETag, else the time of the last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and size of the whole from `Content-Range: bytes 5-99/100`."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    known = unit.lower() == "bytes" and start.isdecimal()
    return int(start) if known else None, int(total) if known and total.isdecimal() else None


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None
