"""One file from a server that misbehaves: the right bytes or no file, and one clear line."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from conftest import ROOT
from fetch_server import Site
from one_line import one_line_error
from urllib3.exceptions import SSLError

from workflow_lib.fetch.connection import Session
from workflow_lib.fetch.download import download

BODY = random.Random(7).randbytes(300_000)
OTHER = random.Random(8).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
ATTEMPTS = 3
TAG = '"version-1"'
PARTIAL = {"fan.zip.part", "fan.zip.part.json"}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "fan.zip"


def get(site: Site, path: Path, *, size: int | None = len(BODY), checksum: str | None = MD5, **more) -> None:
    progress = more.pop("progress", lambda _: None)
    with Session(**{"attempts": ATTEMPTS, "timeout_s": 2.0, "backoff_s": 0.01, **more}) as session:
        download(session, site.url("/fan.zip"), path, size=size, checksum=checksum, progress=progress)


def get_whole(site: Site, path: Path, body: bytes = BODY, **more) -> None:
    get(site, path, **more)
    assert path.read_bytes() == body
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def fault(site: Site, path: Path, *, leaves: set[str] | None = None, **more) -> str:
    """The one line of a download that fails; no file is there, whole or wrong, and nothing but `leaves`."""
    with one_line_error() as caught:
        get(site, path, **more)
    assert {entry.name for entry in path.parent.glob("*")} == (leaves or set())
    return str(caught.value)


def break_off(site: Site, path: Path, body: bytes, etag: str = TAG) -> None:
    """A download that is given up after 100,000 bytes, which stay."""
    site.put("/fan.zip", body, etag=etag, steps=[{"drop": 100_000}] + [{"status": 503}] * ATTEMPTS)
    fault(site, path, checksum=None, leaves=PARTIAL)


# ---- what works ------------------------------------------------------------------------------------------------------

SHA256 = f"SHA256:{hashlib.sha256(BODY).hexdigest().upper()}"


@pytest.mark.parametrize(
    ("page", "more"),
    [
        *(({}, more) for more in ({}, {"size": None}, {"checksum": None}, {"size": None, "checksum": None})),
        ({}, {"checksum": SHA256}),
        ({"delay_s": 0.02}, {"timeout_s": 0.2}),  # longer than the time-out in all, never in one piece
        ({"steps": [{"drop": 30_000}] * 8}, {}),  # attempts count anew when bytes have come
    ],
)
def test_a_file_comes_whole(site, path, page, more):
    site.put("/fan.zip", BODY, etag=TAG, **page)
    get_whole(site, path, **more)
    assert site.requests[0][1]["Accept-Encoding"] == "identity"


def test_a_file_that_is_there_needs_no_connection(site, path, caplog):
    path.parent.mkdir()
    path.write_bytes(BODY)
    get_whole(site, path)
    assert site.requests == []
    site.put("/fan.zip", BODY)
    path.write_bytes(OTHER)
    get_whole(site, path)
    assert "not the published file" in caplog.text


def test_progress_counts_every_byte_once(site, path):
    site.put("/fan.zip", BODY, etag=TAG, ranges=False, steps=[{"drop": 100_000}])
    steps: list[int] = []
    get_whole(site, path, progress=steps.append)
    assert sum(steps) == len(BODY)
    assert len(steps) > 3 and -100_000 in steps


def test_an_empty_file_is_a_file(site, path):
    site.put("/fan.zip", b"")
    get_whole(site, path, b"", size=0, checksum=f"md5:{hashlib.md5(b'').hexdigest()}")


# ---- broken off and resumed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validator", [{"etag": TAG}, {"modified": "Tue, 09 Jun 2026 10:00:00 GMT"}, {}])
@pytest.mark.parametrize("checksum", [MD5, None])
def test_a_dropped_connection_is_resumed_where_it_ended(site, path, validator, checksum):
    """Without validator and sum nothing would show that the rest is of another version: then it begins again."""
    site.put("/fan.zip", BODY, steps=[{"drop": 100_000}, {"drop": 50_000}], **validator)
    get_whole(site, path, checksum=checksum)
    asked = [(headers.get("Range"), headers.get("If-Range")) for headers in site.asked("/fan.zip")]
    version = next(iter(validator.values()), None)
    resumed = [("bytes=100000-", version), ("bytes=150000-", version)]
    assert asked == [(None, None), *(resumed if validator or checksum else [(None, None)] * 2)]


def test_a_server_without_ranges_begins_again_and_is_given_up_in_the_end(site, path):
    page = site.put("/fan.zip", BODY, etag=TAG, ranges=False, steps=[{"drop": 100_000}] * 99)
    assert "the connection" in fault(site, path, leaves=PARTIAL)
    assert len(site.requests) == ATTEMPTS  # the first brought new bytes, the others none
    page.steps.clear()
    get_whole(site, path)


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_file_changed_on_the_server_is_not_spliced(site, path, monkeypatch, honours_if_range):
    """The new version comes whole: without a sum to tell, only the validator can."""
    break_off(site, path, OTHER, '"version-0"')
    assert (path.parent / "fan.zip.part").stat().st_size == 100_000
    site.put("/fan.zip", BODY, etag=TAG)
    if not honours_if_range:
        monkeypatch.setattr("fetch_server._start", lambda headers, *_: 100_000 if headers.get("Range") else 0)
    before = len(site.requests)
    get_whole(site, path, checksum=None)
    assert site.requests[before][1]["If-Range"] == '"version-0"'


@pytest.mark.parametrize("damage", [b"damage", OTHER])
def test_a_damaged_beginning_is_thrown_away_once(site, path, damage, caplog):
    """Other bytes, or more than the file has."""
    break_off(site, path, BODY)
    with (path.parent / "fan.zip.part").open("r+b") as file:
        file.write(damage if damage != OTHER else OTHER + damage)
    get_whole(site, path)
    assert damage == OTHER or "thrown away" in caplog.text


def test_the_beginning_of_another_address_is_not_resumed(site, path):
    break_off(site, path, OTHER)
    facts = path.parent / "fan.zip.part.json"
    facts.write_text(facts.read_text().replace("/fan.zip", "/other.zip"))
    site.put("/fan.zip", BODY, etag=TAG)
    get_whole(site, path)
    assert "Range" not in site.requests[-1][1]


@pytest.mark.parametrize("body", [BODY[:-7], BODY + b"1234567"])
def test_a_wrong_size_is_seen_before_it_comes_or_when_it_has_come_and_a_wrong_sum_removes_the_file(site, path, body):
    site.put("/fan.zip", OTHER, etag=TAG)
    line = fault(site, path)
    assert MD5.removeprefix("md5:") in line and "removed" in line
    site.put("/fan.zip", body)
    assert f"{len(body)} bytes, published are 300000" in fault(site, path)
    site.put("/fan.zip", body, length=False)
    fault(site, path, leaves=PARTIAL)


# ---- answers other than the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "words", "requests"),
    [
        ({}, "404 Not Found: it was moved", 1),
        ({"steps": [{"status": 403}]}, "403 Forbidden: check the proxy", 1),
        ({"steps": [{"status": 418}]}, "answers 418", 1),
        ({"headers": {"Content-Encoding": "gzip"}}, "gzip", 1),
        ({"steps": [{"status": 500}] * 9}, "answers 500", ATTEMPTS),
        ({"steps": [{"status": 429, "headers": {"Retry-After": "86400"}}]}, "Retry-After: 86400", 1),
        ({"steps": [{"stall": 0.5}] * 9}, "no answer in time", ATTEMPTS),
        ({"redirect": "file:///etc/passwd"}, "refused", 1),
        ({"redirect": "ftp://127.0.0.1/fan.zip"}, "refused", 1),
        ({"redirect": "http://[::1/fan.zip"}, "connection failed", 1),
        ({"redirect": "/fan.zip"}, "redirects", 9),
    ],
)
def test_answers_that_bring_no_file_are_one_line(site, path, answers, words, requests):
    if answers:
        site.put("/fan.zip", BODY, **answers)
    assert words in fault(site, path, timeout_s=0.2 if "stall" in str(answers) else 9.0)
    assert len(site.requests) == requests


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("after", "shortest", "longest"),
    [
        ("1", 1, 1),
        ("a date", 100, 800),
        ("soon", 2, 3),
        ("Tue, 09 Jun 2020 10:00:00 GMT", 2, 3),
        ("", 2, 3),
    ],
)
def test_a_busy_server_is_asked_again_after_the_wait_that_it_names(
    site, path, monkeypatch, status, after, shortest, longest
):
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    after = formatdate(time.time() + 800, usegmt=True) if after == "a date" else after
    site.put("/fan.zip", BODY, steps=[{"status": status, "headers": {"Retry-After": after}}] * 2)
    get_whole(site, path, backoff_s=1.0)
    waits = [wait for wait in waits if wait > 0]  # 0: of the server in its thread
    assert waits and all(shortest <= wait <= longest for wait in waits)


def test_waits_grow_and_are_drawn_at_random():
    waits = []
    for retries in (Session(attempts=20).retries, Session(attempts=20).retries):
        for _ in range(19):
            retries = retries.increment("GET", "/")
            waits.append(retries.get_backoff_time())
    assert waits[1] != waits[20]
    assert all(2**i <= wait <= 2**i + 1 for i, wait in enumerate(waits[1:6], start=1))
    assert max(waits) == 60.0


def test_a_refused_certificate_is_not_tried_again():
    with pytest.raises(SSLError):
        Session().retries.increment("GET", "/", error=SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] expired"))


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/fan.zip", "http://", "fan.zip", "http://[::1/fan.zip", ""])
def test_addresses_that_are_none_and_no_server_at_all(site, path, url):
    site.close()
    with one_line_error(None if url else "Connection refused"):
        download(Session(attempts=1), url or site.url("/fan.zip"), path)
    assert not list(path.parent.iterdir())


def test_a_proxy_of_the_environment_is_asked(site, path, monkeypatch):
    """The server plays the proxy, which is asked for the whole address."""
    monkeypatch.setenv("http_proxy", site.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    site.put("http://zenodo.invalid/fan.zip", BODY)
    download(Session(attempts=1), "http://zenodo.invalid/fan.zip", path, size=len(BODY), checksum=MD5)
    assert path.read_bytes() == BODY


def test_a_redirect_on_the_same_host_is_followed(site, path):
    site.put("/fan.zip", redirect="/elsewhere/fan.zip")
    site.put("/elsewhere/fan.zip", BODY, etag=TAG, steps=[{"drop": 100_000}])
    get_whole(site, path)
    assert site.requests[-1][1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize("hosts", [["localhost"], ["LOCALHOST"], ["example.org", "localhost:{port}"]])
def test_a_redirect_to_another_host_is_followed_only_if_it_is_listed(site, path, hosts):
    site.put("/fan.zip", redirect=site.url("/elsewhere.zip", host="localhost"))
    site.put("/elsewhere.zip", BODY)
    assert "add localhost to fetch.hosts" in fault(site, path, hosts=["127.0.0.1"])
    assert site.asked("/elsewhere.zip") == []
    get_whole(site, path, hosts=[host.format(port=site.port) for host in hosts])


# ---- the disk --------------------------------------------------------------------------------------------------------


def test_room_is_looked_at_before(site, path, monkeypatch):
    site.put("/fan.zip", BODY)
    path.parent.write_bytes(b"")
    with one_line_error("cannot be written"):
        get(site, path)
    path.parent.unlink()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    assert "300kB are still to come, 1.00kB are free" in fault(site, path)


def test_a_disk_that_is_full_in_the_middle_gives_one_line_and_goes_on_later(site, path):
    """RLIMIT_FSIZE stands for the full disk: the kernel refuses the write in the same place."""
    site.put("/fan.zip", BODY, etag=TAG)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, limits[1]))
    try:
        line = fault(site, path, leaves=PARTIAL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the disk is full after 123kB" in line
    get_whole(site, path)
    assert site.requests[-1][1]["Range"] == "bytes=123456-"


def test_two_downloads_of_one_file_do_not_meet(site, path):
    site.put("/fan.zip", BODY, delay_s=0.02)
    first = threading.Thread(target=get, args=(site, path))
    first.start()
    while not (path.parent / "fan.zip.part").exists() or not site.requests:
        time.sleep(0.01)
    assert "another process" in fault(site, path, leaves=PARTIAL)
    first.join()
    assert path.read_bytes() == BODY


def test_kills_at_random_moments_leave_the_right_bytes_or_none(site, path):
    site.put("/fan.zip", BODY, etag=TAG, delay_s=0.02)
    script = f"""
from pathlib import Path
from workflow_lib.fetch.connection import Session
from workflow_lib.fetch.download import download
print("ready", flush=True)
download(Session(), {site.url("/fan.zip")!r}, Path({str(path)!r}))
"""
    moments = random.Random(20260611)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0.05, 0.25))
            os.kill(process.pid, signal.SIGKILL)
        assert not path.exists() or path.read_bytes() == BODY
    get_whole(site, path)
    assert any("Range" in headers for headers in site.asked("/fan.zip"))
