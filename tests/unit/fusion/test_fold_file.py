"""A fold as a file holds what was chosen, how, and under which protocol."""

import json
import math
from dataclasses import replace

import pytest
from one_line import one_line_error
from real_scores import BRANCHES, MACHINES, real_tables

from workflow_lib.fusion.candidate_choice import choose_candidates, chosen_tables
from workflow_lib.fusion.cross_fit import fit_fusion
from workflow_lib.fusion.fold_file import ScoreFolders, fit_fold, fit_folds, fuse_machine, read_fold
from workflow_lib.scoring.score_file import read_scores, write_scores

PAIR = list(BRANCHES[1:3])
THEMSELVES = {branch: [branch] for branch in PAIR}  # every branch is its only candidate
MODELS = dict.fromkeys(PAIR, "tiny")
CHOOSING, HELD_OUT = MACHINES[:2], MACHINES[2]


@pytest.fixture(scope="module")
def tables():
    return real_tables(PAIR, MACHINES[:3])


@pytest.fixture(scope="module")
def folders(tables, tmp_path_factory):
    """machine -> folder of its score tables by one model."""
    scores = tmp_path_factory.mktemp("scores") / "tiny"
    return {machine: write_folder(scores / machine, of_machine) for machine, of_machine in tables.items()}


def write_folder(folder, of_machine):
    folder.mkdir(parents=True)
    for branch, table in of_machine.items():
        write_scores(folder / f"{branch}.csv", table)
    return str(folder)


def fitted(tables, protocol="cross_fitted", **system):
    selection = {machine: tables[machine] for machine in CHOOSING}
    return fit_fold(selection, {"branches": PAIR, "step": 0.1, "search": "grid", **system}, THEMSELVES, protocol)


def run_jobs(folders, output, candidates=THEMSELVES, seeds=("",), judged=None, **settings):
    """Both jobs of a fold that holds the last machine out: fits `pair` in output/fold, fuses in output/fused."""
    settings = {"branches": PAIR, "step": 0.1, "search": "grid", **settings}
    system = {"settings": settings, "candidates": candidates, "models": MODELS, "seeds": seeds}
    selection, names = [folders[m] for m in CHOOSING], {"suite": "dev", "protocol": "nested_lomo"}
    fit_folds(output / "fold", selection, CHOOSING, {"pair": system}, **names, held_out=HELD_OUT)
    fuse_machine(output / "fused", [judged or folders[HELD_OUT]], output / "fold", HELD_OUT, {"pair": system})


@pytest.mark.parametrize(
    ("system", "search", "step"),
    [
        ({"step": 0.25}, "grid", 0.25),
        ({}, "grid", 0.1),
        ({"search": "linear_program", "step": 0.25}, "linear_program", None),
        ({"weights": {PAIR[0]: 0.3, PAIR[1]: 0.7}}, "fixed", None),
    ],
)
def test_a_fold_is_read_as_it_was_written(folders, tables, tmp_path, system, search, step):
    run_jobs(folders, tmp_path, seeds=["", "7"], **system)
    facts = json.loads((tmp_path / "fold/pair/seed7.json").read_text(encoding="utf-8"))
    assert (facts["search"], facts["step"], facts["protocol"]) == (search, step, "nested_lomo")
    assert (facts["suite"], facts["system"], facts["held_out"]) == ("dev", "pair", HELD_OUT)
    fold = fitted(tables, "nested_lomo", **system)
    assert read_fold(tmp_path / "fold/pair/noseed.json") == fold
    for seed in ("noseed", "seed7"):  # no model is adapted here
        fused = read_scores(tmp_path / f"fused/pair/{seed}.csv")
        assert fused.score.tolist() == fold.fusion.apply(tables[HELD_OUT]).score.tolist()


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_a_stored_fold_is_the_librarys_own(tables, search):
    selection = {machine: tables[machine] for machine in CHOOSING}
    wanted = fit_fusion(selection, PAIR, 0.25, search=search, protocol="nested_lomo")
    assert fitted(tables, "nested_lomo", search=search, step=0.25).fusion == wanted


def test_a_nested_fold_of_several_branches_judges_by_what_the_others_chose(folders, tables, tmp_path):
    """Labels and scores of the held-out machine move no choice, weight or calibration, and pick no candidate either."""
    candidates = {PAIR[0]: [PAIR[0], PAIR[1]], PAIR[1]: [PAIR[1], PAIR[0]]}
    run_jobs(folders, tmp_path, candidates, step=0.25)
    stored = read_fold(tmp_path / "fold/pair/noseed.json")
    choices = choose_candidates({machine: tables[machine] for machine in CHOOSING}, candidates)
    chosen = {m: chosen_tables(of_machine, choices) for m, of_machine in tables.items()}
    fusion = fit_fusion({m: chosen[m] for m in CHOOSING}, PAIR, 0.25, protocol="nested_lomo")
    assert (stored.choices, stored.fusion) == (choices, fusion)
    fused = read_scores(tmp_path / "fused/pair/noseed.csv").score.tolist()
    assert fused == fusion.apply(chosen[HELD_OUT]).score.tolist()
    # With every label of the held-out machine turned round, its fused scores are the same.
    turned = {b: replace(table, anomaly=1 - table.anomaly) for b, table in tables[HELD_OUT].items()}
    judged = write_folder(tmp_path / "turned/tiny" / HELD_OUT, turned)
    run_jobs(folders, tmp_path / "again", candidates, judged=judged, step=0.25)
    assert read_scores(tmp_path / "again/fused/pair/noseed.csv").score.tolist() == fused


def test_a_job_reads_no_other_folder_and_names_a_system_that_cannot_be_fitted(folders, tmp_path):
    """So that what a fold comes from is what the DAG says."""
    scores = ScoreFolders(folders[machine] for machine in CHOOSING)
    assert list(scores.tables(CHOOSING[0], MODELS, "")) == PAIR
    with pytest.raises(KeyError, match=HELD_OUT):
        scores.tables(HELD_OUT, MODELS, "")
    two = [tmp_path / f"dualmic@without-{name}-seed7" / "fan" for name in ("fan", "fan+valve")]
    with pytest.raises(ValueError, match="scores of one machine by one model"):
        ScoreFolders(map(str, two))
    with one_line_error("^pair: the grid step is 0.3"):
        run_jobs(folders, tmp_path, step=0.3)


def test_fixed_weights_are_kept_and_measured(tables):
    given = {PAIR[0]: 0.25, PAIR[1]: 0.75}
    fusion, chosen = fitted(tables, weights=given).fusion, fitted(tables, step=0.25).fusion
    assert fusion.weights == given and fusion.calibration == chosen.calibration
    assert fusion.selection_score <= chosen.selection_score + 1e-12
    on_grid = fitted(tables, weights=chosen.weights).fusion
    assert math.isclose(on_grid.selection_score, chosen.selection_score, rel_tol=0, abs_tol=1e-12)
