"""Candidate settings: grids become branches, and what nested_lomo chooses comes from the selection machines alone."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from workflow_lib.config.candidates import grid_branches, with_candidates
from workflow_lib.config.checks import check_config
from workflow_lib.config.schema import with_defaults
from workflow_lib.errors import UserError
from workflow_lib.fusion.candidate_choice import choose_candidates
from workflow_lib.plan.load import load_plan
from workflow_lib.scoring.score_file import read_scores

ROOT = Path(__file__).parents[3]
DEFAULTS = ROOT / "config.yaml"
GOLDEN = ROOT / "tests" / "golden" / "fusion"
MACHINES = sorted(path.stem for path in (GOLDEN / "ae_mse").glob("*.csv"))
CANDIDATES = {"ae": ["ae_mse", "ae_mahalanobis"], "other": ["coherence_mask", "alignment"]}


@pytest.fixture
def config():
    return yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))


@pytest.fixture
def tables():
    names = [name for names in CANDIDATES.values() for name in names]
    return {m: {name: read_scores(GOLDEN / name / f"{m}.csv") for name in names} for m in MACHINES}


def test_a_grid_becomes_branches_without_the_point_that_the_branch_is(config):
    branch = config["branches"]["m2d"]
    branch["candidates"] = {"block": [8, 10], "view": [["near"], ["near", "near-far"]], "components": [None, 768]}
    derived = grid_branches("m2d", branch)
    assert len(derived) == 2 * 2 * 2 - 1
    found = derived["m2d.block-8.view-near.components-none"]
    assert (found["block"], found["view"], found["conditioning"]["components"]) == (8, ["near"], None)
    assert found["scorer"] == branch["scorer"] and "candidates" not in found
    assert with_candidates(with_defaults(config))["branches"]["m2d"]["candidates"] == list(derived)


def test_a_grid_of_nothing_but_the_branch_itself_has_no_other_candidate(config):
    config["branches"]["ced"]["candidates"] = {"block": [10]}
    config["branches"]["block"] = {"model": "ae", "scorer": {"kind": "mse"}}  # as the grid's key is called
    assert with_candidates(with_defaults(config))["branches"]["ced"]["candidates"] == []
    config["run"] |= {"suites": "dev", "systems": [], "branches": ["ced"], "protocols": ["nested_lomo"]}
    assert load_plan(config, DEFAULTS).reported.candidates("branch", "ced", "dev", "nested_lomo") == {"ced": ["ced"]}


def test_an_untrained_candidate_makes_the_nested_result_untrained(config):
    config["models"]["drawn"] = {"kind": "frozen", "encoder": "ced", "checkpoint": "random", "blocks": [10]}
    config["branches"]["drawn"] = {**config["branches"]["ced"], "model": "drawn"}
    del config["branches"]["drawn"]["candidates"]
    config["branches"]["ae_mahalanobis"]["candidates"] = ["drawn"]
    run = {"suites": "dev", "systems": ["NearMah"], "branches": [], "protocols": ["complete_dev", "nested_lomo"]}
    config["run"] |= run
    plan = load_plan(config, DEFAULTS)
    found = {(e.kind, e.protocol): e.untrained for e in plan.evaluations.by_suite["dev"]}
    assert found == {(k, p): p == "nested_lomo" for k in ("branch", "system") for p in run["protocols"]}


def test_a_reading_is_no_setting_of_the_squared_error(config):
    branch = config["branches"]["ae_mahalanobis"]
    derived = grid_branches("a", {**branch, "candidates": {"kind": ["mse", "mahalanobis"], "reading": ["per_block"]}})
    assert [point["scorer"] for point in derived.values()] == [
        {"kind": "mse"},
        {"kind": "mahalanobis", "reading": "per_block"},
    ]


def test_a_covariance_takes_the_place_of_pca_in_a_grid(config):
    grid = {"components": [256, 512], "covariance": [None, "ledoit_wolf"]}
    branch = config["branches"]["m2d"]
    derived = grid_branches("m2d", {**branch, "candidates": grid})
    of_pca = [{**branch["conditioning"], "components": components} for components in (256, 512)]
    found = [point["conditioning"] for point in derived.values()]
    assert found == [of_pca[0], {"covariance": "ledoit_wolf"}, of_pca[1]]  # PCA has no part in the covariance
    whitened = {**branch, "conditioning": {"covariance": "ledoit_wolf"}}
    grid |= {"standardise": [True], "whiten": [False]}
    found = [p["conditioning"] for p in grid_branches("m2d", {**whitened, "candidates": grid}).values()]
    assert found == of_pca, "the branch itself is no other candidate"
    config["branches"]["m2d"] = {**whitened, "candidates": grid}
    check_config(config)


def test_a_grid_varies_the_options_of_the_scorer_and_the_statistics(config):
    grid = {"banks": ["pooled", "domains"], "form": ["ratio", "difference"], "k": [1, 4], "statistics": [["mean"]]}
    config["branches"]["m2d"]["candidates"] = grid
    check_config(config)
    derived = grid_branches("m2d", with_defaults(config)["branches"]["m2d"])
    assert len(derived) == 8
    found = derived["m2d.banks-pooled.form-difference.k-1.statistics-mean"]
    assert found["scorer"] == {
        **with_defaults(config)["branches"]["m2d"]["scorer"],
        "banks": "pooled",
        "form": "difference",
        "k": 1,
    }
    assert found["statistics"] == ["mean"]


def test_a_grid_of_another_scorers_options_is_refused(config):
    config["branches"]["m2d"] |= {"scorer": {"kind": "gaussian"}, "candidates": {"k": [1, 4]}}
    with pytest.raises(UserError) as caught:
        check_config(config)
    assert str(caught.value) == "config: branches.m2d.candidates.k: unknown key: write one of: kind"


def test_a_grid_that_leaves_a_covariance_says_what_takes_its_place(config):
    config["branches"]["m2d"] |= {
        "conditioning": {"covariance": "ledoit_wolf"},
        "candidates": {"covariance": [None], "components": [None, 64]},
    }
    with pytest.raises(UserError) as caught:
        check_config(config)
    expected = "config: branches.m2d.candidates.covariance: null needs standardise, whiten: add them"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("branch", "candidates", "message"),
    [
        ("m2d", ["ced", "cde"], "branches.m2d.candidates: there is no branch 'cde'"),
        ("m2d", ["m2d"], "branches.m2d.candidates: m2d itself is always a candidate"),
        ("m2d", ["dualmic_raw"], "make m2d a candidate of dualmic_raw instead"),
        ("m2d", {"block": [7]}, "branches.m2d.candidates.block: models.m2d.blocks has no block 7"),
        ("m2d", {"components": [None], "whiten": [True]}, "whitening needs components"),
        ("m2d", {"components": list(range(1, 102))}, "101 candidates, at most 99 can be tried"),
        ("m2d", {"blocks": [8]}, "branches.m2d.candidates.blocks"),
        ("ae_mse", {"k": [[8, 5]]}, "branches.ae_mse.candidates.k"),
        ("m2d", {"k": [[8, 5], 0]}, "branches.m2d.candidates.k[1]: 0 is not possible: write 1 or more"),
        ("m2d", {"banks": ["pooled"], "k": [1, [8, 5]]}, "branches.m2d.candidates.k: [8, 5]: one bank of both domains"),
        ("m2d", {"bank": ["pooled"]}, "branches.m2d.candidates.bank: unknown key: write banks"),
    ],
)
def test_what_cannot_be_a_candidate_is_one_line(config, branch, candidates, message):
    config["branches"][branch]["candidates"] = candidates
    with pytest.raises(UserError) as caught:
        check_config(config)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_candidates_are_scored_only_where_a_protocol_chooses_among_them(config):
    config["run"] |= {"suites": "dev", "systems": ["DualDL4"], "branches": []}
    plan = load_plan(deepcopy(config), DEFAULTS)
    assert plan.reported.scored_branches("dev") == ["ae_mahalanobis", "ced", "m2d", "dualmic"]
    config["systems"]["DualDL4"]["protocols"] = ["nested_lomo"]
    plan = load_plan(config, DEFAULTS)
    assert len([b for b in plan.reported.scored_branches("dev") if b.split(".")[0] == "dualmic"]) == 8
    assert {(e.kind, e.name, e.protocol) for e in plan.evaluations.by_suite["dev"] if e.name == "DualDL4"} == {
        ("system", "DualDL4", "nested_lomo")
    }


def test_the_best_candidate_of_the_given_machines_is_chosen_of_equal_ones_the_first(tables):
    for branch, choice in choose_candidates(tables, CANDIDATES).items():
        assert list(choice.omega) == CANDIDATES[branch]
        assert choice.omega[choice.candidate] == max(choice.omega.values())
    twice = {m: {**of_machine, "twin": of_machine["ae_mse"]} for m, of_machine in tables.items()}
    for names in (["twin", "ae_mse"], ["ae_mse", "twin"]):
        assert choose_candidates(twice, {"b": names})["b"].candidate == names[0]


def test_machines_without_any_figure_choose_nothing(tables):
    normal = {m: {b: replace(t, anomaly=0 * t.anomaly) for b, t in tables[m].items()} for m in tables}
    with pytest.raises(UserError, match="ae: no figure is defined on"):
        choose_candidates(normal, CANDIDATES)
