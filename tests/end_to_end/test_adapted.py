"""Adapted models in the flow: one per held-out set and seed, never trained on a held-out machine's files."""

import copy
import csv
import json
import os
import signal
import time
from itertools import combinations

import pytest
from conftest import LOCAL_DENSITY, SMALL, Workflow

from workflow_lib.metrics import official_score
from workflow_lib.scoring.score_file import read_scores

MACHINES = ["bearing", "fan", "valve"]
FOLD = "results/small/adapters/tuned@without-fan-seed7"


def settings() -> dict:
    """Three machines, one seed, a tiny untrained EAT adapted in its second block, under all protocols."""
    settings = copy.deepcopy(SMALL)
    settings["run"] = {
        "suites": ["small"],
        "systems": ["tuned_pair"],
        "branches": ["tuned_head"],
        "protocols": ["complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo"],
        "seeds": [7],
    }
    adaptation = {
        "adapted_blocks": [2],
        "statistics_block": 2,
        "epochs": 5,
        "batch_clips": 8,
        "validation_fraction": 0.2,
    }
    settings["models"]["tuned"] = {"kind": "adapted", "base": "tiny", "blocks": [2], "adaptation": adaptation}
    candidates = {"k": [[8, 5], [2, 2]]}
    settings["branches"]["tuned"] = {
        **settings["branches"]["tiny_whitened"],
        "model": "tuned",
        "candidates": candidates,
    }
    settings["branches"]["tuned_head"] = {
        "model": "tuned",
        "view": ["head"],
        "conditioning": {"standardise": False, "components": None, "whiten": False},
        "scorer": LOCAL_DENSITY,
    }
    settings["systems"]["tuned_pair"] = {"branches": ["tiny_whitened", "tuned"], "step": 0.25}
    return settings


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("adapted"))
    workflow.configure(**settings())
    workflow.make()
    return workflow


def test_each_held_out_set_has_a_model_of_its_own(adapted):
    folder = adapted.folder / "results" / "small" / "adapters"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    held_out = ["full", *(f"without-{m}" for m in MACHINES)]
    held_out += [f"without-{'+'.join(pair)}" for pair in combinations(MACHINES, 2)]
    assert names == {f"tuned@{scope}-seed7" for scope in held_out}
    for name in names:
        files = {path.name for path in (folder / name).iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "heads.safetensors", "classes.json"} <= files
        assert {"training_log.csv", "validation.csv", "provenance.json"} <= files
        assert [file for file in files if file.startswith("events.out.tfevents")]
        machines = json.loads((folder / name / "classes.json").read_text())["machines"]
        assert machines == [m for m in MACHINES if m not in name.split("@")[1].rpartition("-seed")[0].split("-", 1)[-1]]


def test_each_protocol_scores_with_the_model_that_it_names(adapted):
    scores = adapted.folder / "results" / "small" / "scores"
    assert (scores / "tuned@without-fan-seed7" / "fan" / "tuned_head.csv").is_file()
    assert not (scores / "tuned@without-fan-seed7" / "valve").exists()
    assert (scores / "tuned@full-seed7" / "valve" / "tuned_head.csv").is_file()
    pair = scores / "tuned@without-fan+valve-seed7"
    assert {path.parent.name for path in pair.glob("*/tuned.csv")} == {"fan", "valve"}


def test_a_nested_fold_is_chosen_on_other_scores_than_a_cross_fitted_one(adapted):
    folds = [
        json.loads((adapted.folder / f"results/small/fusion/{protocol}/fan/tuned_pair/seed7.json").read_text())
        for protocol in ("cross_fitted", "nested_lomo")
    ]
    assert [fold["protocol"] for fold in folds] == ["cross_fitted", "nested_lomo"]
    assert folds[0]["calibration"]["tuned"] != folds[1]["calibration"]["tuned"]
    assert folds[0]["calibration"]["tiny_whitened"] == folds[1]["calibration"]["tiny_whitened"], "nothing is adapted"


NAMES = ["tuned", "tuned.k-2_2"]


def test_a_nested_fold_chooses_the_candidate_that_was_best_on_the_selection_machines(adapted):
    """From the score tables again: models that heard neither the held-out machine nor the one scored."""
    scores = adapted.folder / "results" / "small" / "scores"
    for held_out in MACHINES:
        for system in ("tuned_pair", "tuned@chosen"):
            path = adapted.folder / f"results/small/fusion/nested_lomo/{held_out}/{system}/seed7.json"
            fold = json.loads(path.read_text(encoding="utf-8"))
            others = [machine for machine in MACHINES if machine != held_out]
            omega = {
                name: official_score([read_scores(nested(scores, name, held_out, m)).metrics() for m in others])
                for name in NAMES
            }
            assert fold["candidates"] == {"tuned": pytest.approx(omega, abs=1e-12)}
            assert omega[fold["chosen"]["tuned"]] >= max(omega.values()) - 1e-12


def nested(scores, branch: str, held_out: str, machine: str):
    return scores / f"tuned@without-{'+'.join(sorted((held_out, machine)))}-seed7" / machine / f"{branch}.csv"


def test_the_held_out_machine_is_scored_by_the_chosen_candidate(adapted):
    small = adapted.folder / "results" / "small"
    for machine in MACHINES:
        fold = json.loads((small / f"fusion/nested_lomo/tuned@chosen/seed7/{machine}.json").read_text())
        model = f"tuned@without-{machine}-seed7"
        chosen = read_scores(small / "scores" / fold["chosen"]["tuned"] / model / f"{machine}.csv")
        fused = read_scores(small / f"fused/nested_lomo/tuned@chosen/seed7/{machine}.csv")
        assert fused.score.tolist() == chosen.score.tolist()


def rows_of(workflow: Workflow, table: str) -> list[dict[str, str]]:
    with (workflow.folder / f"results/small/tables/{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_protocols_are_in_the_tables_with_their_seed(adapted):
    rows = rows_of(adapted, "official")
    found = {(row["name"], row["protocol"], row["seed"]) for row in rows}
    assert {
        ("tuned_head", "complete_dev", "7"),
        ("tuned_head", "fixed_lomo", "7"),
        ("tuned_pair", "cross_fitted", "7"),
        ("tuned_pair", "nested_lomo", "7"),
        ("tuned", "nested_lomo", "7"),
        ("tiny_whitened", "fixed_lomo", ""),
    } <= found
    assert {row["untrained"] for row in rows} == {"yes"}


def test_every_training_is_in_the_tables_and_the_report(adapted):
    models = {row["model"] for row in rows_of(adapted, "training")}
    assert len(models) == 7
    assert {row["model"] for row in rows_of(adapted, "validation")} == models
    assert {row["model"] for row in rows_of(adapted, "models") if row["kind"] == "adapted"} == models
    page = (adapted.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "Training of adapted models" in page


def test_one_command_reruns_one_fold(adapted):
    """The command of docs/adaptation.md: one training, and what follows from it."""
    output = adapted.make("-n", "--forcerun", FOLD)
    assert output.count("Adapt tuned@without-fan-seed7") == 1 and output.count("Adapt tuned@") == 1
    assert "Embed all clips of fan with tuned@without-fan-seed7" in output
    assert "tuned@without-valve-seed7" not in output and "tuned@full-seed7" not in output


def test_a_killed_training_goes_on_after_its_last_epoch_with_the_same_result(adapted, tmp_path):
    undisturbed = adapted.files("small/adapters/tuned@without-fan-seed7/*.safetensors")
    workflow = Workflow(tmp_path / "killed")
    workflow.configure(**settings())
    process = workflow.start(FOLD, stdout=tmp_path / "log")
    adapters = workflow.folder / "results" / "small" / "adapters"
    deadline = time.monotonic() + 120
    while not list(adapters.glob(".*.state/state.safetensors")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (workflow.folder / FOLD).exists(), "killed between two epochs"
    workflow.make(FOLD, "--rerun-incomplete")
    assert workflow.files("small/adapters/tuned@without-fan-seed7/*.safetensors") == undisturbed
    log = (workflow.folder / "results/logs/small/adapters/tuned@without-fan-seed7.log").read_text()
    assert "going on after epoch" in log
    assert not list(adapters.glob(".*.state")), "nothing is left beside the output"
