"""The linear program of the weights equals the plain one with a row per pair, and a failing solver is said."""

import functools

import numpy as np
import pulp
import pytest
from one_line import one_line_error
from real_scores import BRANCHES, MACHINES, real_tables
from scipy.optimize import linprog

import workflow_lib.fusion.linear_program as program
from workflow_lib.fusion.cross_fit import cross_fit, fit_fusion
from workflow_lib.fusion.linear_program import MARGIN, AucPairs, auc_cells, program_weights
from workflow_lib.fusion.weight_grid import simplex_grid
from workflow_lib.metrics import official_score


def drawn_cells(seed, n_cells=4, n_branches=3, sizes=(7, 5), decimals=None):
    """Cells of random levels in [0, 1] whose branches are of different use; `decimals` makes ties."""
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(n_cells):
        gain = rng.uniform(-0.1, 0.5, size=(n_branches, 1))
        levels = rng.uniform(0, 0.6, (n_branches, sizes[0])) + gain, rng.uniform(0, 0.6, (n_branches, sizes[1]))
        cells.append(AucPairs(*(np.clip(x, 0, 1) if decimals is None else x.round(decimals) for x in levels)))
    return cells


def plain_program(cells, margin):
    """The program as its formula stands, one slack and one row per pair, by another solver: least loss and weights."""
    n_branches = len(cells[0].normal)
    gaps = [(cell.anomalous[:, :, None] - cell.normal[:, None, :]).reshape(n_branches, -1) for cell in cells]
    cost = np.concatenate([np.zeros(n_branches), *(np.full(g.shape[1], 1 / g.shape[1] / len(cells)) for g in gaps)])
    rows = np.hstack([np.hstack(gaps).T, np.eye(len(cost) - n_branches)])  # gap . weights + slack >= margin
    on_simplex = np.arange(len(cost))[None] < n_branches
    found = linprog(cost, -rows, np.full(len(rows), -margin), on_simplex, [1])
    assert found.success
    return found.fun, found.x[:n_branches]


def ranking_loss(cells, weights, margin=MARGIN):
    """The objective by its formula, over all pairs."""
    gaps = [(weights @ cell.anomalous)[:, None] - weights @ cell.normal for cell in cells]
    return np.mean([np.maximum(0, margin - of_cell).mean() for of_cell in gaps])


@pytest.mark.parametrize("margin", [0.02, MARGIN, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_plain_program(seed, margin):
    cells = drawn_cells(seed, decimals=1 if seed == 4 else None)
    least, weights = plain_program(cells, margin)
    found = program_weights(cells, margin)
    assert ranking_loss(cells, found, margin) == pytest.approx(least, rel=0, abs=2e-6)
    if seed != 4:  # ties leave room for several optima
        assert found == pytest.approx(weights, rel=0, abs=1e-4)


def test_it_equals_the_plain_program_on_real_scores(tables):
    first = {MACHINES[0]: tables[MACHINES[0]]}
    cells = cells_of(first, fit_fusion(first, BRANCHES, 1.0))
    small = [AucPairs(cell.anomalous[:, ::4], cell.normal[:, ::4]) for cell in cells]
    least, _ = plain_program(small, MARGIN)
    assert ranking_loss(small, program_weights(small)) == pytest.approx(least, rel=0, abs=2e-6)


def cells_of(tables, fusion):
    cells = []
    for of_machine in tables.values():
        levels = np.stack([fusion.calibration[b](of_machine[b].score) for b in fusion.branches])
        first = of_machine[fusion.branches[0]]
        cells += auc_cells(levels, first.anomaly, first.domain).values()
    return cells


@pytest.fixture(scope="module")
def tables():
    return real_tables(machines=MACHINES[:3])


def test_no_grid_point_has_a_smaller_loss_and_omega_is_that_of_the_fused_scores(tables):
    fusion = fit_fusion(tables, BRANCHES, search="linear_program")
    fused = [fusion.apply(of_machine).metrics() for of_machine in tables.values()]
    assert fusion.selection_score == pytest.approx(official_score(fused), rel=0, abs=1e-12)
    cells = cells_of(tables, fusion)
    least = ranking_loss(cells, np.array(list(fusion.weights.values())))
    assert least <= min(ranking_loss(cells, point) for point in simplex_grid(len(BRANCHES), 0.1)) + 1e-6


def test_pairs_are_those_of_the_official_aucs():
    levels = np.arange(6.0)[None] / 10
    anomaly, domain = np.array([1, 0, 1, 0, 0, 1]), np.array(["source"] * 2 + ["target"] * 4)
    cells = auc_cells(levels, anomaly, domain)
    assert {name: (cell.anomalous[0].tolist(), cell.normal[0].tolist()) for name, cell in cells.items()} == {
        "source": ([0, 0.2, 0.5], [0.1]),
        "target": ([0, 0.2, 0.5], [0.3, 0.4]),
    }
    assert list(auc_cells(levels, anomaly, np.full(6, "source"))) == ["source"]
    assert not auc_cells(levels, np.zeros(6), domain)


def test_cells_of_many_pairs_weigh_no_more_than_cells_of_few():
    few, many = drawn_cells(0, 1, sizes=(4, 4))[0], drawn_cells(1, 1)[0]
    wide = AucPairs(np.tile(many.anomalous, 5), np.tile(many.normal, 5))  # every pair 25 times
    assert program_weights([few, many]) == pytest.approx(program_weights([few, wide]), rel=0, abs=2e-6)


def test_weights_are_on_the_simplex_and_repeat():
    tables = real_tables()
    first, second = (fit_fusion(tables, BRANCHES, search="linear_program") for _ in range(2))
    assert first == second
    backwards = fit_fusion(dict(reversed(tables.items())), BRANCHES, search="linear_program")
    assert backwards.weights == first.weights
    weights = np.array(list(first.weights.values()))
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, rel=0, abs=1e-15)
    assert (first.search, first.step, first.protocol) == ("linear_program", None, "complete_dev")


def test_folds_choose_without_the_held_out_machine(tables):
    crossed = cross_fit(tables, BRANCHES, search="linear_program")
    for machine, fold in crossed.folds.items():
        rest = {m: of_machine for m, of_machine in tables.items() if m != machine}
        alone = fit_fusion(rest, BRANCHES, search="linear_program", protocol="cross_fitted")
        assert fold.fusion == alone
    assert len({tuple(fold.weights.values()) for fold in crossed.folds.values()}) == 3


def test_a_useless_branch_gets_no_weight_and_a_single_one_has_all():
    rng = np.random.default_rng(0)
    cell = AucPairs(np.stack([rng.uniform(0.5, 1, 40), rng.uniform(0, 0.5, 40)]), rng.uniform(0, 0.6, (2, 40)))
    assert program_weights([cell]).tolist() == [1, 0]
    assert program_weights(drawn_cells(0, n_branches=1)).tolist() == [1]


# ---- failures --------------------------------------------------------------------------------------------------------


def test_an_unknown_search_and_no_pair_at_all_are_one_clear_line(tables):
    with one_line_error("there is no search 'linear_programme' for weights: write linear_program"):
        fit_fusion(tables, BRANCHES, search="linear_programme")
    normal = {b: {**vars(table), "anomaly": np.zeros(200)} for b, table in tables[MACHINES[0]].items()}
    with one_line_error(f"no AUC is defined on {MACHINES[0]}"):
        fit_fusion({MACHINES[0]: normal}, BRANCHES, search="linear_program")


@pytest.mark.parametrize("path", ["/bin/false", "/nowhere/cbc"])
def test_a_solver_that_fails_is_one_clear_line(tables, monkeypatch, path):
    broken = functools.partial(pulp.COIN_CMD, path=path)
    monkeypatch.setattr(program.pulp, "PULP_CBC_CMD", broken)
    with one_line_error("the linear program of the weights failed"):
        fit_fusion(tables, BRANCHES, search="linear_program")


def test_it_prints_nothing(capfd):
    """Neither does the solver, a process of its own that writes to the same descriptors."""
    program_weights(drawn_cells(0))
    assert capfd.readouterr() == ("", "")
