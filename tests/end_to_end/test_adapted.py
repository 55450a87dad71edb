"""Adapted models in the flow: one per held-out machine and seed, never trained on the held-out machine's files."""

import copy
import csv

import pytest
from conftest import LOCAL_DENSITY, SMALL, Workflow


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Workflow:
    """Two machines, one seed, a tiny untrained EAT adapted in its second block."""
    settings = copy.deepcopy(SMALL)
    settings["suites"]["small"]["machines"] = ["fan", "valve"]
    settings["run"] = {
        "suites": ["small"],
        "systems": ["tuned_pair"],
        "branches": ["tuned_head"],
        "protocols": ["complete_dev", "fixed_lomo", "cross_fitted"],
        "seeds": [7],
    }
    adaptation = {"adapted_blocks": [2], "statistics_block": 2, "epochs": 1, "batch_clips": 8}
    settings["models"]["tuned"] = {"kind": "adapted", "base": "tiny", "blocks": [2], "adaptation": adaptation}
    settings["branches"]["tuned"] = {**settings["branches"]["tiny_whitened"], "model": "tuned"}
    settings["branches"]["tuned_head"] = {
        "model": "tuned",
        "view": ["head"],
        "conditioning": {"standardise": False, "components": None, "whiten": False},
        "scorer": LOCAL_DENSITY,
    }
    settings["systems"]["tuned_pair"] = {"branches": ["tiny_whitened", "tuned"], "step": 0.25}
    workflow = Workflow(tmp_path_factory.mktemp("adapted"))
    workflow.configure(**settings)
    workflow.make()
    return workflow


def test_each_held_out_machine_has_a_model_of_its_own(adapted):
    folder = adapted.folder / "results" / "small" / "adapters"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"tuned@full-seed7", "tuned@without-fan-seed7", "tuned@without-valve-seed7"}
    for name in names:
        assert (folder / name / "adapter_model.safetensors").is_file()


def test_each_protocol_scores_with_the_model_that_it_names(adapted):
    scores = adapted.folder / "results" / "small" / "scores" / "tuned_head"
    assert (scores / "tuned@without-fan-seed7" / "fan.csv").is_file()
    assert not (scores / "tuned@without-fan-seed7" / "valve.csv").exists()
    assert (scores / "tuned@full-seed7" / "valve.csv").is_file()


def test_all_three_protocols_are_in_the_tables_with_their_seed(adapted):
    with (adapted.folder / "results/small/tables/official.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["name"], row["protocol"], row["seed"]) for row in rows}
    assert {
        ("tuned_head", "complete_dev", "7"),
        ("tuned_head", "fixed_lomo", "7"),
        ("tuned_pair", "cross_fitted", "7"),
        ("tiny_whitened", "fixed_lomo", ""),
    } <= found
    assert {row["untrained"] for row in rows} == {"yes"}
