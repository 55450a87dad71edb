"""The submission: sound packages are valid, and each fault of a really broken one is named in one line."""

import gzip
import io
import os
import stat
import struct
import subprocess
import sys
import zipfile
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT
from safetensors.numpy import save_file
from submission_example import AUTHOR, MODELS, SETTINGS, facts, package, table

from workflow_lib.config.submission_form import CLIPS_2026, MACHINES_2026, expected_2026, expected_in
from workflow_lib.csv_rows import write_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import MachineRow, ThresholdRow
from workflow_lib.scoring.score_file import write_scores
from workflow_lib.scoring.thresholds import Threshold
from workflow_lib.submission.__main__ import main
from workflow_lib.submission.job import Submission, write_submission
from workflow_lib.submission.meta import count_parameters, meta_text, percent
from workflow_lib.submission.package import output_files, zip_bytes
from workflow_lib.submission.validation import package_faults

NAMES = Path(__file__).parents[2] / "golden" / "dcase2026" / "filenames.txt.gz"
ONE, TWO = "task2/Lei_CRRC_task2_1", "task2/Lei_CRRC_task2_2"
SCORES, DECISIONS = (f"{ONE}/{kind}_Sander_section_00_test.csv" for kind in ("anomaly_score", "decision_result"))
META = f"{ONE}/Lei_CRRC_task2_1.meta.yaml"


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    return package()


def archived(path: Path, entries, method: int = zipfile.ZIP_STORED) -> Path:
    """A zip of entries (name or ZipInfo, content) as another tool writes it."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "package.zip"
    path.write_bytes(zip_bytes(files))
    return path


def faults_of(tmp_path: Path, files: dict[str, bytes]) -> list[str]:
    found = package_faults(zipped(tmp_path, files))
    assert all(len(fault.splitlines()) == 1 for fault in found)
    return found


# ---- sound packages --------------------------------------------------------------------------------------------------


def test_the_known_clips_are_those_of_the_real_list():
    lines = gzip.decompress(NAMES.read_bytes()).decode().split()
    listed = {line for line in lines if line.split("/")[0] in MACHINES_2026 and "/test/" in line}
    known = {f"{machine}/test/{clip}" for (machine, _), clips in expected_2026().items() for clip in clips}
    assert listed == known and len(known) == 5 * CLIPS_2026


def test_what_is_written_is_valid_as_zip_and_as_folder(tmp_path, sound, capsys):
    path = zipped(tmp_path, sound)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: valid (no technical report in it; the challenge asks for one)\n"
    assert main([str(unpacked(tmp_path / "unpacked", sound))]) == 0
    assert main([str(tmp_path / "unpacked" / "task2")]) == 0
    report = {**sound, "task2/Lei_CRRC_task2_1.technical_report.pdf": b"%PDF-1.7"}
    assert main([str(zipped(tmp_path, report))]) == 0
    assert capsys.readouterr().out.endswith("package.zip: valid\n")


def test_another_teams_package_in_its_own_hand_is_valid(tmp_path, sound):
    """Other decimals, CRLF, directory entries, another tool's YAML: what real packages look like."""
    folder = "Xiao_HEU-HIT_task2_3"
    files = {}
    for name, content in sound.items():
        if name.startswith(ONE) and name != META:
            rows = [line.split(",") for line in content.decode().split()]
            text = "".join(f"{clip},{value if value in '01' else f'{float(value):.8f}'}\r\n" for clip, value in rows)
            files[name.replace(ONE, f"task2/{folder}")] = text.encode()
    meta = yaml.safe_load(sound[META])
    meta["submission"] |= {"label": folder, "name": "Residual näherungsweise"}
    meta["system"]["complexity"]["MACS"] = "1.036 G"
    meta["system"]["external_datasets"] = None
    text = yaml.safe_dump(meta, default_flow_style=True, allow_unicode=True)
    files[f"task2/{folder}/{folder}.meta.yaml"] = text.encode()
    entries = [(f"task2/{folder}/", b""), *reversed(files.items())]
    assert package_faults(archived(tmp_path / "theirs.zip", entries)) == []


def test_other_clips_than_those_of_2026_come_from_a_folder_of_recordings(tmp_path, capsys):
    clips = [f"section_{section}_{i:04d}.wav" for section in ("00", "01") for i in range(3)]
    unpacked(tmp_path / "mine" / "pump" / "test", dict.fromkeys(clips, b""))
    files = output_files("Lei_CRRC_task2_1", "pump", table(clips), Threshold(3.0, 10))
    kinds = ("anomaly_score", "decision_result")
    names = {f"{ONE}/{kind}_pump_section_{section}_test.csv" for kind in kinds for section in ("00", "01")}
    assert files.keys() == names
    files[META] = meta_text(facts()).encode()
    assert package_faults(zipped(tmp_path, files), expected_in(tmp_path / "mine")) == []
    assert main([str(zipped(tmp_path, files)), "--recordings", str(tmp_path / "mine")]) == 0
    assert main([str(zipped(tmp_path, files))]) == 1
    assert "anomaly_score_Sander_section_00_test.csv: missing" in capsys.readouterr().out
    with pytest.raises(UserError, match="no recordings in <machine>/test"):
        expected_in(tmp_path / "nowhere")


def test_the_zip_has_the_same_bytes_for_the_same_content(sound):
    first = zip_bytes(sound)
    assert zip_bytes(dict(reversed(sound.items()))) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == sorted(sound)
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
        assert {stat.S_IMODE(entry.external_attr >> 16) for entry in archive.infolist()} == {0o644}


def test_outputs_have_no_header_lf_and_shortest_exact_numbers():
    scores = table(["section_00_0001.wav", "section_00_0000.wav"])
    files = output_files("L_I_task2_1", "fan", scores, Threshold(float(scores.score.min()), 10))
    text = files["task2/L_I_task2_1/anomaly_score_fan_section_00_test.csv"].decode()
    first, second = scores.score.tolist()
    assert text == f"section_00_0000.wav,{first!r}\nsection_00_0001.wav,{second!r}\n"
    decisions = files["task2/L_I_task2_1/decision_result_fan_section_00_test.csv"].decode()
    assert sorted(line.split(",")[1] for line in decisions.split()) == ["0", "1"]  # the smallest is not above itself


# ---- faults of outputs -----------------------------------------------------------------------------------------------


def edit(content: bytes, line: int, text: str | None) -> bytes:
    """Replace a line, counted from 0; None removes it."""
    lines = content.decode().splitlines()
    lines[line : line + 1] = [] if text is None else text.split("\n")
    return ("\n".join(lines) + "\n").encode()


OUTPUT_FAULTS = {
    "header": (SCORES, 0, "file_name,score\nsection_00_0000.wav,1", "line 1 is a header (file_name,score)"),
    "three columns": (SCORES, 5, "section_00_0005.wav,1.0,0", "not two columns (file name,value) in line 6"),
    "one column": (DECISIONS, 5, "section_00_0005.wav", "not two columns (file name,value) in line 6"),
    "text": (SCORES, 3, "section_00_0003.wav,high", "must be a finite number, but is not in line 4 ('high')"),
    "nan": (SCORES, 3, "section_00_0003.wav,nan", "must be a finite number, but is not in line 4 ('nan')"),
    "infinite": (SCORES, 3, "section_00_0003.wav,-inf", "must be a finite number, but is not in line 4 ('-inf')"),
    "no value": (SCORES, 3, "section_00_0003.wav,", "must be a finite number, but is not in line 4 ('')"),
    "decision 2": (DECISIONS, 3, "section_00_0003.wav,2", "must be 0 or 1, but is not in line 4 ('2')"),
    "decision 0.0": (DECISIONS, 3, "section_00_0003.wav,0.0", "must be 0 or 1, but is not in line 4 ('0.0')"),
    "twice": (SCORES, 3, "section_00_0002.wav,1.0", "more than one row for section_00_0002.wav"),
    "missing": (SCORES, 199, None, "no row for section_00_0199.wav"),
    "unknown": (DECISIONS, 3, "section_00_0200.wav,0", "no such test clip: section_00_0200.wav"),
    "path": (SCORES, 3, "Sander/test/section_00_0003.wav,1", "no such test clip: Sander/test/section_00_0003.wav"),
}


@pytest.mark.parametrize(("name", "line", "text", "expected"), OUTPUT_FAULTS.values(), ids=OUTPUT_FAULTS)
def test_a_fault_of_an_output_file_is_named(tmp_path, sound, name, line, text, expected):
    found = faults_of(tmp_path, {**sound, name: edit(sound[name], line, text)})
    assert any(fault.startswith(f"{name}: ") and expected in fault for fault in found), found
    assert all(fault.startswith(ONE) for fault in found)  # the other system is sound


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbfsection_00_0000.wav,1\n", "byte order mark"),
        (b"section_00_0000.wav,\xff\n", "cannot be read as CSV"),
        (b"section_00_0000.wav,1\rsection_00_0001.wav,2\r", "its lines end with CR alone"),
        ("section_00_0000.wav,\N{ARABIC-INDIC DIGIT ONE}\n".encode(), "the value must be a finite number"),
        (b"\x1b[31mred.wav,1\n", r"\x1b[31mred.wav"),
    ],
)
def test_an_output_that_is_no_csv_is_named(tmp_path, sound, content, expected):
    assert any(expected in fault for fault in faults_of(tmp_path, {**sound, SCORES: content}))


def test_scores_and_decisions_that_disagree_are_named(tmp_path, sound):
    found = faults_of(tmp_path, {**sound, DECISIONS: edit(sound[DECISIONS], 7, None)})
    assert f"{ONE}: scores and decisions of Sander differ in clips: only one has section_00_0007.wav" in found
    # A clip that is called anomalous must not score below one that is called normal.
    swapped = sound[DECISIONS].replace(b",0", b",x").replace(b",1", b",0").replace(b",x", b",1")
    (found,) = faults_of(tmp_path, {**sound, DECISIONS: swapped})
    assert found.startswith(
        f"{ONE}: scores and decisions of Sander contradict each other, the more anomalous has 1: section_00_"
    )
    constant = "".join(f"{line.split(',')[0]},0.5\n" for line in sound[SCORES].decode().split()).encode()
    assert faults_of(tmp_path, {**sound, SCORES: constant}) == []  # ties contradict nothing


def test_all_faults_are_listed_at_once(tmp_path, sound):
    broken = edit(edit(sound[SCORES], 3, "section_00_0003.wav,x"), 9, "section_00_0008.wav,1")
    found = faults_of(tmp_path, {**sound, SCORES: broken, META: b"a: [", f"{TWO}/notes.txt": b"?"})
    assert len(found) == 6, found  # value, twice, no row; disagreement; yaml; a file too many


# ---- faults of the package -------------------------------------------------------------------------------------------


def moved(files: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    return {name.replace(old, new): content for name, content in files.items()}


def test_missing_extra_and_misnamed_files_are_named(tmp_path, sound):
    files = {name: content for name, content in sound.items() if name not in (DECISIONS, META)}
    files = moved(files, f"{TWO}/anomaly_score_ToyDrone_section_00_test", f"{TWO}/anomaly_score_ToyDrone_section_00")
    found = faults_of(tmp_path, {**files, "task2/readme.txt": b"hello", "__MACOSX/x": b""})
    assert f"{DECISIONS}: missing" in found
    assert f"{META}: missing" in found
    assert f"{TWO}/anomaly_score_ToyDrone_section_00_test.csv: missing" in found
    wrong = "not part of a submission: leave it out, or write anomaly_score_ToyDrone_section_00_test.csv"
    assert f"{TWO}/anomaly_score_ToyDrone_section_00.csv: {wrong}" in found
    assert "task2/readme.txt: not part of a submission: leave it out" in found
    assert "__MACOSX/x: not part of a submission: leave it out" in found
    assert len(found) == 6, found


def test_more_than_four_systems_are_a_fault(tmp_path):
    labels = [f"Lei_CRRC_task2_{index}" for index in range(1, 6)]
    found = faults_of(tmp_path, package(labels))
    assert any(fault.startswith("5 systems, at most 4: ") for fault in found)
    assert any(fault.startswith("task2/Lei_CRRC_task2_5: no label") for fault in found)
    assert len(found) == 2


def test_labels_that_do_not_fit_are_faults(tmp_path, sound):
    meta = sound[META].replace(b"label: Lei_CRRC_task2_1", b"label: Lei_CRRC_task2_3")
    (found,) = faults_of(tmp_path, {**sound, META: meta})
    assert found.endswith("submission.label is 'Lei_CRRC_task2_3', its folder Lei_CRRC_task2_1: write the same in both")
    found = faults_of(tmp_path, moved(sound, "Lei_CRRC_task2_2", "Lei_CRRC_system"))
    assert any(fault.startswith("task2/Lei_CRRC_system: no label: call the folder") for fault in found)
    found = faults_of(tmp_path, moved(sound, "Lei_CRRC_task2_2", "Xu_CRRC_task2_2"))
    assert "labels of more than one team: Lei_CRRC, Xu_CRRC" in found
    assert "more than one system with index 1" in faults_of(tmp_path, moved(sound, TWO, "task2/Xu_CRRC_task2_1"))[1]
    for folder in ("elsewhere/Lei_CRRC_task2_2", "Lei_CRRC_task2_2", "task2/more/Lei_CRRC_task2_2"):
        (found,) = faults_of(tmp_path, moved(sound, TWO, folder))
        assert found == f"{folder}: not below task2: put it at task2/Lei_CRRC_task2_2"


@pytest.mark.parametrize(
    "label", ["Lei_CRRC_task2_02", "Lei_CRRC_task2_\N{FULLWIDTH DIGIT TWO}", "Müller_CRRC_task2_2", "L i_CRRC_task2_2"]
)
def test_labels_are_plain_letters_and_one_digit(tmp_path, sound, label):
    files = {name: content.replace(b"Lei_CRRC_task2_2", label.encode()) for name, content in sound.items()}
    (found,) = faults_of(tmp_path, moved(files, "Lei_CRRC_task2_2", label))
    assert found.startswith(f"task2/{label}: no label: call the folder")


def test_what_is_no_package_at_all_is_one_line(tmp_path, capsys):
    for files in ({}, {"readme.txt": b"nothing"}):
        assert any("no system in it" in fault for fault in faults_of(tmp_path, files))
    (tmp_path / "text.zip").write_text("no zip")
    assert main([str(tmp_path / "text.zip")]) == 1
    assert main([str(tmp_path / "nothing.zip")]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


# ---- zips that mean harm ---------------------------------------------------------------------------------------------


def hostile(tmp_path: Path, sound: dict[str, bytes], entry: zipfile.ZipInfo | str, content: bytes = b"x") -> list[str]:
    path = archived(tmp_path / "hostile.zip", [*sound.items(), (entry, content)], zipfile.ZIP_DEFLATED)
    before = sorted(tmp_path.rglob("*"))
    found = package_faults(path)
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../outside.csv", "a path that may lead out"),
        (f"{ONE}/../../../outside.csv", "a path that may lead out"),
        ("/etc/outside.csv", "an absolute path"),
        ("C:/outside.csv", "an absolute path"),
        ("task2\\outside.csv", "a path that may lead out"),
        ("task2/out\nside.csv", "no control character"),
        (f"./{SCORES}", "not a plain path"),
        (SCORES.replace("task2/", "task2/./"), "not a plain path"),
        (SCORES.replace("task2/", "task2//"), "not a plain path"),
    ],
)
def test_names_that_leave_the_package_are_faults(tmp_path, sound, name, expected):
    (found,) = hostile(tmp_path, sound, name)
    assert expected in found and len(found.splitlines()) == 1


def test_a_symbolic_link_is_a_fault(tmp_path, sound):
    link = zipfile.ZipInfo(f"{ONE}/link.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    (found,) = hostile(tmp_path, sound, link, b"/etc/passwd")
    assert found == f"{ONE}/link.csv: a symbolic link: put the file itself there"
    folder = unpacked(tmp_path / "folder", sound)
    (folder / META).unlink()
    (folder / META).symlink_to("/etc/passwd")
    assert f"{META}: a symbolic link: put the file itself there" in package_faults(folder)


def test_an_encrypted_entry_is_a_fault(tmp_path, sound):
    path = zipped(tmp_path, sound)
    raw = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + flags] |= 1
    path.write_bytes(raw)
    assert f"{sorted(sound)[0]}: encrypted: store it without a password" in package_faults(path)


def test_bombs_are_faults_and_are_not_inflated(tmp_path, sound):
    (found,) = [f for f in hostile(tmp_path, sound, f"{ONE}/a.csv", b"0" * (4 << 20)) if "bomb" in f]
    assert "compressed" in found
    assert any("at most" in f for f in hostile(tmp_path, sound, f"{ONE}/a.csv", b"0" * (9 << 20)))
    many = archived(tmp_path / "many.zip", ((f"task2/{number}.csv", b"") for number in range(1001)))
    assert package_faults(many)[0].startswith("1,001 entries, at most 1,000 make sense")


def test_an_entry_that_lies_about_its_length_is_a_fault(tmp_path, sound):
    path = zipped(tmp_path, {**sound, META: b"0" * 200_000})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(META.encode()))
    assert struct.unpack_from("<I", raw, at + 24)[0] == 200_000
    struct.pack_into("<I", raw, at + 24, 100)
    path.write_bytes(raw)
    assert any(fault.startswith(f"{META}: ") for fault in package_faults(path))


def test_a_damaged_entry_and_a_doubled_one_are_faults(tmp_path, sound):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archived(tmp_path / "stored.zip", [*sound.items(), (META, b"again")])
    assert f"{META}: twice in the zip: leave one of the two out" in package_faults(path)
    path.write_bytes(path.read_bytes().replace(b"section_00_0000.wav,", b"Section_00_0000.wav,", 1))
    assert any("cannot be unpacked" in fault for fault in package_faults(path))


def test_a_technical_report_is_unpacked_too(tmp_path, sound):
    report = f"{ONE}/Lei_CRRC_task2_1.technical_report.pdf"
    path = archived(tmp_path / "stored.zip", [*sound.items(), (report, b"%PDF-1.7 all of it")])
    assert package_faults(path) == []
    good = path.read_bytes()
    path.write_bytes(good.replace(b"%PDF-1.7 all", b"%PDF-1.7 ALL"))
    (found,) = package_faults(path)
    assert found.startswith(f"{report}: cannot be unpacked (Bad CRC-32")
    path.write_bytes(good.replace(report.encode(), b"../" + report.encode()[3:], 1))  # in the local header alone
    (found,) = package_faults(path)
    assert found.startswith(f"{report}: cannot be unpacked (File name in directory")


def test_one_technical_report_for_each_system(tmp_path, sound):
    name = "Lei_CRRC_task2_1.technical_report.pdf"
    team = "task2/Lei_CRRC_task2.technical_report.pdf"
    assert faults_of(tmp_path, {**sound, f"{ONE}/{name}": b"%PDF", team: b"%PDF"}) == []
    (found,) = faults_of(tmp_path, {**sound, f"{ONE}/{name}": b""})
    assert found == f"{ONE}/{name}: it is empty: put the technical report there"
    for second in (f"{ONE}/second.technical_report.pdf", f"task2/{name}"):
        (found,) = faults_of(tmp_path, {**sound, f"{ONE}/{name}": b"%PDF", second: b"%PDF"})
        assert found.startswith(f"{ONE}: more than one technical report: ")
    (found,) = faults_of(tmp_path, {**sound, f"other/{name}": b"%PDF"})
    assert found == f"other/{name}: not part of a submission: leave it out"


def test_pipes_are_faults_and_empty_folders_are_none(tmp_path, sound, capsys):
    root = unpacked(tmp_path / "folder", sound)
    (root / ONE / "empty.csv").mkdir()
    assert package_faults(root) == []
    os.mkfifo(root / ONE / "pipe.csv")
    assert package_faults(root) == [f"{ONE}/pipe.csv: no file but a pipe, socket or device: leave it out"]
    assert main([str(root / ONE / "pipe.csv")]) == 1
    assert capsys.readouterr().out.endswith("pipe.csv: neither a zip nor a folder\n")


def test_names_are_harmless_on_any_terminal(tmp_path, sound):
    path = zipped(tmp_path, {**sound, "task2/\x1b[31mrot.txt": b"", "task2/grün.txt": b""})
    command = [sys.executable, "-m", "workflow_lib.submission", str(path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=ROOT)
    assert done.returncode == 1 and done.stderr == b""
    assert sorted(done.stdout.decode("ascii").splitlines()) == [
        "task2/\\x1b[31mrot.txt: a path that may lead out of the package: no '..', no backslash, no control character",
        "task2/gr\\xfcn.txt: not part of a submission: leave it out",
    ]


# ---- meta files ------------------------------------------------------------------------------------------------------


def changed(meta: bytes, path: str, value) -> bytes:
    """The meta file with one field set, or deleted if the value is `...`."""
    tree = yaml.safe_load(meta)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = reduce(getitem, parents, tree)
    place[last] = value
    if value is ...:
        del place[last]
    return yaml.safe_dump(tree).encode()


META_FAULTS = [
    ("submission", ..., "submission: missing"),
    ("submission.label", ..., "submission.label: missing"),
    ("submission.name", 7, "submission.name: 7 is not text"),
    ("submission.abbreviation", "elevenchars", "abbreviation: 11 characters, at most 10"),
    ("submission.authors", [], "authors: missing, or no list"),
    ("submission.authors.0.email", ..., "authors[1].email: missing"),
    ("submission.authors.0.email", "nobody", "authors[1].email: 'nobody' is no address"),
    ("submission.authors.0.corresponding", False, "authors: 0 have `corresponding: true`"),
    ("submission.authors.0.affiliation", "CRRC", "authors[1].affiliation: missing, or no mapping"),
    ("submission.authors.0.affiliation.institution", ..., "affiliation.institution: None is not text"),
    ("system.description", None, "description: missing, or no mapping"),
    ("system.description.front_end", ..., "description.front_end: missing"),
    ("system.description.embeddings", ["EAT"], "description.embeddings: ['EAT'] is not text"),
    ("system.complexity.total_parameters", "266k", "total_parameters: '266k' is not a whole number or null"),
    ("system.complexity.total_parameters", True, "total_parameters: True is not a whole number or null"),
    ("system.source_code", ..., "system.source_code: missing"),
    ("system.external_datasets", "AudioSet", "external_datasets: missing, or no list"),
    ("results.development_dataset", ..., "development_dataset: missing"),
    ("results.development_dataset.fan", 61.2, "development_dataset.fan: no mapping"),
    ("results.development_dataset.fan.pauc", ..., "development_dataset.fan.pauc: missing"),
    ("results.development_dataset.fan.pauc", 152.0, "fan.pauc: 152.0 is not a number from 0 to 100"),
    ("results.development_dataset.fan.pauc", "52 %", "fan.pauc: '52 %' is not a number from 0 to 100"),
    ("results.development_dataset.fan", {"auc_source": 0.6, "auc_target": 0.5, "pauc": 0.5}, "given in percent"),
]


@pytest.mark.parametrize(("path", "value", "expected"), META_FAULTS, ids=lambda v: str(v)[:40])
def test_a_field_that_is_missing_or_wrong_is_named(tmp_path, sound, path, value, expected):
    (found,) = faults_of(tmp_path, {**sound, META: changed(sound[META], path, value)})
    assert found.startswith(f"{META}: ") and expected in found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!!bool x", "'x' is no bool"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("2026-13-45", "'2026-13-45' is no timestamp"),
        ('!!int ""', "'' is no int"),
        ("!!float x", "'x' is no float"),
        ("!!timestamp [a]", ""),
        ("0x" + "f" * 5000, "a number of 5002 characters"),
        ("1" + ":59" * 3000, "a number of 9001 characters"),
        ("null\n  source_code: null", "duplicate key system.source_code (lines "),
        ("{<<: {a: b}}", "merge keys (<<) are not read"),
    ],
    ids=lambda value: value[:20],
)
def test_what_yaml_cannot_make_of_a_value_is_one_line(tmp_path, sound, value, expected):
    meta = sound[META].replace(b"source_code: null", f"source_code: {value}".encode())
    (found,) = faults_of(tmp_path, {**sound, META: meta})
    assert found.startswith(f"{META}: cannot be read as YAML (") and expected in found


def test_a_meta_file_that_cannot_be_read_is_one_line(tmp_path, sound):
    unreadable = (b"a: [", b"- a\n- b\n", b"\xff", b"a: " + b"[" * 5000, b"!!python/none x", b"\0", b"a: b\n---\na: b")
    for content in unreadable:
        (found,) = faults_of(tmp_path, {**sound, META: content})
        assert found.startswith(f"{META}: ")


def test_yaml_that_grows_without_end_is_not_followed(tmp_path, sound):
    lines = ["a0: &a0 {k: v}"] + [f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    (found,) = faults_of(tmp_path, {**sound, META: "\n".join(lines).encode()})
    assert "merge keys (<<) are not read" in found
    assert "at most 262,144 make sense" in faults_of(tmp_path, {**sound, META: b"a: b\n" * 60_000})[0]
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    laughs = "\n".join([*lines, "submission: *a59", "system: *a59", "results: {development_dataset: {fan: *a59}}"])
    assert len(faults_of(tmp_path, {**sound, META: laughs.encode()})) == 3


def test_a_meta_file_says_what_the_configuration_says():
    branches = {
        "ae_mahalanobis": {"model": "ae", "scorer": {"kind": "mahalanobis"}},
        "dualmic": {
            **{"model": "dualmic", "block": 10, "view": ["near"], "statistics": ["mean", "std"]},
            "scorer": {"kind": "local_density"},
        },
    }
    threshold = {"method": "quantile", "quantile": 0.95}
    text = meta_text(facts(branches=branches, threshold=threshold, system="DualDL4"))
    meta = yaml.safe_load(text)
    description = meta["system"]["description"]
    assert description["embeddings"] == "EAT"
    assert description["machine_learning_method"] == "AE, Mahalanobis distance, k-NN, local density, LoRA, ArcFace"
    assert (description["aggregation_method"], description["front_end"]) == ("average, standard deviation", None)
    assert description["ensemble_method_subsystem_count"] == 2
    assert description["decision_making"].startswith("weighted average, threshold at the 95 % quantile of the scores")
    assert description["external_data_usage"] == "pre-trained model"
    assert meta["submission"]["authors"][0]["affiliation"]["location"] == AUTHOR["affiliation"]["location"]
    assert "department" not in meta["submission"]["authors"][0]["affiliation"]
    assert meta["results"]["development_dataset"]["fan"]["auc_source"] == 61.25
    assert "under the protocol complete_dev" in text


def test_a_meta_file_of_a_system_without_weights_names_none():
    scorer = {"kind": "local_density", "banks": "domains"}
    branches = {
        name: {"model": "logmel", "view": ["cancelled"], "statistics": [name], "scorer": scorer}
        for name in ("mean", "delta_std")
    }
    models = {"logmel": {"kind": "frozen", "encoder": "logmel", "checkpoint": None}}
    description = yaml.safe_load(meta_text(facts(branches=branches, models=models)))["system"]["description"]
    assert description["embeddings"] is None and description["external_data_usage"] is None
    assert description["acoustic_features"] == "log-mel energies"
    assert description["front_end"] == "cancellation of what the far channel predicts of the near one"
    assert description["aggregation_method"] == "average, standard deviation of frame differences"


def test_a_meta_file_invents_nothing():
    """A branch made elsewhere, weights that cannot be counted, no development results."""
    unknown = {"parameters": None, "not_counted": ["branch theirs"], "results": {}}
    text = meta_text(facts(branches={"theirs": {"scores": "folder"}}, **unknown))
    meta = yaml.safe_load(text)
    assert meta["system"]["complexity"] == {"total_parameters": None}
    assert "not counted, branch theirs" in text and "No development results" in text
    for field in ("acoustic_features", "embeddings", "machine_learning_method", "external_data_usage"):
        assert meta["system"]["description"][field] is None
    assert meta["results"]["development_dataset"] == {}


def test_the_configuration_has_the_last_word():
    own = {"name": "Near", "abbreviation": "N", "total_parameters": 7, "macs": "1 G"}
    own["description"] = {"front_end": "WPE"}
    meta = yaml.safe_load(meta_text(facts(settings={**SETTINGS, "meta": {"NearMah": own}})))
    assert (meta["submission"]["name"], meta["submission"]["abbreviation"]) == ("Near", "N")
    assert meta["system"]["complexity"] == {"total_parameters": 7, "MACS": "1 G"}
    assert meta["system"]["description"]["front_end"] == "WPE"
    assert MODELS["ae"] == {"kind": "autoencoder"}


def test_figures_are_percent_and_undefined_ones_null():
    row = MachineRow("dev", "complete_dev", "system", "S", "", False, "fan", 0.8416, None, 0.5, None)
    assert percent(row) == {"auc_source": 84.16, "auc_target": None, "pauc": 50.0}


def test_parameters_are_counted_from_the_header(tmp_path):
    shapes = {"encoder.0.weight": (3, 4), "scale": (), "encoder.1.running_mean": (100,), "cov_source": (128, 128)}
    path = tmp_path / "network.safetensors"
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, path, {"format": "pt"})
    assert count_parameters([path]) == 13
    assert count_parameters([path, path]) == 26
    baseline = Path(__file__).parents[2] / "golden" / "baseline_ae" / "fan" / "weights.safetensors"
    assert 260_000 < count_parameters([baseline]) < 272_000
    (tmp_path / "no.safetensors").write_bytes(b"abc")
    with pytest.raises(UserError, match=r"no\.safetensors: its parameters cannot be counted"):
        count_parameters([tmp_path / "no.safetensors"])


# ---- writing ---------------------------------------------------------------------------------------------------------


def submission_of(tmp_path: Path, *rows: tuple, machines=("fan", "valve")) -> Submission:
    """rows: machine, threshold, normal clips and note."""
    evidence = [
        ThresholdRow("eval", "complete_dev", "system", "NearMah", "", False, machine, "gamma", 0.9, *known)
        for machine, *known in rows
    ]
    (tmp_path / "tables").mkdir()
    write_rows(tmp_path / "tables" / "thresholds.csv", ThresholdRow, evidence)
    system = {"system": "NearMah", "index": 1, "label": "Lei_CRRC_task2_1", "seed": ""}
    paths = {machine: str(tmp_path / f"{machine}.csv") for machine in machines}
    for path in paths.values():
        write_scores(Path(path), table([f"section_00_{i:04d}.wav" for i in range(4)]))
    return Submission(
        suite="eval",
        systems=[{**system, "tables": paths, "branches": facts().branches, "weights": ["branch elsewhere"]}],
        settings={**SETTINGS, "technical_report": None},
        threshold={"method": "gamma", "quantile": 0.9},
        models=MODELS,
        sample_rate=16000,
        tables=tmp_path / "tables",
        development_tables=None,
        afterwards=False,
    )


def test_each_missing_threshold_is_a_line_with_what_to_do_and_nothing_is_written(tmp_path):
    rows = ("fan", None, 40, "gamma fit failed: why"), ("pump", None, 0, "no normal scores")
    submission = submission_of(tmp_path, *rows, machines=("fan", "pump", "valve"))
    with pytest.raises(UserError) as caught:
        write_submission(submission, tmp_path / "package")
    fan, pump, valve = str(caught.value).splitlines()
    assert fan.startswith("suite eval: no threshold of NearMah for fan: gamma fit failed: why: ")
    assert fan.endswith("write evidence.threshold.method: quantile")
    advice = "put its normal scores into the folder `normal` beside its tables (docs/fusion.md)"
    assert pump.endswith(f"no normal scores: {advice}")
    assert valve.endswith("not evaluated under complete_dev: add complete_dev to run.protocols")
    assert not (tmp_path / "package").exists()


def test_the_technical_report_is_packed_with_every_system(tmp_path):
    submission = submission_of(tmp_path, *((machine, 2.0, 40, "") for machine in ("fan", "valve")))
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.7")
    submission.settings["technical_report"] = str(report)
    write_submission(submission, tmp_path / "package")
    packed = tmp_path / "package" / ONE / "Lei_CRRC_task2_1.technical_report.pdf"
    assert packed.read_bytes() == b"%PDF-1.7"
    assert sorted(path.name for path in (tmp_path / "package").iterdir()) == ["Lei_CRRC_task2.zip", "task2"]
