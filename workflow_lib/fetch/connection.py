"""Talking to a server that may be slow, busy or gone: retries with growing waits, redirects only to listed hosts.

Proxies, certificates and .netrc are taken from the environment, as the requests library does (HTTPS_PROXY, NO_PROXY,
REQUESTS_CA_BUNDLE).
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, ProtocolError

from workflow_lib import __version__
from workflow_lib.errors import UserError

log = logging.getLogger(__name__)
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524)  # worth another attempt
MAX_REDIRECTS = 8
PORTS = {"http": 80, "https": 443}
Result = TypeVar("Result")
# What a connection can die of on the way; anything else is a fault of the program.
NETWORK_ERRORS = (requests.ConnectionError, requests.Timeout, HTTPError)
PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Retry:
    """How long to be patient; waits grow twofold from the first to the longest, each shortened at random."""

    attempts: int = 8  # in a row, without one new byte
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    patience_s: float = 900.0  # longest wait that a server may ask for (Retry-After)
    timeout_s: float = 60.0  # without an answer, or without one more byte

    def wait_s(self, attempt: int) -> float:
        """How long to wait after a failure, counted from 1; at random, so that jobs do not come in step."""
        return min(self.longest_wait_s, self.first_wait_s * 2 ** min(attempt - 1, 32)) * random.uniform(0.5, 1.0)


DEFAULT = Retry()


class Passing(Exception):
    """A failure that another attempt may mend; `wait_s` is what the server asks for."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def patiently(
    attempt: Callable[[], Result], url: str, settings: Retry, position: Callable[[], int] = lambda: 0
) -> Result:
    """Call `attempt` until it ends without a Passing failure; failures are counted anew when `position` has grown.

    Raises UserError when all attempts are used up, or when the server asks for a wait beyond the patience.
    """
    failures, furthest = 0, position()
    while True:
        try:
            return attempt()
        except Passing as failure:
            failures = 1 if position() > furthest else failures + 1
            furthest = max(furthest, position())
            if failures >= settings.attempts:
                times = f"{settings.attempts} attempts" if settings.attempts > 1 else "one attempt"
                raise UserError(f"{url}: {failure}, after {times}: run the same command again later") from None
            time.sleep(_wait_s(failure, failures, url, settings))


def _wait_s(failure: Passing, failures: int, url: str, settings: Retry) -> float:
    asked = failure.wait_s or 0.0
    if asked > settings.patience_s:
        raise UserError(f"{url}: {failure} and asks to wait {asked:.0f} s: run the same command again then")
    wait = max(asked, settings.wait_s(failures))
    log.warning("%s: %s: attempt %d of %d in %.1f s", url, failure, failures + 1, settings.attempts, wait)
    return wait


@contextmanager
def opened(
    url: str, headers: Mapping[str, str], hosts: Collection[str], settings: Retry
) -> Iterator[requests.Response]:
    """The answer to a GET, its body unread; Passing where another attempt may help, else UserError.

    Statuses 200, 206 and 416 come back. Redirects may lead to the host of the URL and to `hosts` (".example.org": all
    hosts below it), and never from https to http.
    """
    with requests.Session() as session, _connection_faults(url):
        response = _follow(session, url, headers, hosts, settings)
        with response:
            _check_status(url, response)
            yield response


@contextmanager
def _connection_faults(url: str) -> Iterator[None]:
    try:
        yield
    except requests.exceptions.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise Passing(_words(error)) from None
        advice = "check the clock; behind a proxy that looks into connections, set REQUESTS_CA_BUNDLE"
        raise UserError(f"{url}: no safe connection ({_cause(error)}): {advice}") from None
    except NETWORK_ERRORS as error:
        raise Passing(_words(error)) from None
    except (requests.RequestException, UnicodeError) as error:
        raise UserError(
            f"{url}: cannot be asked for ({_cause(error)}): mend the address, or the proxy settings"
        ) from None


def _follow(
    session: requests.Session, url: str, headers: Mapping[str, str], hosts: Collection[str], settings: Retry
) -> requests.Response:
    address = url
    # identity: a file that is packed on the way has other bytes at the offset where it is taken up.
    headers = {"User-Agent": f"dualmic-asd/{__version__}", "Accept-Encoding": "identity", **headers}
    for _ in range(MAX_REDIRECTS):
        response = session.get(address, headers=headers, stream=True, allow_redirects=False, timeout=settings.timeout_s)
        target = response.headers.get("Location")
        if response.status_code not in REDIRECTS or not target:
            return response
        response.close()
        following = urljoin(address, target)
        check_host(following, url, hosts)
        if urlsplit(address).scheme == "https" and urlsplit(following).scheme != "https":
            raise UserError(f"{url}: leads from https to http ({following}): refused; name another address")
        address = following
    raise UserError(f"{url}: leads round in a circle ({MAX_REDIRECTS} redirects): name another address")


def check_host(url: str, origin: str, hosts: Collection[str]) -> None:
    """UserError unless a URL lies on the host of `origin`, or on one of `hosts`."""
    host, own = urlsplit(url).hostname or "", urlsplit(origin).hostname
    port = urlsplit(url).port or PORTS.get(urlsplit(url).scheme)
    if urlsplit(url).scheme not in PORTS:
        raise UserError(f"{origin}: leads to {url}: neither http nor https: refused; name another address")
    names = (host, f"{host}:{port}")
    if host == own or any(name == entry.lower() or _below(host, entry) for entry in hosts for name in names):
        return
    raise UserError(f"{origin}: leads to another host, {host}: refused; if you trust it, add {host} to fetch.hosts")


def _below(host: str, entry: str) -> bool:
    return entry.startswith(".") and host.endswith(entry.lower())


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    what = f"the server answers {status} {response.reason or ''}".rstrip()
    if status in PASSING:
        raise Passing(what, _retry_after_s(response.headers.get("Retry-After")))
    if status in (404, 410):
        raise UserError(f"{url}: not found ({status}): it was moved or withdrawn; look at the publisher's page")
    if status in (401, 403, 407):
        raise UserError(f"{url}: not allowed ({status}): check the proxy, or download it with a browser")
    if status not in (200, 206, 416):
        raise UserError(f"{url}: {what}: name another address")
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise UserError(f"{url}: comes packed as {packed}, which was not asked for: check the proxy")


def _retry_after_s(value: str | None) -> float | None:
    """Seconds until another attempt is welcome: a number, or a date of HTTP; None for anything else."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def read_small(url: str, hosts: Collection[str], settings: Retry, limit_bytes: int) -> bytes:
    """The whole body of a small answer; UserError if it is longer than the limit."""

    def attempt() -> bytes:
        with opened(url, {}, hosts, settings) as response:
            body = bytearray()
            for piece in pieces(response):
                body += piece
                if len(body) > limit_bytes:
                    raise UserError(f"{url}: longer than {limit_bytes} bytes: check the address")
            return bytes(body)

    return patiently(attempt, url, settings)


def pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes; what had come before a connection broke off is not lost, as it would be in fixed pieces."""
    while data := response.raw.read1(PIECE_BYTES):
        yield data


def _words(error: Exception) -> str:
    cause = _cause(error)
    if isinstance(error, requests.Timeout) or "timed out" in cause:
        return "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy does not answer ({cause})"
    if isinstance(error, ProtocolError):
        return f"the connection broke off ({cause})"
    return f"no connection ({cause})"


def _cause(error: BaseException) -> str:
    """The innermost reason in a few words: requests wraps it three times and adds addresses of objects."""
    for _ in range(8):
        inner = [getattr(error, "reason", None), error.__cause__, *error.args]
        nested = [candidate for candidate in inner if isinstance(candidate, BaseException)]
        if not nested:
            break
        error = nested[0]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]
