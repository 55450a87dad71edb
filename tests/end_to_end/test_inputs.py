"""What users bring: faulty recordings, unlabelled clips, machines without target clips, tables made elsewhere."""

import csv
import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SMALL, Workflow

GOLDEN = ROOT / "tests" / "golden" / "fusion"
AE_ONLY = {"branches": ["ae_mse"], "systems": ["NearMah"], "protocols": ["complete_dev", "cross_fitted"]}


def write_machine(
    folder: Path, test_names: list[str], *, target: int = 2, seconds: float = 0.5, channels: int = 2
) -> None:
    rng = np.random.default_rng(len(folder.name))
    names = [f"train/section_00_source_train_normal_{i:04d}_noAttribute.wav" for i in range(8)]
    names += [f"train/section_00_target_train_normal_{i:04d}_noAttribute.wav" for i in range(target)]
    for name in [*names, *(f"test/{name}" for name in test_names)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal((int(seconds * 16000), channels)), 16000, subtype="PCM_16")


LABELLED = [
    f"section_00_{domain}_test_{label}_{i:04d}_noAttribute.wav"
    for domain in ("source", "target")
    for label in ("normal", "anomaly")
    for i in range(3)
]


def own(tmp_path: Path, *, run=None, models=None, branches=None, **suite) -> Workflow:
    workflow = Workflow(tmp_path / "run")
    workflow.configure(
        suites={"mine": {"root": "../my recordings", **suite}},
        run={**AE_ONLY, **(run or {})},
        models={"ae": {"epochs": 1}, "ae_residual": {"epochs": 1}, **(models or {})},
        branches=branches or {},
        compute={"threads": 1, "device": "cpu"},
    )
    return workflow


def omegas(workflow: Workflow, suite: str) -> dict[tuple[str, str], str]:
    with (workflow.folder / f"results/{suite}/tables/official.csv").open(encoding="utf-8", newline="") as file:
        return {(row["name"], row["protocol"]): row["omega"] for row in csv.DictReader(file)}


def test_faulty_recordings_are_listed_together_and_nothing_is_written(tmp_path):
    root = tmp_path / "my recordings"
    for machine in ("fan", "pump", "sound press"):
        write_machine(root / machine, LABELLED)
    (root / "fan" / "train" / "section_00_source_train_normal_0003_noAttribute.wav").write_bytes(b"no sound")
    truncated = root / "pump" / "test" / LABELLED[0]
    truncated.write_bytes(truncated.read_bytes()[:900])
    (root / "pump" / "train" / "a clip.wav").write_bytes((root / "pump" / "test" / LABELLED[1]).read_bytes())
    soundfile.write(root / "sound press" / "test" / LABELLED[2], np.zeros((8000, 2)), 44100)
    soundfile.write(root / "sound press" / "test" / LABELLED[3], np.zeros((1600, 2)), 16000)
    soundfile.write(root / "sound press" / "test" / LABELLED[4], np.full((8000, 2), 1e30), 16000, subtype="FLOAT")
    done = own(tmp_path).run()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    faulty = [line for line in done.stdout.splitlines() if line.startswith("../my recordings/")]
    assert len(faulty) == 6, done.stdout
    assert not (tmp_path / "run" / "results").exists()


def test_unlabelled_clips_are_ranked_and_not_evaluated(tmp_path):
    for machine in ("fan", "pump"):
        write_machine(tmp_path / "my recordings" / machine, [f"section_00_{i:04d}.wav" for i in range(5)])
    workflow = own(tmp_path)
    workflow.make()
    with (workflow.folder / "results/mine/tables/ranking.csv").open(encoding="utf-8", newline="") as file:
        ranking = list(csv.DictReader(file))
    assert {(row["name"], row["machine"]) for row in ranking} == {
        (name, machine) for name in ("ae_mse", "ae_mahalanobis", "NearMah") for machine in ("fan", "pump")
    }
    first = [row for row in ranking if (row["name"], row["machine"]) == ("NearMah", "fan")]
    assert [int(row["rank"]) for row in first] == [1, 2, 3, 4, 5]
    assert [float(row["score"]) for row in first] == sorted((float(row["score"]) for row in first), reverse=True)
    assert omegas(workflow, "mine") == {}
    assert "not evaluated" in (workflow.folder / "results/report.html").read_text(encoding="utf-8")


def test_a_machine_without_target_clips_runs_when_it_is_allowed(tmp_path):
    source_only = [name for name in LABELLED if "source" in name]
    for machine in ("fan", "pump"):
        write_machine(tmp_path / "my recordings" / machine, source_only, target=0)
    assert "allow_no_target" in own(tmp_path).run().stdout
    workflow = own(tmp_path, allow_no_target=True)
    workflow.make()
    assert omegas(workflow, "mine")[("ae_mse", "complete_dev")] == ""
    with (workflow.folder / "results/mine/tables/machines.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["target_auc"] == ""
    assert 0 <= float(row["source_auc"]) <= 1


def test_real_score_tables_give_the_expected_fusion_through_the_workflow(tmp_path):
    """Public systems on the real 2026 development set: weights exactly, figures to 1e-9."""
    expected = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["grid_0.1"]
    branches = expected["branches"]
    workflow = Workflow(tmp_path / "run")
    workflow.configure(
        suites={"real": {}},
        branches={f"real_{name}": {"scores": str(GOLDEN / name)} for name in branches},
        systems={
            "four": {"branches": [f"real_{name}" for name in branches], "step": 0.1},
            "ranked": {"branches": [f"real_{name}" for name in branches], "search": "linear_program"},
        },
        run={
            "suites": ["real"],
            "branches": [],
            "systems": ["four", "ranked"],
            "protocols": ["complete_dev", "cross_fitted"],
        },
        evidence={"bootstrap": {"replicates": 200}},
    )
    workflow.make("results/real/tables")
    found = omegas(workflow, "real")
    _check_differences(workflow.folder / "results/real", found)
    for name in branches:
        assert float(found[(f"real_{name}", "complete_dev")]) == pytest.approx(expected["single"][name], abs=1e-9)
    assert float(found[("four", "cross_fitted")]) == pytest.approx(expected["cross_fitted_omega"], abs=1e-9)
    for machine, fold in expected["folds"].items():
        path = workflow.folder / f"results/real/fusion/cross_fitted/{machine}/four/noseed.json"
        weights = json.loads(path.read_text(encoding="utf-8"))["weights"]
        assert weights == {f"real_{name}": weight for name, weight in fold["weights"].items()}


def _check_differences(folder, omega):
    """Each pair of systems, of branches, and each system with the best branch; folds say how they chose."""
    with (folder / "tables" / "differences.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["protocol"], row["name_a"], row["name_b"]): row for row in csv.DictReader(file)}
    branches = sorted({name for name, _ in omega if name.startswith("real_")})
    pairs = [*combinations(branches, 2), ("four", "real_alignment"), ("four", "ranked"), ("ranked", "real_alignment")]
    expected = [(protocol, *pair) for protocol in ("complete_dev", "cross_fitted") for pair in pairs]
    assert sorted(rows) == sorted(expected)
    for (protocol, a, b), row in rows.items():
        difference = float(row["difference"])
        assert difference == pytest.approx(float(omega[a, protocol]) - float(omega[b, protocol]), rel=0, abs=1e-12)
        assert float(row["low"]) <= difference <= float(row["high"])
        assert (row["replicates"], row["level"], row["bootstrap_seed"]) == ("200", "0.95", "13711")
    for system, search in (("four", "grid"), ("ranked", "linear_program")):
        facts = json.loads((folder / f"fusion/cross_fitted/{system}/noseed/fan.json").read_text(encoding="utf-8"))
        assert (facts["search"], facts["protocol"]) == (search, "cross_fitted")


def test_recordings_written_again_under_the_same_names_are_seen(small_run, tmp_path):
    """A machine whose clips changed is indexed again; the others are not."""
    shutil.copytree(small_run.folder / "results" / "small" / "recordings", tmp_path / "my recordings")
    workflow = Workflow(tmp_path / "run")
    workflow.configure(**{**SMALL, "suites": {"small": {"root": "../my recordings"}}})
    targets = [f"results/small/manifest/{machine}.csv" for machine in ("bearing", "fan", "valve")]
    workflow.make(*targets)
    assert "Nothing to be done" in workflow.make(*targets)
    clip = next((tmp_path / "my recordings" / "fan" / "test").iterdir())
    clip.write_bytes(clip.read_bytes())
    output = workflow.make(*targets)
    assert "recordings of fan" in output
    assert "recordings of valve" not in output


def test_a_machine_with_normal_test_clips_only_costs_no_other_its_report(tmp_path):
    write_machine(tmp_path / "my recordings" / "fan", LABELLED)
    write_machine(tmp_path / "my recordings" / "pump", LABELLED)
    write_machine(tmp_path / "my recordings" / "quiet", [name for name in LABELLED if "normal" in name])
    workflow = own(tmp_path, run={"systems": ["NearRes"]})
    workflow.make()
    with (workflow.folder / "results/mine/tables/machines.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["name"], row["protocol"], row["machine"]): row for row in csv.DictReader(file)}
    assert rows["NearRes", "cross_fitted", "fan"]["source_auc"]
    assert rows["NearRes", "cross_fitted", "quiet"]["source_auc"] == ""
    assert omegas(workflow, "mine")["NearRes", "cross_fitted"] == ""


def test_silent_clips_and_mixed_rates_go_through_both_paths(tmp_path):
    """All normals of one machine equal, rates mixed: said in the notes, never a crash or a NaN."""
    root = tmp_path / "my recordings"
    write_machine(root / "fan", LABELLED)
    write_machine(root / "silent", LABELLED)
    for path in sorted((root / "silent").rglob("*.wav")):
        soundfile.write(path, np.zeros((8000, 2)), 16000)
    soundfile.write(root / "fan" / "test" / LABELLED[0], 0.1 * np.ones((22050, 2)), 44100)
    tiny = {key: SMALL["models"]["tiny"] for key in ["tiny"]}
    workflow = own(
        tmp_path,
        resample=True,
        run={"branches": ["tiny_whitened"], "systems": [], "protocols": ["complete_dev"]},
        models=tiny,
        branches={"tiny_whitened": SMALL["branches"]["tiny_whitened"]},
    )
    workflow.make("results/mine/tables")
    notes = (workflow.folder / "results/mine/tables/notes.csv").read_text(encoding="utf-8")
    assert "no PCA and no whitening: 10 normal training clips with one and the same vector" in notes
    assert "nan" not in (workflow.folder / "results/mine/tables/ranking.csv").read_text(encoding="utf-8")


def test_listing_the_recordings_asks_for_no_weights(tmp_path):
    write_machine(tmp_path / "my recordings" / "fan", LABELLED)
    workflow = Workflow(tmp_path / "run")
    workflow.configure(suites={"mine": {"root": "../my recordings"}})
    workflow.make("index")
    assert workflow.files("mine/manifest/fan.csv")
    assert "models.eat.checkpoint: there is no" in workflow.run().stdout


def test_what_lies_beside_the_machines_is_said(tmp_path):
    write_machine(tmp_path / "my recordings" / "fan", LABELLED)
    (tmp_path / "my recordings" / "Pump" / "Train").mkdir(parents=True)
    assert "suite mine: not a machine of it, not used: Pump" in own(tmp_path).make("index")


def test_a_failing_job_ends_the_output_with_its_one_line(tmp_path):
    """A table made elsewhere that breaks in the middle: the line comes last, after all that Snakemake says."""
    workflow = Workflow(tmp_path / "run")
    (tmp_path / "tables").mkdir()
    text = (GOLDEN / "ae_mse" / "fan.csv").read_text(encoding="utf-8")
    (tmp_path / "tables" / "fan.csv").write_text(text.replace(",source,1,8.6", ",source,1,x8.6", 1), encoding="utf-8")
    workflow.configure(
        suites={"real": {}},
        branches={"broken": {"scores": "../tables"}},
        run={"suites": ["real"], "branches": ["broken"], "systems": [], "protocols": ["complete_dev"]},
    )
    done = workflow.run()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    end = done.stdout.partition("Exiting because a job execution failed")[2]
    assert "../tables/fan.csv: clips whose score is not a finite number" in end, done.stdout[-1500:]
