"""Machines that are held out together: what a fold is, and that nothing of any of its machines reaches it."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT

from workflow_lib.errors import UserError
from workflow_lib.fusion.cross_fit import cross_fit
from workflow_lib.plan.folds import folds_of
from workflow_lib.plan.load import load_plan
from workflow_lib.scoring.score_table import ScoreTable

MACHINES = [f"m{number}" for number in range(7)]


@pytest.mark.parametrize(("count", "size"), list(itertools.product([1, 2, 7, 100, 1000], [1, 2, 3, 50, 2000])))
def test_folds_are_neighbours_of_equal_size_and_hold_every_machine_once(count, size):
    machines = [f"machine{number}" for number in range(count)]
    folds = folds_of(machines, size)
    assert [machine for fold in folds.values() for machine in fold] == machines
    sizes = [len(fold) for fold in folds.values()]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1
    assert list(folds) == sorted(folds) or size == 1


def test_a_machine_alone_gives_its_fold_its_name_and_none_has_the_name_of_a_group():
    assert folds_of(["fan", "pump"], 1) == {"fan": ("fan",), "pump": ("pump",)}
    with pytest.raises(UserError, match=r"folds\.size: fold02 is the name of a machine and of a fold"):
        folds_of(["fan", "fold02", "pump"], 2)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["run"] |= {
        **config["auto"]["published"],
        "suites": ["mine"],
        "protocols": ["complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo"],
    }
    config["suites"]["mine"] = {"root": "data/mine", "machines": MACHINES, "labels": True}
    config["folds"] = {"size": 3}
    return load_plan(config, ROOT / "config.yaml")


def test_a_model_is_trained_without_all_machines_of_a_fold(plan):
    folds, models = plan.folds.by_name["mine"], plan.models
    assert folds == {"fold01": ("m0", "m1"), "fold02": ("m2", "m3"), "fold03": ("m4", "m5", "m6")}
    name = str(models.scoring("dualmic", "mine", "cross_fitted", "m3", "7"))
    assert name == "dualmic@without-fold02-seed7"
    assert models.training_machines(name, "mine") == ["m0", "m1", "m4", "m5", "m6"]
    assert models.held_out_machines(name, "mine") == ["m2", "m3"]
    nested = str(models.scoring("dualmic", "mine", "nested_lomo", "m0", "7", "fold02"))
    assert nested == "dualmic@without-fold01+fold02-seed7"
    assert models.training_machines(nested, "mine") == ["m4", "m5", "m6"]
    with pytest.raises(UserError, match="suite mine has no fold m3"):
        plan.scores.selection_scores(SimpleNamespace(suite="mine", protocol="cross_fitted", held_out="m3"))


@pytest.mark.parametrize("protocol", ["cross_fitted", "nested_lomo"])
def test_no_machine_of_a_fold_is_among_what_chooses_for_it(plan, protocol):
    for fold, held_out in plan.folds.by_name["mine"].items():
        wildcards = SimpleNamespace(suite="mine", protocol=protocol, held_out=fold)
        assert "DualDL4" in plan.scores.systems(wildcards)
        folders = [Path(path) for path in plan.scores.selection_scores(wildcards)]
        assert {path.stem for path in folders} == set(MACHINES) - set(held_out)
        if protocol == "nested_lomo":
            models = {path.parent.name for path in folders if "@" in path.parent.name}
            assert models and all(fold in model for model in models)


def table(rng, machine: str) -> dict[str, ScoreTable]:
    clips, anomaly = [f"{machine}_{n:02}.wav" for n in range(24)], np.array([0.0, 1.0] * 12)
    domain = np.array(["source"] * 12 + ["target"] * 12)
    return {b: ScoreTable(np.array(clips), domain, anomaly, rng.normal(anomaly, 1.0)) for b in ("a", "b")}


def test_machines_of_one_fold_do_not_choose_for_each_other():
    """Any change of a fold's machines leaves its fusion as it is; a change of others need not."""
    rng = np.random.default_rng(4)
    tables, folds = {m: table(rng, m) for m in MACHINES[:4]}, {"m0": "x", "m1": "x", "m2": "y", "m3": "y"}
    before = cross_fit(tables, ["a", "b"], 0.25, folds=folds)
    changed = {m: table(rng, m) if m in ("m0", "m1") else t for m, t in tables.items()}
    after = cross_fit(changed, ["a", "b"], 0.25, folds=folds)
    assert after.folds["m0"].fusion == before.folds["m0"].fusion == before.folds["m1"].fusion
    assert after.folds["m2"].fusion.calibration != before.folds["m2"].fusion.calibration
    assert before.folds["m0"].fusion.machines == ("m2", "m3")
    with pytest.raises(UserError, match=r"all machines are in one: smaller folds \(folds\.size\)"):
        cross_fit({m: table(rng, m) for m in ("m0", "m1")}, ["a", "b"], folds={"m0": "x", "m1": "x"})
