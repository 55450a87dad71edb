"""Adapted models in the flow: one per held-out set and seed, never trained on a held-out machine's files."""

import os
import signal
import statistics
import time
from itertools import combinations

import pytest
from conftest import LOCAL_DENSITY, SMALL, Workflow

from workflow_lib.metrics import official_score
from workflow_lib.scoring.score_file import read_scores

MACHINES = ["bearing", "fan", "valve"]
FOLD = "results/small/adapters/tuned@without-fan-seed7"
NAMES = ["tuned", "tuned.k-2_2"]


def settings() -> dict:
    """The small suite, one seed, its tiny untrained EAT adapted in the second block, under all protocols."""
    adaptation = {
        "adapted_blocks": [2],
        "statistics_block": 2,
        "epochs": 5,
        "batch_clips": 8,
        "validation_fraction": 0.2,
    }
    whitened = SMALL["branches"]["tiny_whitened"]
    head = {
        "model": "tuned",
        "view": ["head"],
        "conditioning": {"standardise": False, "components": None, "whiten": False},
        "scorer": LOCAL_DENSITY,
    }
    return {
        **SMALL,
        "run": {
            "suites": ["small"],
            "systems": ["tuned_pair"],
            "branches": ["tuned_head"],
            "protocols": ["complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo"],
            "seeds": [7],
        },
        "models": {
            **SMALL["models"],
            "tuned": {"kind": "adapted", "base": "tiny", "blocks": [2], "adaptation": adaptation},
        },
        "branches": {
            **SMALL["branches"],
            "tuned": {**whitened, "model": "tuned", "candidates": {"k": [[8, 5], [2, 2]]}},
            "tuned_head": head,
        },
        "systems": {"tuned_pair": {"branches": ["tiny_whitened", "tuned"], "step": 0.25}},
    }


@pytest.fixture(scope="module")
def adapted(small_run, tmp_path_factory) -> Workflow:
    """The small run, gone on with an adapted model."""
    workflow = small_run.copy(tmp_path_factory.mktemp("adapted") / "run")
    workflow.configure(**settings())
    workflow.make()
    return workflow


def fold_of(workflow: Workflow, machine: str, system: str = "tuned_pair", protocol: str = "nested_lomo") -> dict:
    return workflow.read_json(f"small/fusion/{protocol}/{machine}/{system}/seed7.json")


def test_each_held_out_set_has_a_model_of_its_own(adapted):
    folder = adapted.results / "small" / "adapters"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    held_out = ["full", *(f"without-{m}" for m in MACHINES)]
    held_out += [f"without-{'+'.join(pair)}" for pair in combinations(MACHINES, 2)]
    assert names == {f"tuned@{scope}-seed7" for scope in held_out}
    for name in names:
        files = {path.name for path in (folder / name).iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "heads.safetensors", "classes.json"} <= files
        assert {"training_log.csv", "validation.csv", "provenance.json"} <= files
        assert [file for file in files if file.startswith("events.out.tfevents")]
        machines = adapted.read_json(f"small/adapters/{name}/classes.json")["machines"]
        assert machines == [m for m in MACHINES if m not in name.split("@")[1].rpartition("-seed")[0].split("-", 1)[-1]]


def test_each_protocol_scores_with_the_model_that_it_names(adapted):
    scores = adapted.results / "small" / "scores"
    assert (scores / "tuned@without-fan-seed7" / "fan" / "tuned_head.csv").is_file()
    assert (scores / "tuned@full-seed7" / "valve" / "tuned_head.csv").is_file()
    for held_out in (["fan"], ["fan", "valve"]):
        folder = scores / f"tuned@without-{'+'.join(held_out)}-seed7"
        assert sorted(path.parent.name for path in folder.glob("*/tuned.csv")) == held_out
    assert not (scores / "tuned@without-fan-seed7" / "valve").exists()


def test_a_nested_fold_is_chosen_on_other_scores_than_a_cross_fitted_one(adapted):
    folds = [fold_of(adapted, "fan", protocol=protocol) for protocol in ("cross_fitted", "nested_lomo")]
    assert [fold["protocol"] for fold in folds] == ["cross_fitted", "nested_lomo"]
    assert folds[0]["calibration"]["tuned"] != folds[1]["calibration"]["tuned"]
    assert folds[0]["calibration"]["tiny_whitened"] == folds[1]["calibration"]["tiny_whitened"], "nothing is adapted"


def nested(workflow: Workflow, branch: str, held_out: str, machine: str):
    """Score table of a machine by the model trained on neither."""
    model = f"tuned@without-{'+'.join(sorted({held_out, machine}))}-seed7"
    return read_scores(workflow.results / "small/scores" / model / machine / f"{branch}.csv")


def test_a_nested_fold_chooses_the_candidate_that_was_best_on_the_selection_machines(adapted):
    """From the score tables again: models trained on neither the held-out machine nor the one scored."""
    for held_out in MACHINES:
        others = [machine for machine in MACHINES if machine != held_out]
        omega = {n: official_score([nested(adapted, n, held_out, m).metrics() for m in others]) for n in NAMES}
        for system in ("tuned_pair", "tuned@chosen"):
            fold = fold_of(adapted, held_out, system)
            assert fold["candidates"] == {"tuned": pytest.approx(omega, abs=1e-12)}
            assert omega[fold["chosen"]["tuned"]] >= max(omega.values()) - 1e-12


def test_the_held_out_machine_is_scored_by_the_chosen_candidate(adapted):
    for machine in MACHINES:
        chosen = nested(adapted, fold_of(adapted, machine, "tuned@chosen")["chosen"]["tuned"], machine, machine)
        fused = read_scores(adapted.results / f"small/fused/nested_lomo/{machine}/tuned@chosen/seed7.csv")
        assert fused.score.tolist() == chosen.score.tolist()


def test_all_protocols_are_in_the_tables_with_their_seed(adapted):
    rows = adapted.rows("small/tables/official.csv")
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
    models = {row["model"] for row in adapted.rows("small/tables/training.csv")}
    assert len(models) == 7
    assert {row["model"] for row in adapted.rows("small/tables/validation.csv")} == models
    assert {row["model"] for row in adapted.rows("small/tables/models.csv") if row["kind"] == "adapted"} == models
    assert "Training of adapted models" in adapted.page()


def test_two_seeds_have_a_mean_and_a_deviation(adapted, tmp_path):
    workflow, two = adapted.copy(tmp_path / "two seeds"), settings()
    two["run"] = {**two["run"], "systems": [], "protocols": ["complete_dev"], "seeds": [7, 8]}
    workflow.configure(**two)
    output = workflow.make("results/small/tables")
    assert "Adapt tuned@full-seed8" in output and "Adapt tuned@full-seed7" not in output
    rows = workflow.rows("small/tables/official.csv")
    omega = [float(row["omega"]) for row in rows if row["name"] == "tuned_head"]
    (found,) = (row for row in workflow.rows("small/tables/seeds.csv") if row["name"] == "tuned_head")
    assert (found["protocol"], found["seeds"]) == ("complete_dev", "2")
    assert float(found["omega_mean"]) == pytest.approx(statistics.mean(omega), abs=1e-12)
    assert float(found["omega_sd"]) == pytest.approx(statistics.stdev(omega), abs=1e-12)


def test_one_command_reruns_one_fold(adapted):
    """The command of docs/adaptation.md: one training, and what follows from it."""
    output = adapted.make("-n", "--forcerun", FOLD)
    assert output.count("Adapt tuned@without-fan-seed7") == 1 and output.count("Adapt tuned@") == 1
    assert "Embed all clips of fan with tuned@without-fan-seed7" in output
    assert "tuned@without-valve-seed7" not in output and "tuned@full-seed7" not in output


def test_a_killed_training_goes_on_after_its_last_epoch_with_the_same_result(small_run, adapted, tmp_path):
    undisturbed = adapted.files("small/adapters/tuned@without-fan-seed7/*.safetensors")
    workflow = small_run.copy(tmp_path / "killed")
    workflow.configure(**settings())
    process = workflow.start(FOLD, stdout=tmp_path / "log")
    adapters = workflow.results / "small" / "adapters"
    while not list(adapters.glob(".*.state/state.safetensors")) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (workflow.folder / FOLD).exists(), "killed between two epochs"
    workflow.make(FOLD, "--rerun-incomplete")
    assert workflow.files("small/adapters/tuned@without-fan-seed7/*.safetensors") == undisturbed
    log = (workflow.results / "logs/small/adapters/tuned@without-fan-seed7.log").read_text()
    assert "going on after epoch" in log
    assert not list(adapters.glob(".*.state")), "nothing is left beside the output"
