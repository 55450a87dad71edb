"""A real HTTP server in a thread that plays the record API and the files, and misbehaves as it is told."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, body: bytes = b"", **settings) -> Page:
        self.pages[path] = Page(body, **{**settings, "steps": list(settings.get("steps", ()))})
        return self.pages[path]

    def put_record(self, record: int, files: dict[str, bytes], **settings) -> None:
        """A record of Zenodo with its files, as the API describes them."""
        for name, body in files.items():
            self.put(f"/files/{record}/{name}", body, **settings)
        entries = [
            {
                "key": name,
                "size": len(body),
                "checksum": f"md5:{hashlib.md5(body).hexdigest()}",
                "links": {"self": self.url(f"/files/{record}/{name}")},
            }
            for name, body in files.items()
        ]
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
    site = Site()
    try:
        yield site
    finally:
        site.close()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.requests.append((self.path, dict(self.headers)))
            page = site.pages.get(self.path)
            with contextlib.suppress(ConnectionError):
                _answer(self, page) if page else self.send_error(404)

        def do_HEAD(self) -> None:
            """As huggingface_hub asks for version and size; no step is used up."""
            site.requests.append((self.path, dict(self.headers)))
            page = site.pages.get(self.path)
            _head(self, page, 0, len(page.body)) if page else self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _answer(handler: BaseHTTPRequestHandler, page: Page) -> None:
    step = page.steps.pop(0) if page.steps else {}
    time.sleep(step.get("stall", 0))
    if "status" in step:
        _plain(handler, step["status"], step.get("headers", {}))
        return
    body = step.get("garbage", page.body)
    start = _start(handler.headers, page, len(body))
    if start > len(body) or (start == len(body) and start):
        _plain(handler, 416, {"Content-Range": f"bytes */{len(body)}"})
        return
    _head(handler, page, start, len(body))
    _send(handler, page, body[start:], step.get("drop"))


def _start(headers, page: Page, size: int) -> int:
    wanted = headers.get("Range", "")
    condition = headers.get("If-Range")
    if not page.ranges or not wanted or (condition and condition not in (page.etag, page.modified)):
        return 0
    return int(wanted.removeprefix("bytes=").split("-")[0])


def _plain(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": "0", **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()


def _head(handler: BaseHTTPRequestHandler, page: Page, start: int, size: int) -> None:
    handler.send_response(302 if page.redirect else 206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
    if page.length:
        handler.send_header("Content-Length", str(size - start))
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    for name, value in {
        "ETag": page.etag,
        "Last-Modified": page.modified,
        "Location": page.redirect,
        **page.headers,
    }.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()


def _send(handler: BaseHTTPRequestHandler, page: Page, body: bytes, drop: int | None) -> None:
    for offset in range(0, min(len(body), len(body) if drop is None else drop), CHUNK):
        end = offset + CHUNK if drop is None else min(offset + CHUNK, drop)
        handler.wfile.write(body[offset:end])
        time.sleep(page.delay_s)
    if drop is not None:
        handler.close_connection = True
        handler.connection.shutdown(2)
