"""One file from a server that misbehaves: the right bytes or no file, and one clear line."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT
from fetch_server import Site, running_site

from workflow_lib.errors import UserError
from workflow_lib.fetch.connection import Passing, _retry_after_s
from workflow_lib.fetch.download import Fetched, Retry, download
from workflow_lib.fetch.part import readable

BODY = random.Random(7).randbytes(300_000)
OTHER = random.Random(8).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
QUICK = Retry(attempts=3, first_wait_s=0.01, longest_wait_s=0.02, patience_s=5.0, timeout_s=2.0)
TAG = '"version-1"'


@pytest.fixture
def site():
    with running_site() as site:
        yield site


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "fan.zip"


def get(site: Site, path: Path, *, size: int | None = len(BODY), checksum: str | None = MD5, **more) -> Fetched:
    return download(site.url("/fan.zip"), path, size=size, checksum=checksum, **{"settings": QUICK, **more})


def assert_whole(path: Path) -> None:
    assert path.read_bytes() == BODY
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def fault(site: Site, path: Path, **more) -> str:
    """The one line of a download that fails; no file is there, whole or wrong."""
    with pytest.raises(UserError) as caught:
        get(site, path, **more)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert not path.exists()
    return text


def assert_nothing(path: Path) -> None:
    assert not path.parent.exists() or not list(path.parent.iterdir())


# ---- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"size": None}, {"checksum": None}, {"size": None, "checksum": None}])
def test_a_file_comes_whole_with_its_sums(site, path, more):
    site.put("/fan.zip", BODY, etag=TAG)
    fetched = get(site, path, **more)
    assert_whole(path)
    assert fetched.size == len(BODY)
    assert fetched.checksums == {k: hashlib.new(k, BODY).hexdigest() for k in ("md5", "sha256")}


@pytest.mark.parametrize("checksum", ["SHA256:" + hashlib.sha256(BODY).hexdigest().upper(), MD5])
def test_sums_are_compared_without_regard_to_case(site, path, checksum):
    site.put("/fan.zip", BODY)
    get(site, path, checksum=checksum)
    assert_whole(path)


def test_a_file_that_is_there_needs_no_connection(site, path):
    path.parent.mkdir()
    path.write_bytes(BODY)
    assert get(site, path).size == len(BODY)
    assert site.requests == []


def test_a_wrong_file_that_is_there_is_replaced(site, path, caplog):
    site.put("/fan.zip", BODY)
    path.parent.mkdir()
    path.write_bytes(OTHER)
    get(site, path)
    assert_whole(path)
    assert "not the published file" in caplog.text


def test_progress_counts_every_byte_once(site, path):
    site.put("/fan.zip", BODY, etag=TAG, steps=[{"drop": 100_000}])
    steps: list[int] = []
    get(site, path, progress=steps.append)
    assert sum(steps) == len(BODY)
    assert len(steps) > 3


def test_a_slow_server_is_waited_for(site, path):
    site.put("/fan.zip", BODY, delay_s=0.02)
    get(site, path)
    assert_whole(path)


def test_an_empty_file_is_a_file(site, path):
    site.put("/fan.zip", b"")
    get(site, path, size=0, checksum=f"md5:{hashlib.md5(b'').hexdigest()}")
    assert path.read_bytes() == b""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


# ---- broken off and taken up -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("validator", [{"etag": TAG}, {"modified": "Tue, 09 Jun 2026 10:00:00 GMT"}, {}])
def test_a_dropped_connection_is_taken_up_where_it_ended(site, path, validator):
    site.put("/fan.zip", BODY, steps=[{"drop": 100_000}, {"drop": 50_000}], **validator)
    get(site, path)
    assert_whole(path)
    ranges = [headers.get("Range") for headers in site.asked("/fan.zip")]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    conditions = {headers.get("If-Range") for headers in site.asked("/fan.zip")[1:]}
    assert conditions == set(validator.values()) or conditions == {None}


def test_attempts_count_anew_when_bytes_have_come(site, path):
    site.put("/fan.zip", BODY, etag=TAG, steps=[{"drop": 30_000}] * 8)
    get(site, path)
    assert_whole(path)


def test_without_validator_and_sum_nothing_is_spliced(site, path):
    site.put("/fan.zip", BODY, steps=[{"drop": 100_000}])
    get(site, path, checksum=None)
    assert [headers.get("Range") for headers in site.asked("/fan.zip")] == [None, None]
    assert_whole(path)


def test_a_refused_range_begins_again(site, path):
    site.put("/fan.zip", BODY, etag=TAG, ranges=False, steps=[{"drop": 100_000}])
    get(site, path)
    assert_whole(path)


def test_a_server_that_never_gets_through_is_given_up(site, path):
    site.put("/fan.zip", BODY, etag=TAG, ranges=False, steps=[{"drop": 100_000}] * 99)
    assert "the connection" in fault(site, path)
    assert len(site.requests) == 1 + QUICK.attempts - 1  # the first brought new bytes, the others none


def test_a_file_changed_on_the_server_is_not_spliced(site, path):
    """The new version comes whole: without a sum to tell, only the validator can."""
    site.put("/fan.zip", OTHER, etag='"version-0"', steps=[{"drop": 100_000}] + [{"status": 503}] * 3)
    fault(site, path, checksum=None)
    assert (path.parent / "fan.zip.part").stat().st_size == 100_000
    site.put("/fan.zip", BODY, etag=TAG)
    get(site, path, checksum=None)
    assert site.asked("/fan.zip")[-1]["If-Range"] == '"version-0"'
    assert_whole(path)


def test_a_changed_file_of_a_server_without_if_range_is_not_spliced(site, path, monkeypatch):
    site.put("/fan.zip", OTHER, etag='"version-0"', steps=[{"drop": 100_000}] + [{"status": 503}] * 3)
    fault(site, path, checksum=None)
    page = site.put("/fan.zip", BODY, etag=TAG)
    monkeypatch.setattr("fetch_server._start", lambda headers, *_: 100_000 if headers.get("Range") else 0)
    get(site, path, checksum=None)
    assert page.steps == []
    assert_whole(path)


def test_a_damaged_beginning_is_thrown_away_once(site, path, caplog):
    site.put("/fan.zip", BODY, etag=TAG, steps=[{"drop": 100_000}] + [{"status": 503}] * 3)
    fault(site, path)
    with (path.parent / "fan.zip.part").open("r+b") as file:
        file.write(b"damage")
    get(site, path)
    assert_whole(path)
    assert "thrown away" in caplog.text


def test_more_than_the_file_on_disk_begins_again(site, path):
    site.put("/fan.zip", BODY, etag=TAG, steps=[{"drop": 100_000}] + [{"status": 503}] * 3)
    fault(site, path)
    with (path.parent / "fan.zip.part").open("ab") as file:
        file.write(OTHER)
    get(site, path)
    assert_whole(path)


def test_a_file_of_another_address_is_not_taken_up(site, path):
    site.put("/other.zip", OTHER, etag=TAG, steps=[{"drop": 100_000}] + [{"status": 503}] * 3)
    with pytest.raises(UserError):
        download(site.url("/other.zip"), path, size=None, checksum=None, settings=QUICK)
    site.put("/fan.zip", BODY, etag=TAG)
    get(site, path)
    assert "Range" not in site.requests[-1][1]
    assert_whole(path)


# ---- wrong bytes -----------------------------------------------------------------------------------------------------


def test_a_wrong_sum_removes_the_file_and_says_so(site, path):
    site.put("/fan.zip", OTHER, etag=TAG)
    text = fault(site, path)
    assert MD5.removeprefix("md5:") in text
    assert "removed" in text
    assert_nothing(path)


def test_a_wrong_size_is_seen_before_it_comes(site, path):
    site.put("/fan.zip", BODY[:-7])
    assert "299993 bytes, published are 300000" in fault(site, path)
    assert_nothing(path)


@pytest.mark.parametrize("body", [BODY[:-7], BODY + b"1234567"])
def test_a_wrong_size_that_is_not_announced_is_seen(site, path, body):
    site.put("/fan.zip", body, length=False)
    fault(site, path)
    assert not path.exists()


def test_a_packed_answer_is_refused(site, path):
    site.put("/fan.zip", BODY, headers={"Content-Encoding": "gzip"})
    assert "gzip" in fault(site, path)


# ---- answers other than the file -------------------------------------------------------------------------------------


def test_not_found_is_not_tried_again(site, path):
    assert "not found (404)" in fault(site, path)
    assert len(site.requests) == 1
    assert_nothing(path)


def test_a_failing_server_is_tried_again(site, path):
    site.put("/fan.zip", BODY, steps=[{"status": 500}, {"status": 502}])
    get(site, path)
    assert_whole(path)


def test_a_server_that_keeps_failing_is_given_up(site, path):
    site.put("/fan.zip", BODY, steps=[{"status": 500}] * 9)
    assert "500" in fault(site, path)
    assert len(site.requests) == QUICK.attempts
    assert_nothing(path)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(site, path, status):
    site.put("/fan.zip", BODY, steps=[{"status": status, "headers": {"Retry-After": "1"}}])
    start = time.monotonic()
    get(site, path)
    assert time.monotonic() - start >= 1.0
    assert_whole(path)


def test_a_wait_beyond_the_patience_is_said(site, path):
    site.put("/fan.zip", BODY, steps=[{"status": 429, "headers": {"Retry-After": "86400"}}])
    assert "wait 86400 s" in fault(site, path)


def test_retry_after_as_a_date_and_as_nonsense():
    assert _retry_after_s("Tue, 09 Jun 2020 10:00:00 GMT") == 0.0
    assert _retry_after_s("soon") is None
    assert _retry_after_s(None) is None
    assert _retry_after_s("7") == 7.0


def test_waits_grow_and_are_drawn_at_random():
    waits = [[Retry().wait_s(attempt) for _ in range(50)] for attempt in (1, 2, 3, 100)]
    for drawn, longest in zip(waits, (1.0, 2.0, 4.0, 60.0), strict=True):
        assert longest / 2 <= min(drawn) < max(drawn) <= longest


def test_a_silent_server_is_given_up(site, path):
    site.put("/fan.zip", BODY, steps=[{"stall": 0.6}] * 3)
    quick = Retry(attempts=2, first_wait_s=0.01, timeout_s=0.2)
    assert "no answer in time, after 2 attempts" in fault(site, path, settings=quick)


def test_no_server_at_all(site, path):
    site.close()
    text = fault(site, path)
    assert "no connection (Connection refused)" in text


def test_addresses_that_are_none(path):
    for url in ("ftp://127.0.0.1/fan.zip", "http://", "fan.zip", "http://[::1/fan.zip"):
        with pytest.raises(UserError) as caught:
            download(url, path, size=None, checksum=None, settings=QUICK)
        assert len(str(caught.value).splitlines()) == 1
    assert_nothing(path)


def test_a_proxy_of_the_environment_is_asked(site, path, monkeypatch):
    """The server plays the proxy, which is asked for the whole address."""
    monkeypatch.setenv("http_proxy", site.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    site.put("http://zenodo.invalid/fan.zip", BODY)
    download("http://zenodo.invalid/fan.zip", path, size=len(BODY), checksum=MD5, settings=QUICK)
    assert_whole(path)


# ---- redirects -------------------------------------------------------------------------------------------------------


def redirect(site: Site, target: str) -> None:
    site.put("/fan.zip", steps=[{"status": 302, "headers": {"Location": target}}] * 20)


def test_a_redirect_on_the_same_host_is_followed(site, path):
    redirect(site, "/elsewhere/fan.zip")
    site.put("/elsewhere/fan.zip", BODY, etag=TAG, steps=[{"drop": 100_000}])
    get(site, path)
    assert_whole(path)


def test_a_redirect_to_another_host_is_refused(site, path):
    redirect(site, site.url("/elsewhere.zip", host="localhost"))
    site.put("/elsewhere.zip", BODY)
    assert "add localhost to fetch.hosts" in fault(site, path)
    assert site.asked("/elsewhere.zip") == []
    assert_nothing(path)


@pytest.mark.parametrize("hosts", [["localhost"], ["LOCALHOST"], ["example.org", "localhost:{port}"]])
def test_a_redirect_to_a_listed_host_is_followed(site, path, hosts):
    redirect(site, site.url("/elsewhere.zip", host="localhost"))
    site.put("/elsewhere.zip", BODY)
    get(site, path, hosts=[host.format(port=site.port) for host in hosts])
    assert_whole(path)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/fan.zip"])
def test_a_redirect_out_of_http_is_refused(site, path, target):
    redirect(site, target)
    assert "refused" in fault(site, path)


def test_redirects_in_a_circle_end(site, path):
    redirect(site, "/fan.zip")
    assert "circle" in fault(site, path)


# ---- the disk --------------------------------------------------------------------------------------------------------


def test_room_is_looked_at_before(site, path, monkeypatch):
    site.put("/fan.zip", BODY)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    assert "300 kB are still to come, 1 kB are free" in fault(site, path)
    assert_nothing(path)


def test_a_disk_that_is_full_in_the_middle_gives_one_line_and_goes_on_later(site, path):
    """RLIMIT_FSIZE stands for the full disk: the kernel refuses the write in the same place."""
    site.put("/fan.zip", BODY, etag=TAG)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, limits[1]))
    try:
        text = fault(site, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the disk is full after 123 kB" in text
    get(site, path)
    assert_whole(path)
    assert site.requests[-1][1]["Range"] == "bytes=123456-"


def test_a_folder_that_cannot_be_made_gives_one_line(site, tmp_path):
    (tmp_path / "data").write_bytes(b"")
    site.put("/fan.zip", BODY)
    with pytest.raises(UserError, match="cannot be written"):
        get(site, tmp_path / "data" / "fan.zip")


# ---- processes -------------------------------------------------------------------------------------------------------


def test_two_downloads_of_one_file_do_not_meet(site, path):
    site.put("/fan.zip", BODY, delay_s=0.05)
    first = threading.Thread(target=get, args=(site, path))
    first.start()
    while not (path.parent / "fan.zip.part").exists() or not site.requests:
        time.sleep(0.01)
    assert "another process" in fault(site, path)
    first.join()
    assert_whole(path)


def test_kills_at_random_moments_leave_the_right_bytes_or_none(site, path):
    site.put("/fan.zip", BODY, etag=TAG, delay_s=0.02)
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from workflow_lib.fetch.download import download
        print("ready", flush=True)
        download({site.url("/fan.zip")!r}, Path({str(path)!r}), size=None, checksum=None)
        """
    )
    moments = random.Random(20260611)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.25))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not path.exists() or path.read_bytes() == BODY
    get(site, path)
    assert_whole(path)
    assert any("Range" in headers for headers in site.asked("/fan.zip"))


def test_bytes_for_people():
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 12_345_678: "12.3 MB", 3_200_000_000: "3.2 GB"}
    assert {size: readable(size) for size in sizes} == sizes


def test_a_passing_failure_knows_its_wait():
    assert Passing("busy", 3.0).wait_s == 3.0
