"""Zips that mean harm or are damaged: nothing leaves the folder, and what is wrong leaves nothing."""

import stat
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from fetch_server import zipped
from one_line import one_line_error

from workflow_lib.errors import UserError
from workflow_lib.fetch.archive import unpacked

WAV = b"RIFF" + bytes(range(256)) * 40


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def files(place: Path, content: bytes) -> dict[str, bytes]:
    """What an archive unpacks to."""
    (place / "fan.zip").write_bytes(content)
    with unpacked(place / "fan.zip") as folder:
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert not any(path.stat().st_mode & 0o7111 for path in folder.rglob("*") if path.is_file())
    assert [path.name for path in place.iterdir()] == ["fan.zip"]
    return found


def refused(place: Path, content: bytes) -> str:
    """The one line about an archive; nothing was written beside it or above it."""
    with one_line_error() as caught:
        files(place, content)
    assert [path.name for path in place.iterdir()] == ["fan.zip"]
    assert [path.name for path in place.parent.iterdir()] == ["work"]
    return str(caught.value)


def test_a_sound_archive_comes_out_whole(place):
    """Backslashes are separators, names of other languages are kept, silence is no bomb."""
    sound = {
        "fan/train/a.wav": WAV,
        "fan/test/b.wav": WAV[:99],
        "fan/attributes_00.csv": b"",
        "silent": bytes(2_000_000),
    }
    sound |= {"fan/Geräusch Ω.wav": WAV, "fan/\u97f3.wav": WAV}
    content = zipped({**sound, "fan/empty/": b"", "fan/./c": b"c", "fan\\d.wav": WAV}, mode=stat.S_IFREG | 0o6777)
    assert files(place, content) == {**sound, "fan/c": b"c", "fan/d.wav": WAV}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["../evil.wav", "fan/../../evil.wav", "..\\evil.wav", "fan/.."], "out of the folder"),
        (["/tmp/evil.wav", "//server/evil.wav", "C:/evil.wav", "c:evil.wav", "\\evil.wav"], "absolute"),
        (["fan/a\n.wav", "fan/\x1b[2J.wav", "fan/a\x00.wav", "fan/\u202eevil.wav"], "unprintable"),
        (["fan/" + "ä" * 200 + ".wav"], "longer than 255 bytes"),
        (["fan//a.wav", "fan\\a.wav", "fan/./a.wav"], "two entries"),
        (["fan/a.wav/b.wav"], ""),  # a file that is a folder too
    ],
)
def test_names_that_are_refused(place, names, words):
    for name in names:
        assert words in refused(place, zipped({"fan/a.wav": WAV, name: WAV}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(place, kind):
    assert "link or device" in refused(place, zipped({"fan/a.wav": b"/etc/passwd"}, mode=kind | 0o777))


@pytest.mark.parametrize(
    ("form", "offset", "value", "words"),
    [("<H", 8, 1, "encrypted"), *(("<I", 24, declared, "") for declared in (10, 1000, 20_000))],
)
def test_an_encrypted_entry_or_a_size_that_is_not_the_declared_one(place, form, offset, value, words):
    content = bytearray(zipped({"fan/a.wav": WAV}))
    struct.pack_into(form, content, content.rindex(b"PK\x01\x02") + offset, value)
    assert words in refused(place, bytes(content))


# ---- bombs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("FREE_BYTES", 1_000_000, "unpack to 6.00MB"),
        ("MAX_ENTRIES", 2, "3 entries, at most 2"),
        ("shutil.disk_usage", lambda _: SimpleNamespace(free=100), "not enough room"),
    ],
)
def test_more_than_any_set_or_the_disk_has(place, monkeypatch, limit, value, words):
    monkeypatch.setattr(f"workflow_lib.fetch.archive.{limit}", value)
    assert words in refused(place, zipped({f"fan/{i}.wav": bytes(2_000_000) for i in range(3)}))


def test_entries_that_share_their_bytes(place):
    """One packed file, listed many times under names of its own: the classic bomb without nesting."""
    content = zipped({"fan/a.wav": WAV})
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[start:end]
    listing = b"".join(entry.replace(b"fan/a.wav", b"fan/%c.wav" % letter) for letter in b"abcdefgh")
    tail = bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 8, 8, len(listing))
    assert "overlap" in refused(place, content[:start] + listing + bytes(tail)).lower()


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [10, 500, -30])
def test_no_whole_zip(place, cut):
    assert "damaged" in refused(place, b"<html>login</html>")
    refused(place, zipped({"fan/a.wav": WAV, "fan/b.wav": WAV})[:cut])


def test_every_flipped_byte_ends_in_one_line_or_the_right_bytes(place):
    """No traceback, whatever byte of a small archive is damaged; the checksums of the entries see what matters."""
    body = bytes(range(64))
    content = zipped({"fan/a.wav": body})
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        try:
            assert set(files(place, damaged).values()) <= {body}
        except UserError as error:
            assert len(str(error).splitlines()) == 1
