"""Nothing of the held-out machine reaches its fold, and no clip's score depends on another clip.

The checks take the fitting function, so that a planted leak shows that they can fail.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from real_scores import BRANCHES, MACHINES, real_tables, rows_of

from workflow_lib.evaluation.ablation import leave_one_branch_out
from workflow_lib.fusion.candidate_choice import choose_candidates, chosen_tables
from workflow_lib.fusion.cross_fit import Fold, cross_fit, fit_fusion
from workflow_lib.fusion.fold_file import fit_fold
from workflow_lib.scoring.score_table import ScoreTable

Tables = Mapping[str, Mapping[str, ScoreTable]]
Folds = Callable[[Tables], Mapping[str, Fold]]
HELD_OUT = MACHINES[3]
CANDIDATES = {"reconstruction": BRANCHES[:2], "embedding": BRANCHES[2:]}  # what nested_lomo chooses among
EVIDENCE = ("fusion.fold_file", "fusion.linear_program", "evaluation.ablation", "scoring.job", "studies.job")


def folds_of(search: str, tables: Tables, branches: Sequence[str] = BRANCHES) -> dict[str, Fold]:
    """The library's own fitting function."""
    return cross_fit(tables, branches, 0.2, search=search).folds


def fold_by(fitted, tables: Tables, machine: str) -> Fold:
    table = fitted.apply(tables[machine], machine)
    return Fold(machine, getattr(fitted, "fusion", fitted), table, table.metrics())


def nested_folds(search: str, tables: Tables) -> dict[str, Fold]:
    """The library's nested folds: a candidate of each branch is chosen first."""
    system, folds = {"branches": list(CANDIDATES), "step": 0.2, "search": search}, {}
    for machine in tables:
        others = {m: of_machine for m, of_machine in tables.items() if m != machine}
        folds[machine] = fold_by(fit_fold(others, system, CANDIDATES, "nested_lomo"), tables, machine)
    return folds


def leaky_candidates(search: str, tables: Tables) -> dict[str, Fold]:
    """A planted leak: candidates are chosen on the held-out machine as well, calibration and weights are not."""
    choices = choose_candidates(tables, CANDIDATES)
    return folds_of(search, {m: chosen_tables(of, choices) for m, of in tables.items()}, list(CANDIDATES))


def leaky(what: str, search: str, tables: Tables) -> dict[str, Fold]:
    """A planted leak: calibration or weights come from the held-out machine as well, the other one does not."""
    everyone = {what: getattr(fit_fusion(tables, BRANCHES, 0.2, search=search), what)}
    folds = folds_of(search, tables)
    return {m: fold_by(replace(fold.fusion, **everyone), tables, m) for m, fold in folds.items()}


def ranked_with_the_others(search: str, tables: Tables) -> dict[str, Fold]:
    """A planted leak across test clips: a fused score becomes its rank among the machine's clips."""
    folds = folds_of(search, tables)
    ranked = {m: replace(fold.table, score=fold.table.score.argsort().argsort()) for m, fold in folds.items()}
    return {m: replace(fold, table=ranked[m]) for m, fold in folds.items()}


# ---- the checks ------------------------------------------------------------------------------------------------------


def check_fold_ignores(folds: Folds, tables: Tables, changed: Mapping[str, ScoreTable], machine: str) -> None:
    """The machine's fold keeps its fusion when its own tables change; the change reaches its figures and the others."""
    before, after = folds(tables), folds({**tables, machine: changed})
    assert after[machine].calibration == before[machine].calibration, "the held-out machine calibrates its own fold"
    assert after[machine].weights == before[machine].weights, "the held-out machine chooses its own weights"
    assert after[machine].fusion == before[machine].fusion
    assert after[machine].metrics != before[machine].metrics
    others = [m for m in tables if m != machine]
    assert any(after[m].calibration != before[m].calibration or after[m].weights != before[m].weights for m in others)


def check_clips_are_independent(folds: Folds, tables: Tables, machine: str) -> None:
    """Of the held-out machine's clips, any half has the very scores that all together have."""
    whole = folds(tables)[machine].table
    # Every second clip of each domain and label, so that the figures stay defined.
    order = np.lexsort((whole.anomaly, whole.domain))
    for part in (np.sort(order[::2]), np.sort(order[1::2])):
        fewer = {b: rows_of(table, part) for b, table in tables[machine].items()}
        found = folds({**tables, machine: fewer})[machine].table
        assert found.clip.tolist() == whole.clip[part].tolist()
        assert found.score.tobytes() == whole.score[part].tobytes(), "a score depends on which other clips are there"


# ---- changes of the held-out machine ---------------------------------------------------------------------------------


def labels_permuted(tables: Mapping[str, ScoreTable]) -> dict[str, ScoreTable]:
    first = next(iter(tables.values()))
    anomaly = np.random.default_rng(0).permutation(first.anomaly)
    return {b: replace(table, anomaly=anomaly) for b, table in tables.items()}


def scores_permuted(tables: Mapping[str, ScoreTable]) -> dict[str, ScoreTable]:
    """Scores change clips, each branch in its own way, so what the branches say of a clip changes too."""
    rng = np.random.default_rng(1)
    return {b: replace(table, score=rng.permutation(table.score)) for b, table in tables.items()}


def scores_shifted(tables: Mapping[str, ScoreTable]) -> dict[str, ScoreTable]:
    return {b: replace(table, score=-5.0 * table.score + 100) for b, table in tables.items()}


CHANGES = {"labels": labels_permuted, "scores": scores_permuted, "scale": scores_shifted}


@pytest.fixture(scope="module")
def tables():
    return real_tables(machines=[*MACHINES[:3], HELD_OUT])


@pytest.mark.parametrize("folds", [folds_of, nested_folds])
@pytest.mark.parametrize("search", ["grid", "linear_program"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_held_out_machine_changes_nothing_of_its_fold(tables, folds, search, change):
    check_fold_ignores(partial(folds, search), tables, CHANGES[change](tables[HELD_OUT]), HELD_OUT)


@pytest.mark.parametrize("folds", [folds_of, nested_folds])
@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_no_clip_of_the_held_out_machine_changes_the_score_of_another(tables, folds, search):
    check_clips_are_independent(partial(folds, search), tables, HELD_OUT)


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_a_planted_leak_is_caught(tables, search):
    shifted, permuted = scores_shifted(tables[HELD_OUT]), labels_permuted(tables[HELD_OUT])
    leaks = [partial(leaky, "calibration", search), partial(leaky, "weights", search)]
    with pytest.raises(AssertionError, match="calibrates its own fold"):
        check_fold_ignores(leaks[0], tables, shifted, HELD_OUT)
    with pytest.raises(AssertionError, match="chooses its own weights"):
        check_fold_ignores(leaks[1], tables, permuted, HELD_OUT)
    for leak in (*leaks, partial(ranked_with_the_others, search)):
        with pytest.raises(AssertionError, match="depends on which other clips"):
            check_clips_are_independent(leak, tables, HELD_OUT)


def test_a_candidate_chosen_on_the_held_out_machine_is_caught(tables):
    preferred = {choice.candidate for choice in choose_candidates(tables, CANDIDATES).values()}
    # Where all machines choose, one on which a candidate is always wrong turns the choice.
    spoilt = {b: replace(t, score=-t.anomaly) if b in preferred else t for b, t in tables[HELD_OUT].items()}
    check_fold_ignores(partial(nested_folds, "grid"), tables, spoilt, HELD_OUT)
    with pytest.raises(AssertionError, match="the held-out machine"):
        check_fold_ignores(partial(leaky_candidates, "grid"), tables, spoilt, HELD_OUT)


def test_removing_a_branch_lets_nothing_in_either(tables):
    changed = {**tables, HELD_OUT: labels_permuted(tables[HELD_OUT])}
    before, after = (leave_one_branch_out(given, BRANCHES[:3], 0.2) for given in (tables, changed))
    for branch in BRANCHES[:3]:
        scores = [found.without[branch].result.tables[HELD_OUT].score.tobytes() for found in (before, after)]
        assert scores[0] == scores[1]


# ---- without torch ---------------------------------------------------------------------------------------------------


def test_evidence_is_made_without_torch():
    modules = [f"workflow_lib.{name}" for name in EVIDENCE]
    code = f"import sys\nimport {', '.join(modules)}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
