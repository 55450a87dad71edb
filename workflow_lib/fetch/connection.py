"""Requests to a server that may be slow, busy or gone: retries with growing waits, redirects to listed hosts only.

Proxies, certificates and .netrc come from the environment, as the requests library reads them (HTTPS_PROXY, NO_PROXY,
REQUESTS_CA_BUNDLE).
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from workflow_lib import __version__
from workflow_lib.errors import UserError

log = logging.getLogger(__name__)
RETRIED = (408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524)
LONGEST_RETRY_AFTER_S = 900.0
MOVED = "it was moved or withdrawn; look at the publisher's page"
NOT_ALLOWED = "check the proxy, or download it with a browser"
ADVICE = {404: MOVED, 410: MOVED, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 407: NOT_ALLOWED}
PORTS = {"http": 80, "https": 443}
NETWORK_ERRORS = (requests.RequestException, HTTPError, ValueError)
Result = TypeVar("Result")


class _Retry(Retry):
    """Gives up at once where waiting does not help: at a refused certificate, and at a very long `Retry-After`."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            wait_s = super().get_retry_after(response)
        except InvalidHeader:
            return None
        if wait_s and wait_s > LONGEST_RETRY_AFTER_S:
            header = response.headers["Retry-After"]
            raise ValueError(f"the server answers {response.status} with Retry-After: {header}")
        return wait_s

    def increment(self, *args: Any, **more: Any) -> Self:
        error: Exception | None = more.get("error")
        if error and "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise error
        return super().increment(*args, **more)


class Session(requests.Session):
    """A session of requests for one file at a time, with retries (urllib3's `Retry`) and a check of every host.

    hosts: what redirects may lead to besides the host of the file (".example.org": all hosts below it), never from
    https to http. attempts: in a row, without one new byte. timeout_s: without an answer, or without one more byte.
    backoff_s: scale of the growing waits between attempts.
    """

    def __init__(
        self, hosts: Collection[str] = (), attempts: int = 8, timeout_s: float = 60.0, backoff_s: float = 1.0
    ) -> None:
        super().__init__()
        self.hosts, self.timeout_s, self.origin, self.max_redirects = hosts, timeout_s, "", 8
        self.retries = _Retry(
            total=attempts - 1,
            allowed_methods=["GET"],
            status_forcelist=RETRIED,
            raise_on_status=False,
            backoff_factor=backoff_s,
            backoff_max=60.0,
            backoff_jitter=backoff_s,  # jobs that failed together do not come again together
        )
        for scheme in PORTS:
            self.mount(f"{scheme}://", HTTPAdapter(max_retries=self.retries))
        # identity: a file that is compressed on the way has other bytes at the offset where it is resumed.
        self.headers.update({"User-Agent": f"dualmic-asd/{__version__}", "Accept-Encoding": "identity"})

    @classmethod
    def of(cls, fetch: Mapping[str, Any], hosts: Collection[str] = ()) -> Self:
        """A session with the settings of section `fetch` of the configuration, and further hosts."""
        return cls((*hosts, *fetch["hosts"]), fetch["attempts"], fetch["timeout_s"])

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        check_host(request.url or "", self.origin, self.hosts)
        return super().send(request, **settings)

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """The answer to a GET with status 200, 206 or 416, its body unread; UserError for other statuses."""
        self.origin = url
        with self.get(url, headers=headers, stream=True, timeout=self.timeout_s) as response:
            if response.status_code not in (200, 206, 416):
                advice = ADVICE.get(response.status_code, "run the same command again later")
                raise UserError(f"{url}: the server answers {response.status_code} {response.reason}: {advice}")
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise UserError(f"{url}: is compressed as {encoding} on the way: check the proxy")
            yield response


def check_host(url: str, origin: str, hosts: Collection[str]) -> None:
    """UserError unless a URL is on the host of `origin` or on one of `hosts`, and as safe as `origin` (https)."""
    place, own = urlsplit(url), urlsplit(origin)
    host = place.hostname or ""
    names = (host, f"{host}:{place.port or PORTS.get(place.scheme)}")
    if place.scheme not in PORTS or (own.scheme == "https" and place.scheme != "https"):
        raise UserError(f"{origin}: leads to {url}, which is not {own.scheme}: refused; use another address")
    known = (entry.lower() for entry in hosts)
    if host != own.hostname and not any(e in names or (e.startswith(".") and host.endswith(e)) for e in known):
        raise UserError(f"{origin}: leads to another host, {host}: refused; if you trust it, add {host} to fetch.hosts")


def with_retries(
    attempt: Callable[[], Result], session: Session, url: str, position: Callable[[], int] = lambda: 0
) -> Result:
    """Call `attempt` again while the connection fails in the middle of an answer, until attempts are used up.

    They are counted anew when `position`, the number of bytes so far, has grown. Raises UserError of one line.
    """
    retries, furthest = session.retries, position()
    with network_errors(url):
        while True:
            try:
                return attempt()
            except HTTPError as error:
                if position() > furthest:
                    retries, furthest = session.retries, position()
                retries = retries.increment("GET", url, error=error)
                log.warning("%s: the connection failed after %d bytes (%s)", url, position(), short_cause(error))
                retries.sleep()


def read_small(session: Session, url: str, limit_bytes: int) -> bytes:
    """The whole body of a small answer; UserError if it is longer than the limit."""

    def attempt() -> bytes:
        with session.open(url) as response:
            return response.raw.read(limit_bytes + 1)

    body = with_retries(attempt, session, url)
    if len(body) > limit_bytes:
        raise UserError(f"{url}: longer than {limit_bytes} bytes: check the address")
    return body


@contextmanager
def network_errors(url: str, kinds: tuple[type[Exception], ...] = NETWORK_ERRORS) -> Iterator[None]:
    """UserError of one line for whatever a connection can fail with; kinds: the exceptions of an HTTP library."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        what = "no answer in time" if "timed out" in str(error) else f"the connection failed ({short_cause(error)})"
        advice = "check the address and the proxy, or run the same command again later"
        if "CERTIFICATE_VERIFY_FAILED" in what:
            advice = "check the clock; behind a proxy that reads connections, set REQUESTS_CA_BUNDLE"
        raise UserError(f"{url}: {what}: {advice}") from None


def short_cause(error: BaseException) -> str:
    """The innermost reason in a few words: requests wraps it three times and adds addresses of objects."""
    for _ in range(8):
        inner = [getattr(error, "reason", None), error.__cause__, *error.args]
        nested = [candidate for candidate in inner if isinstance(candidate, BaseException)]
        if not nested:
            break
        error = nested[0]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]
