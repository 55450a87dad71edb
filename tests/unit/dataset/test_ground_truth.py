"""Labels of an evaluation set come from a file of the user's, and from nowhere else."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT

from workflow_lib.dataset.ground_truth import read_ground_truth, truth_of
from workflow_lib.dataset.manifest import index_machine
from workflow_lib.errors import UserError
from workflow_lib.plan.load import load_plan

TRUE = [
    "section_00_source_test_normal_0003_spd_1.wav",
    "section_00_source_test_anomaly_0003_noAttribute.wav",
    "section_00_target_test_normal_0007_ac_0.03_.wav",
    "section_00_target_test_anomaly_0007_vlt_31V.wav",
]
ROWS = "".join(f"section_00_{i:04d}.wav,{name}\n" for i, name in enumerate(TRUE))


@pytest.fixture
def truth(tmp_path) -> Path:
    path = tmp_path / "eval_data_list_2026.csv"
    path.write_text(f"Sander\n{ROWS}ToyDrone\n{ROWS}", encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    for machine in ("Sander", "ToyDrone"):
        names = [f"train/section_00_{d}_train_normal_0000_noAttribute.wav" for d in ("source", "target")]
        for name in [*names, *(f"test/section_00_{i:04d}.wav" for i in range(4))]:
            path = tmp_path / "eval" / machine / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * np.ones((8000, 2)), 16000)
    return tmp_path / "eval"


@pytest.mark.parametrize(("mark", "ending"), [("", "\n"), ("\ufeff", "\r\n"), ("", ",\n\n")])
def test_the_published_form_is_read(truth, mark, ending):
    truth.write_text(mark + truth.read_text(encoding="utf-8").replace("\n", ending), encoding="utf-8")
    found = read_ground_truth(truth)
    assert list(found) == ["Sander", "ToyDrone"]
    cells = [(name.domain, name.label) for name in found["Sander"].values()]
    assert cells == list(product(("source", "target"), ("normal", "anomaly")))
    assert truth_of(None, "Sander") is None


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", "", "no ground truth in it"),
        (ROWS, 1, "a clip before any machine"),
        (f"Sander\n{ROWS}Sander\n", 6, "a second block of Sander"),
        (f"Sander\n{ROWS}{ROWS}", 6, "section_00_0000.wav for the second time in this block"),
        ("Sander\na.wav,b.wav\n", 2, "b.wav: clip name cannot be parsed"),
        ("Sander\na.wav,section_00_0001.wav\n", 2, "a.wav: clip name cannot be parsed"),
        (f"Sander\na.wav,{TRUE[0]}\n", 2, "a.wav: clip name cannot be parsed"),
        (f"Sander\n{ROWS}section_00_0004.wav,{TRUE[1]}\n", 6, f"{TRUE[1]} for the second time in this block: two"),
        (f"Sander\n{ROWS}section_01_0004.wav,{TRUE[1]}\n", 6, f"{TRUE[1]} is not of the section of section_01_0004"),
        (f"Sander\n{ROWS}section_00_0004.wav\n", 6, "section_00_0004.wav stands alone, one of its two names is lost"),
        (f"Sander\n{ROWS},{TRUE[1]}\n", 6, f"{TRUE[1]} stands alone, one of its two names is lost"),
    ],
)
def test_a_file_or_a_line_that_makes_no_sense_is_one_line(truth, text, line, expected):
    truth.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        truth_of(truth, "Sander")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{truth}{line and f', line {line}'}: {expected}")


def test_the_manifest_knows_what_the_file_says(root, truth):
    clips, faults = index_machine(root, "Sander", ground_truth=str(truth))
    assert faults == []
    found = {clip.clip: (clip.domain, clip.label, clip.attributes) for clip in clips if clip.split == "test"}
    assert found["section_00_0000.wav"] == ("source", "normal", "spd_1")
    assert found["section_00_0003.wav"] == ("target", "anomaly", "vlt_31V")


def test_a_line_without_a_clip_is_a_fault_and_a_clip_without_a_line(root, truth):
    path = root / "Sander" / "test" / "section_00_0002.wav"
    path.unlink()
    _, (fault,) = index_machine(root, "Sander", ground_truth=str(truth))
    assert str(fault) == f"{path}: in the ground truth, but not there: add the clip, or remove its line"
    truth.write_text(f"Sander\n{ROWS.splitlines()[0]}\n", encoding="utf-8")
    _, faults = index_machine(root, "Sander", ground_truth=str(truth))
    assert len([fault for fault in faults if "not in the ground truth" in str(fault)]) == 2


def own(root: Path, **suite) -> dict:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["suites"]["eval"] |= {"root": str(root), "machines": ["Sander", "ToyDrone"], **suite}
    config["run"]["suites"] = ["eval"]
    return config


def test_a_suite_has_labels_with_the_file_and_none_without(root, truth):
    without = load_plan(own(root), ROOT / "config.yaml").suites["eval"]
    plan = load_plan(own(root, ground_truth=str(truth)), ROOT / "config.yaml")
    assert (without.labelled, plan.suites["eval"].labelled) == (False, True)
    assert plan.recordings.index_rules("eval")["ground_truth"] == str(truth)
    before = plan.suites["eval"].fingerprint("Sander")
    truth.write_text(truth.read_text(encoding="utf-8").replace("spd_1", "spd_2"), encoding="utf-8")
    assert before != plan.suites["eval"].fingerprint("Sander") != without.fingerprint("Sander")


def test_a_file_that_is_not_there_is_one_line(root):
    with pytest.raises(UserError, match=r"^config: suites\.eval\.ground_truth: nowhere\.csv: cannot be read") as caught:
        load_plan(own(root, ground_truth="nowhere.csv"), ROOT / "config.yaml")
    assert len(str(caught.value).splitlines()) == 1
