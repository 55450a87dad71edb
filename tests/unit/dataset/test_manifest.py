"""Indexing a suite: every clip found, or every fault listed together and nothing written."""

import os
from dataclasses import astuple, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from workflow_lib.dataset.manifest import (
    Clip,
    format_faults,
    index_machine,
    index_to_file,
    read_manifest,
    write_manifest,
)
from workflow_lib.dataset.survey import discover_machines
from workflow_lib.errors import UserError

RATE = 16000
SOURCE = "section_00_source_train_normal_{:04d}_spd_1.wav"
TEST = "section_00_source_test_normal_0003"
TARGET = "section_00_target_train_normal_{:04d}_spd_2.wav"


CLIP = Clip("fan", "section_00_0003.wav", "test", None, None, "", 2, RATE, 800, "data/fan/test/section_00_0003.wav")


def write_clip(path: Path, samples: int = 800, channels: int = 2, rate: int = RATE, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(samples).uniform(-0.5, 0.5, (samples, channels))
    soundfile.write(path, sound, rate, **options)
    return path


def make_machine(folder: Path, labelled: bool = True, **options) -> Path:
    """A faultless machine: 3 source and 2 target normals, 4 test clips."""
    for name in (*map(SOURCE.format, range(3)), *map(TARGET.format, range(2))):
        write_clip(folder / "train" / name, **options)
    cells = [f"{domain}_test_{label}" for domain in ("source", "target") for label in ("normal", "anomaly")]
    for number, cell in enumerate(cells):
        name = f"section_00_{cell}_{number:04d}_spd_1.wav" if labelled else f"section_00_{number:04d}.wav"
        write_clip(folder / "test" / name, **options)
    return folder


@pytest.fixture
def fan(tmp_path) -> Path:
    return make_machine(tmp_path / "fan")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def faults_of(root: Path, machine: str = "fan", **rules) -> dict[str, str]:
    """path below the machine folder -> rest of the line"""
    lines = [str(fault) for fault in index_machine(root, machine, **rules)[1]]
    assert all(len(line.splitlines()) == 1 for line in lines)
    split = [line.removeprefix(f"{root}/{machine}/").split(": ", 1) for line in lines]
    assert all(len(rest.split(": ")) >= 2 for _, rest in split), "a line must say what is wrong and what to do"
    return dict(split)


def test_a_faultless_machine_is_listed_in_order_with_all_its_columns(fan, tmp_path):
    write_clip(fan / "test" / "section_01_source_test_normal_0000_noAttribute.wav", samples=1234)
    clips, faults = index_machine(tmp_path, "fan")
    assert faults == []
    train, test = names_in(fan / "train"), names_in(fan / "test")
    assert [clip.clip for clip in clips] == train + test
    path = f"{tmp_path}/fan/train/{train[0]}"
    assert clips[0] == Clip("fan", train[0], "train", "source", "normal", "spd_1", 2, RATE, 800, path)
    assert (clips[-1].attributes, clips[-1].frames) == ("noAttribute", 1234)  # differing lengths are no fault


def test_unlabelled_test_clips_have_no_domain_label_or_attributes(tmp_path):
    make_machine(tmp_path / "fan", labelled=False)
    clips, faults = index_machine(tmp_path, "fan")
    assert faults == []
    test = [clip for clip in clips if clip.split == "test"]
    assert {(clip.domain, clip.label, clip.attributes) for clip in test} == {(None, None, "")}
    assert len(test) == 4


def test_a_manifest_survives_writing_and_reading(tmp_path):
    make_machine(tmp_path / "Lüfter, groß", labelled=False)
    odd = replace(CLIP, machine='fan "A", new', attributes="ort_Köln, Süd", domain="target", label="anomaly")
    clips = [*index_machine(tmp_path, "Lüfter, groß")[0], CLIP, odd]
    path = tmp_path / "new folder" / "manifest.csv"
    write_manifest(path, clips)
    assert read_manifest(path) == clips
    assert astuple(read_manifest(path)[-2])[3:6] == (None, None, "")
    raw = path.read_bytes()
    header = b"machine,clip,split,domain,label,attributes,channels,sample_rate,frames,path\n"
    assert b"\r" not in raw and raw.startswith(header)
    write_manifest(path, read_manifest(path))
    assert path.read_bytes() == raw
    assert names_in(path.parent) == ["manifest.csv"]


def test_the_path_is_the_root_as_given(tmp_path, monkeypatch):
    make_machine(tmp_path / "my data" / "fan")
    monkeypatch.chdir(tmp_path)
    assert index_machine("my data", "fan")[0][0].path == f"my data/fan/train/{SOURCE.format(0)}"
    assert index_machine("./my data/", "fan")[0][0].path == f"my data/fan/train/{SOURCE.format(0)}"
    assert Path(index_machine("my data", "fan")[0][0].path).is_file()


def test_all_kinds_of_faults_are_listed_together_one_line_a_file_and_nothing_is_written(tmp_path):
    root = tmp_path / "my suite ü"
    for machine in ("bearing", "fan", "gearbox", "pump", "slider", "valve"):
        make_machine(root / machine)
    train, test = root / "fan" / "train", root / "fan" / "test"
    expected = {}

    def expect(path: Path, *words: str) -> Path:
        expected[str(path)] = words
        return path

    text = expect(train / SOURCE.format(10), "unreadable", "convert it")
    text.write_text("no sound at all " * 50)
    cut = write_clip(expect(train / SOURCE.format(11), "truncated", "copy or record it again"))
    os.truncate(cut, cut.stat().st_size - 7)
    write_clip(expect(train / SOURCE.format(12), "sample rate 44100 Hz", "suites.mine.resample: true"), rate=44100)
    write_clip(expect(train / SOURCE.format(13), "zero length", "copy"), samples=0)
    expect(train / SOURCE.format(14), "zero length").touch()
    silent = np.zeros((100, 2))
    silent[50] = np.nan
    soundfile.write(expect(train / SOURCE.format(15), "NaN"), silent, RATE, subtype="FLOAT")
    write_clip(expect(train / "recording 7.wav", "cannot be parsed", "name it section_<2 digits>"))
    write_clip(expect(train / "again" / SOURCE.format(0), "duplicate", "remove or rename"))
    upper = SOURCE.format(1).upper().replace("SECTION", "section")
    write_clip(expect(train / upper, "cannot be parsed", "; duplicate"))
    write_clip(expect(test / "section_00_source_test_normal_0000_spd_1.flac", "duplicate"))
    write_clip(expect(train / SOURCE.format(16), "mono where two channels", "suites.mine.channels: 1"), channels=1)
    write_clip(expect(train / SOURCE.format(17), "4 channels"), channels=4)
    write_clip(expect(train / SOURCE.format(18), "mono", "sample rate 8000 Hz"), channels=1, rate=8000)
    write_clip(expect(train / "section_00_source_train_anomaly_0000_spd_1.wav", "anomalous clip in train/"))
    write_clip(expect(train / "section_00_source_test_normal_0077_spd_1.wav", "its name says test, its folder train"))
    write_clip(expect(test / "section_00_source_train_normal_0078_spd_1.wav", "its name says train, its folder test"))
    write_clip(expect(train / "section_00_0055.wav", "unlabelled test clip in train/"))
    write_clip(test / "section_00_0001.wav")
    expect(test, "mixed test set, 7 labelled and 1 unlabelled")
    expect(train / SOURCE.format(19), "No such file").symlink_to("nowhere.wav")
    other = train / SOURCE.format(20).replace(".wav", ".mp3")
    expect(other, "neither WAV nor FLAC", "convert it").write_bytes(b"ID3")
    os.mkfifo(expect(test / "section_00_target_test_normal_0099_spd_1.wav", "no regular file"))
    (root / "empty").mkdir()
    expect(root / "empty" / "train", "no train folder", "normal clips to learn from")
    expect(root / "empty" / "test", "no test folder", "clips to be scored")
    for gone in ("pump/train/*_target_*", "slider/train/*_source_*", "valve/t*/*"):
        for path in root.glob(gone):
            path.unlink()
    expect(root / "pump" / "train", "no target normals", "suites.mine.allow_no_target: true")
    expect(root / "slider" / "train", "no source normals", "section_00_source_train_normal_")
    expect(root / "valve" / "train", "no train clips")
    expect(root / "valve" / "test", "no test clips")
    expect(root / "missing", "no such folder")

    machines = ["bearing", "empty", "fan", "gearbox", "missing", "pump", "slider", "valve"]
    faults = (fault for machine in machines for fault in index_machine(root, machine, suite="mine")[1])
    header, *lines = format_faults(sorted(faults)).splitlines()
    assert header == f"{len(expected)} faults in the recordings, nothing was written:"
    found = {path: line for line in lines for path in expected if line.startswith(f"{path}: ")}
    assert sorted(found) == sorted(expected) and len(lines) == len(expected)
    for path, words in expected.items():
        assert all(word in found[path] for word in words), found[path]
    assert lines == sorted(lines, key=lambda line: line.split(": ")[0])


def test_a_manifest_is_written_only_for_a_faultless_machine(fan, tmp_path):
    make_machine(tmp_path / "pump")
    write_clip(tmp_path / "pump" / "test" / "x.wav")
    index_to_file(tmp_path / "out" / "fan.csv", tmp_path, "fan")
    assert read_manifest(tmp_path / "out" / "fan.csv") == index_machine(tmp_path, "fan")[0]
    with pytest.raises(UserError, match=r"^1 fault in the recordings"):
        index_to_file(tmp_path / "out" / "pump.csv", tmp_path, "pump")
    assert names_in(tmp_path / "out") == ["fan.csv"]


def test_a_broken_file_beside_a_faultless_manifest_leaves_the_old_one(fan, tmp_path):
    output = tmp_path / "fan.csv"
    index_to_file(output, tmp_path, "fan")
    before = output.read_bytes()

    def broken_clips():
        yield read_manifest(output)[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_manifest(output, broken_clips())
    assert output.read_bytes() == before
    assert names_in(tmp_path) == ["fan", "fan.csv"]


def test_what_a_suite_allows_is_no_fault(tmp_path):
    make_machine(tmp_path / "pump")
    assert faults_of(tmp_path, "pump", channels=1) == {}  # two where one is needed
    make_machine(tmp_path / "fan", channels=1, rate=8000)
    for path in (tmp_path / "fan" / "train").glob("*_target_*"):
        path.unlink()
    assert len(faults_of(tmp_path)) == 8  # three training and four test clips, and the missing target normals
    allowed = {"channels": 1, "resample": True, "allow_no_target": True}
    assert faults_of(tmp_path, **allowed) == {}
    for option in allowed:
        assert faults_of(tmp_path, **{key: value for key, value in allowed.items() if key != option})
    clips, _ = index_machine(tmp_path, "fan", **allowed)
    assert {(clip.channels, clip.sample_rate, clip.frames) for clip in clips} == {(1, 8000, 800)}


def test_files_that_are_no_clips_are_passed_over(fan, tmp_path):
    before = index_machine(tmp_path, "fan")
    names = [".DS_Store", "._x.wav", "Thumbs.db", "README", "attributes_00.csv", "notes.txt", "x.wav.part", "x.wav~"]
    for place, name in product((fan, fan / "train", fan / "test"), names):
        (place / name).write_bytes(b"\0")
    for hidden in (".cache", "__MACOSX", "@eaDir"):
        write_clip(fan / "train" / hidden / SOURCE.format(77))
    write_clip(fan / "train_old" / "broken name.wav")
    assert index_machine(tmp_path, "fan") == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("section_00_target_test_normal_0003_pro_y.wav", "section_00_target_test_normal_0003_pro_Y.wav"),
        ("section_00_0003.wav", "section_00_0003.WAV"),
        ("section_00_0003.wav", "section_00_0003.flac"),
        ("section_00_0003.wav", "monday/section_00_0003.wav"),
        ("monday/section_00_0003.wav", "tuesday/section_00_0003.wav"),
        (f"{TEST}_ort_Köln.wav", f"{TEST}_ort_Ko\u0308ln.wav"),
    ],
)
def test_one_clip_under_two_spellings_is_a_duplicate(tmp_path, first, second):
    folder = make_machine(tmp_path / "fan", labelled="_test_" in first)
    (folder / "test" / "section_00_0003.wav").unlink(missing_ok=True)
    for name in (first, second):
        write_clip(folder / "test" / name)
    ((path, text),) = faults_of(tmp_path).items()
    assert "duplicate, the same clip name as" in text
    assert {path, text.split(f"{folder}/")[1].split(": ")[0]} == {f"test/{first}", f"test/{second}"}


def test_one_number_in_several_cells_or_sections_is_no_duplicate(fan, tmp_path):
    for section in ("00", "01"):
        for cell in ("source_test_normal", "source_test_anomaly", "target_test_normal", "target_test_anomaly"):
            write_clip(fan / "test" / f"section_{section}_{cell}_0042_spd_1.wav")
    assert faults_of(tmp_path) == {}


def test_nested_and_linked_folders_are_followed_and_loops_end(tmp_path):
    elsewhere = make_machine(tmp_path / "disk two" / "Ventilator größer")
    root = tmp_path / "suite"
    (root / "fan").mkdir(parents=True)
    (root / "fan" / "train").symlink_to(elsewhere / "train")
    (root / "fan" / "test").symlink_to(elsewhere / "test")
    (root / "whole").symlink_to(elsewhere)
    write_clip(elsewhere / "train" / "day 2" / SOURCE.format(50))
    (elsewhere / "train" / "day 2" / "back").symlink_to(elsewhere / "train")
    assert discover_machines(root) == ["fan", "whole"]
    for machine in ("fan", "whole"):
        clips, faults = index_machine(root, machine)
        assert faults == [] and len(clips) == 10
        assert [clip.clip for clip in clips[:6]] == sorted(clip.clip for clip in clips[:6])
        nested = [clip.path for clip in clips if clip.clip == SOURCE.format(50)]
        assert nested == [f"{root}/{machine}/train/day 2/{SOURCE.format(50)}"]


def test_a_name_that_is_no_utf8_is_a_fault_and_not_a_crash(fan, tmp_path):
    name = os.fsdecode(b"section_00_source_test_normal_0009_ort_K\xf6ln.wav")  # Latin-1
    write_clip(fan / "ok.wav").rename(fan / "test" / name)
    faults = faults_of(tmp_path)
    assert list(faults) == [r"test/section_00_source_test_normal_0009_ort_K\udcf6ln.wav"]
    format_faults(index_machine(tmp_path, "fan")[1]).encode("utf-8")


def test_where_no_training_name_can_be_parsed_only_the_names_are_listed(fan, tmp_path):
    for path in (fan / "train").iterdir():
        path.rename(path.with_name(f"my {path.name}"))
    faults = faults_of(tmp_path)
    assert len(faults) == 5 and all("cannot be parsed" in text for text in faults.values())


def test_machines_are_the_folders_with_a_train_or_a_test_folder(tmp_path):
    for name in ("b/train", "a/test", "B two/train", "docs/pictures", ".hidden/train"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "train.txt").touch()
    assert discover_machines(tmp_path) == ["B two", "a", "b"]


@pytest.mark.parametrize(
    ("make", "root", "words"),
    [
        ("nothing", "gone", "no such folder"),
        ("empty", "empty", "no folder in it has a train/ or a test/ folder"),
        ("fan/train", "fan", "is itself a machine folder"),
    ],
)
def test_a_root_without_machines_says_what_was_looked_for(tmp_path, make, root, words):
    (tmp_path / make).mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        discover_machines(tmp_path / root)
    assert words in str(caught.value) and str(tmp_path / root) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("machine,", "", ": column machine is missing"),
        (",800,", ",", ", line 2: 9 cells, but the header has 10"),
        ("test,", "val,", ", line 2: split is 'val', but must be one of train, test"),
        ("test,,", "test,near,", ", line 2: domain is 'near', but must be one of source, target"),
        ("test,,,", "test,,good,", ", line 2: label is 'good', but must be one of normal, anomaly"),
        (",2,", ",two,", ", line 2: channels is 'two', but must be a whole number"),
        (",800,", ",,", ", line 2: frames is empty, but must be a whole number"),
        ("machine", "\udcff", ": cannot be read"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(tmp_path, old, new, words):
    path = tmp_path / "m.csv"
    write_manifest(path, [CLIP])
    path.write_bytes(path.read_bytes().decode().replace(old, new, 1).encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}{words}") and len(str(caught.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"gone\.csv: the table is missing; delete it and run `snakemake index`"):
        read_manifest(tmp_path / "gone.csv")
