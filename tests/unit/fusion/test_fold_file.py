"""A fold as a file holds what was chosen, how, and under which protocol."""

import json
import math
from pathlib import Path

import pytest
from real_scores import BRANCHES, MACHINES, real_tables

from workflow_lib.fusion.candidate_choice import fit_nested_fold
from workflow_lib.fusion.cross_fit import fit_fusion
from workflow_lib.fusion.fold_file import fit_fold, fuse_machine, read_fold, write_fold
from workflow_lib.scoring.score_file import read_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable

PAIR = list(BRANCHES[1:3])
THEMSELVES = {branch: [branch] for branch in PAIR}  # every branch is its only candidate
CHOOSING = MACHINES[:2]


@pytest.fixture(scope="module")
def tables():
    return real_tables(PAIR, MACHINES[:3])


@pytest.fixture(scope="module")
def paths(tables, tmp_path_factory):
    """machine -> paths in branch order."""
    folder = tmp_path_factory.mktemp("scores")
    found = {m: [folder / f"{m}-{b}.csv" for b in PAIR] for m in tables}
    for machine, of_machine in tables.items():
        for branch, path in zip(PAIR, found[machine], strict=True):
            write_scores(path, of_machine[branch])
    return {m: list(map(str, files)) for m, files in found.items()}


def fitted(paths, protocol="cross_fitted", **system):
    chosen = [p for m in CHOOSING for p in paths[m]]
    return fit_fold(chosen, CHOOSING, {"branches": PAIR, "step": 0.1, "search": "grid", **system}, THEMSELVES, protocol)


@pytest.mark.parametrize(
    ("system", "search", "step"),
    [
        ({"step": 0.25}, "grid", 0.25),
        ({}, "grid", 0.1),
        ({"search": "linear_program", "step": 0.25}, "linear_program", None),
        ({"weights": {PAIR[0]: 0.3, PAIR[1]: 0.7}}, "fixed", None),
    ],
)
def test_a_fold_is_read_as_it_was_written(paths, tables, tmp_path, system, search, step):
    fold = fitted(paths, **system)
    write_fold(tmp_path / "fold.json", fold, suite="dev", system="pair", held_out=MACHINES[2])
    facts = json.loads((tmp_path / "fold.json").read_text(encoding="utf-8"))
    assert (facts["search"], facts["step"], facts["protocol"]) == (search, step, "cross_fitted")
    assert (facts["suite"], facts["system"], facts["held_out"]) == ("dev", "pair", MACHINES[2])
    assert read_fold(tmp_path / "fold.json") == fold
    fused = fuse_machine(paths[MACHINES[2]], THEMSELVES, [str(tmp_path / "fold.json")], MACHINES[2])
    assert fused.score.tolist() == fold.fusion.apply(tables[MACHINES[2]]).score.tolist()


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_a_fold_of_files_is_the_fold_of_tables(paths, tables, search):
    selection = {machine: tables[machine] for machine in CHOOSING}
    wanted = fit_fusion(selection, PAIR, 0.25, search=search, protocol="nested_lomo")
    assert fitted(paths, "nested_lomo", search=search, step=0.25).fusion == wanted


def test_a_nested_fold_of_several_branches_judges_by_what_the_others_chose(paths, tables, tmp_path):
    """Labels and scores of the held-out machine move no choice, weight or calibration, and pick no candidate either."""
    candidates = {PAIR[0]: [PAIR[0], PAIR[1]], PAIR[1]: [PAIR[1], PAIR[0]]}
    names, held_out = [c for listed in candidates.values() for c in listed], MACHINES[2]
    files = {m: dict(zip(PAIR, of_machine, strict=True)) for m, of_machine in paths.items()}
    chosen = [files[m][name] for m in CHOOSING for name in names]
    system = {"branches": PAIR, "step": 0.25, "search": "grid"}
    stored = fit_fold(chosen, CHOOSING, system, candidates, "nested_lomo")
    write_fold(tmp_path / "fold.json", stored, suite="dev", system="pair", held_out=held_out)
    judged = [files[held_out][name] for name in names]
    fused = fuse_machine(judged, candidates, [str(tmp_path / "fold.json")], held_out)
    selection = {machine: tables[machine] for machine in CHOOSING}
    wanted = fit_nested_fold(selection, tables[held_out], held_out, candidates, 0.25)
    assert {b: c.candidate for b, c in stored.choices.items()} == {b: c.candidate for b, c in wanted.choices.items()}
    assert fused.score.tolist() == wanted.fold.table.score.tolist()
    # With every label of the held-out machine turned round, its fused scores are the same.
    turned = []
    for number, path in enumerate(judged):
        table = read_scores(path)
        turned.append(str(tmp_path / f"{number}.csv"))
        write_scores(Path(turned[-1]), ScoreTable(table.clip, table.domain, 1 - table.anomaly, table.score))
    again = fuse_machine(turned, candidates, [str(tmp_path / "fold.json")], held_out)
    assert again.score.tolist() == fused.score.tolist()


def test_fixed_weights_are_kept_and_measured(paths, tables):
    given = {PAIR[0]: 0.25, PAIR[1]: 0.75}
    fusion, chosen = fitted(paths, weights=given).fusion, fitted(paths, step=0.25).fusion
    assert fusion.weights == given and fusion.calibration == chosen.calibration
    assert fusion.selection_score <= chosen.selection_score + 1e-12
    on_grid = fitted(paths, weights=chosen.weights).fusion
    assert math.isclose(on_grid.selection_score, chosen.selection_score, rel_tol=0, abs_tol=1e-12)
