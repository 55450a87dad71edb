"""A real HTTP server in a thread that plays the record API, the hub and the files, and misbehaves as a page says."""

import contextlib
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHUNK = 1 << 14


@dataclass
class Page:
    """One address: its bytes, and what its next answers do; after the last step it behaves.

    Steps: {"status": 500, "headers": {…}}, {"drop": 1000} (the connection ends after so many bytes), {"stall": 1.0}
    (seconds before an answer), {"garbage": b"…"} (other bytes, as a damaged cache would send).
    """

    body: bytes = b""
    steps: list[dict] = field(default_factory=list)
    redirect: str | None = None  # where every answer leads to
    etag: str | None = None
    modified: str | None = None
    ranges: bool = True
    length: bool = True  # Content-Length is sent
    delay_s: float = 0.0  # after each 16 KiB
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Pages by path, and the requests that came for them."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, body: bytes = b"", **settings) -> Page:
        self.pages[path] = Page(body, **{**settings, "steps": list(settings.get("steps", ()))})
        return self.pages[path]

    def put_record(self, record: int, files: dict[str, bytes], **settings) -> None:
        """A record of Zenodo with its files, as the API describes them."""
        entries = []
        for name, body in files.items():
            self.put(f"/files/{record}/{name}", body, **settings)
            links = {"self": self.url(f"/files/{record}/{name}")}
            checksum = f"md5:{hashlib.md5(body).hexdigest()}"
            entries.append({"key": name, "size": len(body), "checksum": checksum, "links": links})
        self.put(f"/api/records/{record}", json.dumps({"id": record, "files": entries}).encode())

    def put_weights(self, repository: str, file: str, body: bytes, **settings) -> Page:
        """A file of a repository on Hugging Face."""
        version = {"X-Repo-Commit": "0" * 40, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        return self.put(f"/hf/{repository}/resolve/main/{file}", body, headers=version, **settings)

    def asked(self, path: str) -> list[dict[str, str]]:
        """Headers of the requests for a path."""
        return [headers for asked, headers in self.requests if asked == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of its own for each test that asks for one."""
    with contextlib.closing(Site()) as site:
        yield site


def zipped(entries: Mapping[str, bytes], mode: int = 0) -> bytes:
    """A zip with names as they are: ZipInfo would correct some."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, body in entries.items():
            info = zipfile.ZipInfo()
            info.filename = info.orig_filename = name
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(info, body)
    return memory.getvalue()


def fill_hub_cache(hub: Path, repository: str, file: str, body: bytes) -> None:
    """A file as huggingface_hub keeps it: a blob, a link to it in a snapshot, and a branch that names the snapshot."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    for name, content in (("refs/main", b"abc"), ("blobs/b10b", body)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / file).symlink_to("../../blobs/b10b")


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = self._page()
        with contextlib.suppress(ConnectionError):
            self._answer(page) if page else self.send_error(404)

    def do_HEAD(self) -> None:
        """As huggingface_hub asks for version and size; no step is used up."""
        page = self._page()
        self._head(page, 0, len(page.body)) if page else self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass

    def _page(self) -> Page | None:
        self.site.requests.append((self.path, dict(self.headers)))
        return self.site.pages.get(self.path)

    def _answer(self, page: Page) -> None:
        step = page.steps.pop(0) if page.steps else {}
        time.sleep(step.get("stall", 0))
        body = step.get("garbage", page.body)
        start = _start(self.headers, page)
        if "status" in step:
            self._plain(step["status"], step.get("headers", {}))
        elif start and start >= len(body):
            self._plain(416, {"Content-Range": f"bytes */{len(body)}"})
        else:
            self._head(page, start, len(body))
            self._send(page, body[start:][: step.get("drop")])
            if "drop" in step:
                self.close_connection = True
                self.connection.shutdown(2)

    def _plain(self, status: int, headers: Mapping[str, str | None]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _head(self, page: Page, start: int, size: int) -> None:
        self.close_connection = self.close_connection or not page.length
        headers = {
            "Content-Range": f"bytes {start}-{size - 1}/{size}" if start else None,
            "Content-Length": str(size - start) if page.length else None,
            "Connection": None if page.length else "close",
            "ETag": page.etag,
            "Last-Modified": page.modified,
            "Location": page.redirect,
        }
        self._plain(302 if page.redirect else 206 if start else 200, {**headers, **page.headers})

    def _send(self, page: Page, body: bytes) -> None:
        for offset in range(0, len(body), CHUNK):
            self.wfile.write(body[offset : offset + CHUNK])
            time.sleep(page.delay_s)


def _start(headers: Mapping[str, str], page: Page) -> int:
    """The byte that an answer begins with."""
    condition = headers.get("If-Range")
    if not page.ranges or (condition and condition not in (page.etag, page.modified)):
        return 0
    return int(headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
