"""`search: pseudo` through Snakemake on recordings of one's own: weights, table, page; test clips change no weight."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Workflow

from workflow_lib.fusion import pseudo_weights
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.simulation.suite import simulate_machine

MACHINES = ["fan", "valve"]
BRANCHES = ["spectral", "spectral_power", "spectral_delta"]
COUNTS = {"train_source": 10, "train_target": 5, "test_per_cell": 3}


@pytest.fixture(scope="module")
def pseudo_run(tmp_path_factory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("pseudo"))
    for machine in MACHINES:
        folder = workflow.folder / "mine" / machine
        simulate_machine(machine, folder, seed=5, seconds=0.5, **COUNTS, severity=(0.5, 1.0))
    workflow.configure(
        run={"systems": ["SpectralPseudo"], "branches": [], "protocols": ["complete_dev"]},
        suites={"mine": {"root": "mine"}},
        pseudo={"levels_db": [10]},
    )
    workflow.make()
    return workflow


def fused(machine: str, form: str) -> str:
    return f"mine/fused/complete_dev/{machine}/SpectralPseudo/noseed.{form}"


def test_each_machine_is_weighted_by_its_own_pseudo_anomalies(pseudo_run):
    rows = {(row["held_out"], row["branch"]): row for row in pseudo_run.rows("mine/tables/weights.csv")}
    for machine in MACHINES:
        folder = pseudo_run.results / "mine@pseudo/scores/logmel" / machine
        found = pseudo_weights({branch: read_scores(folder / f"{branch}.csv") for branch in BRANCHES}, BRANCHES)
        assert (found.normal_clips, found.disturbed_clips) == (2 + 1, 3 * 4)
        facts = pseudo_run.read_json(fused(machine, "json"))
        assert facts["weights"] == found.weights and facts["pseudo"]["auc"] == found.auc
        for branch in BRANCHES:
            assert float(rows[machine, branch]["weight"]) == found.weights[branch]
    notes = {row["note"] for row in pseudo_run.rows("mine/tables/notes.csv") if row["branch"] == "SpectralPseudo"}
    assert any("pseudo-anomalies weight" in note for note in notes)
    thresholds = pseudo_run.rows("mine/tables/thresholds.csv")
    assert {row["machine"] for row in thresholds if row["name"] == "SpectralPseudo"} == set(MACHINES)


def test_the_ranking_stands_in_a_table_and_on_the_page_beside_omega(pseudo_run):
    rows = pseudo_run.rows("mine/studies/pseudo/pseudo-complete_dev.csv")
    auc = {(row["label"], row["detail"]): float(row["value"]) for row in rows if row["metric"] == "pseudo_auc"}
    official = {row["name"]: row["omega"] for row in pseudo_run.rows("mine/tables/official.csv")}
    for branch in BRANCHES:
        found = [pseudo_run.read_json(fused(machine, "json"))["pseudo"]["auc"][branch] for machine in MACHINES]
        assert auc[branch, "all kinds"] == pytest.approx(np.mean(found))
        # Each kind has as many clips as any other.
        kinds = [auc[branch, kind] for kind in ("noise", "tone", "click", "machine")]
        assert auc[branch, "all kinds"] == pytest.approx(np.mean(kinds))
        (omega,) = [row["value"] for row in rows if (row["label"], row["metric"]) == (branch, "omega")]
        assert omega == official[branch]
    page = pseudo_run.page()
    assert "an indication: no real fault is in it" in page and "AUC, pseudo-anomalies" in page
    assert "mine@pseudo" not in page[: page.index('id="runtime"')], "no section of its own"


def test_other_test_clips_change_no_byte_of_the_weights(pseudo_run, tmp_path):
    """Nor does a suite without labels."""
    workflow = pseudo_run.copy(tmp_path / "changed")
    before = {name: content for name, content in workflow.files("mine*/fused/*/*/*/*").items()}
    for path in (workflow.folder / "mine").glob("*/test/*.wav"):
        other = next(p for p in path.parent.glob("*.wav") if p.name != path.name)
        path.write_bytes(other.read_bytes()[:-2] + b"\x01\x02")
        number = 1000 * ("_anomaly_" in path.name) + 2000 * ("_target_" in path.name) + int(path.name.split("_")[5])
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    workflow.make()
    after = workflow.files("mine*/fused/*/*/*/*")
    for machine in MACHINES:
        weights, scores = (str(Path("results", fused(machine, form))) for form in ("json", "csv"))
        assert after[weights] == before[weights] and after[scores] != before[scores]
        assert json.loads(after[weights])["held_out"] == machine
    rows = workflow.rows("mine/studies/pseudo/pseudo-complete_dev.csv")
    assert {row["metric"] for row in rows} == {"pseudo_auc"}
