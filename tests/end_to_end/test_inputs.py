"""What users bring: faulty recordings, unlabelled clips, machines without target clips, tables made elsewhere."""

import csv
import json
import shutil
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


def own(tmp_path: Path, **suite) -> Workflow:
    workflow = Workflow(tmp_path / "run")
    models = {"ae": {"epochs": 1}, "ae_residual": {"epochs": 1}}
    compute = {"threads": 1, "device": "cpu"}
    workflow.configure(
        suites={"mine": {"root": "../my recordings", **suite}}, run=AE_ONLY, models=models, compute=compute
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
    done = own(tmp_path).run()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    faulty = [line for line in done.stdout.splitlines() if line.startswith("../my recordings/")]
    assert len(faulty) == 4, done.stdout
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
        systems={"four": {"branches": [f"real_{name}" for name in branches], "step": 0.1}},
        run={"suites": ["real"], "branches": [], "systems": ["four"], "protocols": ["complete_dev", "cross_fitted"]},
    )
    workflow.make()
    found = omegas(workflow, "real")
    for name in branches:
        assert float(found[(f"real_{name}", "complete_dev")]) == pytest.approx(expected["single"][name], abs=1e-9)
    assert float(found[("four", "cross_fitted")]) == pytest.approx(expected["cross_fitted_omega"], abs=1e-9)
    for machine, fold in expected["folds"].items():
        path = workflow.folder / f"results/real/fusion/cross_fitted/four/noseed/{machine}.json"
        weights = json.loads(path.read_text(encoding="utf-8"))["weights"]
        assert weights == {f"real_{name}": weight for name, weight in fold["weights"].items()}


def test_replaced_recordings_are_seen(small_run, tmp_path):
    """A machine whose folder changed is indexed again; the others are not."""
    shutil.copytree(small_run.folder / "results" / "small" / "recordings", tmp_path / "my recordings")
    workflow = Workflow(tmp_path / "run")
    workflow.configure(**{**SMALL, "suites": {"small": {"root": "../my recordings"}}})
    targets = [f"results/small/manifest/{machine}.csv" for machine in ("bearing", "fan", "valve")]
    workflow.make(*targets)
    assert "Nothing to be done" in workflow.make(*targets)
    next((tmp_path / "my recordings" / "fan" / "test").iterdir()).unlink()
    output = workflow.make(*targets)
    assert "recordings of fan" in output
    assert "recordings of valve" not in output
