"""What a record lists, in the forms that its API has had; the lock; which archive is meant; what placing leaves."""

import json
import shutil
from pathlib import Path

import pytest
from fetch_server import Site
from one_line import one_line_error

from workflow_lib.fetch.connection import Session
from workflow_lib.fetch.lock import RemoteFile, check_and_lock, locked_files
from workflow_lib.fetch.placing import conflict, is_whole, place
from workflow_lib.fetch.sets import published_sets
from workflow_lib.fetch.zenodo import read_record

MD5 = "0123456789abcdef" * 2
OTHER = "f" * 32


def answer(site: Site, content: object) -> list[RemoteFile]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    site.put("/api/records/7", body)
    return read_record(Session(attempts=2), site.url("/api/records"), 7)


def fault(site: Site, content: object) -> str:
    with one_line_error() as caught:
        answer(site, content)
    return str(caught.value)


def entry(site: Site, **changes) -> dict:
    link = {"self": site.url("/api/records/7/files/fan.zip/content")}
    return {"key": "fan.zip", "size": 12, "checksum": f"md5:{MD5}", "links": link, **changes}


# ---- the API ---------------------------------------------------------------------------------------------------------


def test_the_forms_that_the_api_has_had(site):
    today = entry(site)
    deposit = {"filename": "fan.zip", "filesize": 12, "checksum": MD5, "links": {"download": today["links"]["self"]}}
    links = {"self": site.url("/api/records/7/files/fan.zip"), "content": today["links"]["self"]}
    own_format = {"enabled": True, "entries": {"fan.zip": {"size": 12, "checksum": f"md5:{MD5}", "links": links}}}
    bare = {key: value for key, value in today.items() if key != "links"}
    for files in ([today], [deposit], own_format, [bare]):
        assert answer(site, {"files": files}) == [RemoteFile(7, "fan.zip", 12, f"md5:{MD5}", today["links"]["self"])]


def test_an_answer_that_is_no_record_or_has_a_field_that_makes_no_sense(site, monkeypatch):
    wrong = {"size": (-1, "12", None), "key": ("../fan.zip", ".ssh", ""), "checksum": ("crc32:00", None)}
    for field, values in wrong.items():
        for value in values:
            text = fault(site, {"files": [entry(site, **{field: value})]})
            assert f"no proper {'name' if field == 'key' else field}" in text
    for content in (b"<html>", b"[]", b"{}", b'{"files": []}', b'{"files": 3}', b"\xff", b"null"):
        fault(site, content)
    text = fault(site, {"files": [entry(site, links={"self": "https://example.org/fan.zip"})]})
    assert "add example.org to fetch.hosts" in text
    monkeypatch.setattr("workflow_lib.fetch.zenodo.MAX_BYTES", 1000)
    assert "longer than 1000 bytes" in fault(site, b" " * 5000)


# ---- the lock --------------------------------------------------------------------------------------------------------


def remote(name: str = "fan.zip", checksum: str = MD5, size: int = 12, record: int = 7) -> RemoteFile:
    return RemoteFile(record, name, size, f"md5:{checksum}", f"https://zenodo.org/{name}")


def test_the_lock_keeps_what_was_seen_first(tmp_path):
    path = tmp_path / "data" / "fetch.lock.json"
    check_and_lock(path, [remote()])
    before = path.read_bytes()
    check_and_lock(path, [remote()])
    assert path.read_bytes() == before
    check_and_lock(path, [remote(record=8)])
    assert set(locked_files(path)) == {(7, "fan.zip"), (8, "fan.zip")}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ([remote(checksum=OTHER)], "has changed its file fan.zip"),
        ([remote(size=13)], "has changed its file fan.zip"),
        ([], "no longer has the file fan.zip"),
    ],
)
def test_a_changed_or_withdrawn_file_is_one_line_and_changes_no_lock(tmp_path, now, words):
    path = tmp_path / "fetch.lock.json"
    check_and_lock(path, [remote(), remote("pump.zip")])
    before = path.read_bytes()
    with one_line_error(f"record 7 {words}"):
        check_and_lock(path, [*now, remote("pump.zip"), remote("new.zip")])
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 9}', '{"schema": 1, "files": [{"record": 1}]}', "[]"])
def test_a_lock_that_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "fetch.lock.json"
    path.write_text(content, encoding="utf-8")
    with one_line_error("not a lock file"):
        check_and_lock(path, [remote()])
    assert path.read_text(encoding="utf-8") == content


# ---- the sets --------------------------------------------------------------------------------------------------------


def test_all_sets_of_2023_to_2026_are_known():
    sets = published_sets()
    assert set(sets) == {f"dcase{year}/{kind}" for year in (2023, 2024, 2025, 2026) for kind in ("dev", "eval")}
    assert [sets[f"dcase{year}/dev"].channels for year in (2023, 2024, 2025, 2026)] == [1, 1, 1, 2]
    for published in sets.values():
        assert all(set(part.archives) == set(published.machines) for part in published.parts)
        assert all(Path(name).suffix == ".zip" for part in published.parts for name in part.archives.values())
    assert "3DPrinter" in sets["dcase2024/eval"].machines


def test_the_records_own_list_decides_on_the_name_of_an_archive():
    part = published_sets()["dcase2026/eval"].part("eval_test")
    noted, second = "eval_data_ToyDrone_test.zip", "eval_data_ToyDrone_test_r2.zip"
    assert part.archive("ToyDrone", [noted, second]) == noted
    assert part.archive("ToyDrone", [second, "readme.txt"]) == second
    assert part.archive("ToyDrone", ["ToyDrone.zip", "eval_data_ToyDroneEmu_test.zip"]) == "ToyDrone.zip"
    for listed in ([], ["a.zip"], ["ToyDrone_a.zip", "ToyDrone_b.zip"], ["eval_data_ToyDroneEmu_test.zip"]):
        with one_line_error(r"has no file eval_data_ToyDrone_test\.zip"):
            part.archive("ToyDrone", listed)


# ---- placing ---------------------------------------------------------------------------------------------------------


def unpacked(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".fetched.json")
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.parametrize("around", ["fan/", "dev_data/fan/", ""])
def test_a_machine_is_found_at_the_top_or_in_a_folder_around_it(tmp_path, around):
    files = ("train/a.wav", "test/b.wav", "attributes_00.csv")
    source = unpacked(tmp_path / "out", *(around + file for file in files))
    place(source, tmp_path / "dev" / "fan", ("train", "test"), remote())
    assert names(tmp_path / "dev") == ["fan/attributes_00.csv", "fan/test/b.wav", "fan/train/a.wav"]
    assert all(is_whole(tmp_path / "dev/fan" / split) for split in ("train", "test"))


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train")])
def test_training_and_test_archives_meet_in_one_folder(tmp_path, order):
    for split in order:
        source = unpacked(tmp_path / split, f"fan/{split}/a.wav", "fan/attributes_00.csv")
        place(source, tmp_path / "eval" / "fan", (split,), remote())
    second = f"fan/attributes_00_{order[1]}.csv"
    assert names(tmp_path / "eval") == ["fan/attributes_00.csv", second, "fan/test/a.wav", "fan/train/a.wav"]


def test_an_archive_of_another_machine_is_one_line(tmp_path):
    with one_line_error("has no fan/train and fan/test, but pump"):
        place(unpacked(tmp_path / "out", "pump/train/a.wav"), tmp_path / "dev" / "fan", ("train", "test"), remote())
    assert not (tmp_path / "dev").exists()


def test_what_a_user_has_is_never_replaced(tmp_path):
    folder = tmp_path / "dev" / "fan" / "train"
    assert conflict(folder, remote().checksum) is None
    unpacked(folder, "a.wav")
    assert "was not fetched" in conflict(folder, remote().checksum)
    shutil.rmtree(tmp_path / "dev")
    place(unpacked(tmp_path / "out", "fan/train/a.wav"), folder.parent, ("train",), remote())
    assert conflict(folder, remote().checksum) is None
    assert "another version" in conflict(folder, f"md5:{OTHER}")
    (folder / "a.wav").unlink()
    assert not is_whole(folder)
    assert "0 files, its archive has 1" in conflict(folder, remote().checksum)
