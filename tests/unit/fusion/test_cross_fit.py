"""Fusion equals an independent computation on real score tables, chooses exactly and keeps the held-out machine out."""

import json
import logging
from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import pytest
import real_scores
from one_line import one_line_error
from real_scores import GOLDEN, MACHINES, rows_of

from workflow_lib.errors import UserError
from workflow_lib.fusion import RobustSigmoid, cross_fit, fit_fusion, simplex_grid
from workflow_lib.metrics import official_score
from workflow_lib.scoring.score_table import ScoreTable, align_branches

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
BRANCHES = ("ae_mse", "ae_mahalanobis", "alignment")


@pytest.fixture(scope="module")
def real_tables():
    """Machine -> branch -> ScoreTable, seven machines and four branches."""
    return real_scores.real_tables(EXPECTED["grid_0.1"]["branches"])


def some_tables(n_machines=3, n_clips=40, seed=0, branches=("a", "b")):
    """Random labelled tables with ties, as mappings of columns."""
    rng = np.random.default_rng(seed)
    names = [f"section_00_{i:04d}.wav" for i in range(n_clips)]
    labels = {"clip": names, "domain": ["source", "target"] * (n_clips // 2), "anomaly": np.arange(n_clips) // 2 % 2}
    return {
        f"machine{m}": {b: labels | {"score": rng.integers(0, 12, n_clips) + labels["anomaly"]} for b in branches}
        for m in range(n_machines)
    }


# ---- golden ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", EXPECTED)
def test_cross_fit_equals_the_independent_computation(case, real_tables):
    expected = EXPECTED[case]
    crossed = cross_fit(real_tables, expected["branches"], 1 / expected["steps"])
    assert list(crossed.folds) == list(expected["folds"])
    for machine, fold in expected["folds"].items():
        got = crossed.folds[machine]
        assert got.weights == fold["weights"]
        assert got.fusion.selection_score == pytest.approx(fold["selection_omega"], rel=0, abs=1e-9)
        figures = fold["source"], fold["target"], fold["pauc"]
        assert got.metrics.figures == pytest.approx(figures, rel=0, abs=1e-9)
        for branch, calibration in fold["calibration"].items():
            sigmoid = got.calibration[branch]
            assert [sigmoid.median, sigmoid.iqr] == pytest.approx([*calibration.values()], rel=0, abs=1e-9)
    assert crossed.score == pytest.approx(expected["cross_fitted_omega"], rel=0, abs=1e-9)
    fusion = fit_fusion(real_tables, expected["branches"], 1 / expected["steps"])
    assert fusion.weights == expected["complete_dev"]["weights"]
    assert fusion.selection_score == pytest.approx(expected["complete_dev"]["omega"], rel=0, abs=1e-9)
    fused = [fusion.apply(real_tables[machine], machine).metrics() for machine in MACHINES]
    assert official_score(fused) == pytest.approx(fusion.selection_score, rel=0, abs=1e-12)


def test_single_branches_equal_the_independent_computation(real_tables):
    for branch, omega in EXPECTED["grid_0.1"]["single"].items():
        metrics = [real_tables[machine][branch].metrics() for machine in MACHINES]
        assert official_score(metrics) == pytest.approx(omega, rel=0, abs=1e-9)


# ---- leakage ---------------------------------------------------------------------------------------------------------


def test_calibration_does_not_look_at_labels():
    tables = some_tables()
    flipped = {m: {b: t | {"anomaly": 1 - t["anomaly"]} for b, t in of_m.items()} for m, of_m in tables.items()}
    assert fit_fusion(tables, ["a", "b"]).calibration == fit_fusion(flipped, ["a", "b"]).calibration


def test_a_fused_score_does_not_depend_on_the_other_clips(real_tables):
    fusion = fit_fusion({m: real_tables[m] for m in MACHINES[:3]}, BRANCHES)
    together = fusion.apply(real_tables["fan"])
    for clip in (0, 77, 199):
        one = {b: rows_of(table, slice(clip, clip + 1)) for b, table in real_tables["fan"].items()}
        assert fusion.apply(one).score.tobytes() == together.score[clip : clip + 1].tobytes()


def test_a_machine_may_have_other_tables_as_held_out_machine(real_tables):
    held_out = {m: {b: replace(t, score=-t.score) for b, t in of_m.items()} for m, of_m in real_tables.items()}
    plain, other = (cross_fit(real_tables, BRANCHES, 0.2, held_out_tables=tables) for tables in (None, held_out))
    for machine in MACHINES:
        assert other.folds[machine].fusion == plain.folds[machine].fusion
        fused = plain.folds[machine].fusion.apply(held_out[machine])
        assert other.folds[machine].metrics == fused.metrics()
    assert other.score != plain.score


# ---- choice of weights -----------------------------------------------------------------------------------------------


def plain_choice(tables, branches, step):
    """Weights by one official score per grid point, one point after another."""
    calibration = {b: RobustSigmoid.fit(np.concatenate([t[b]["score"] for t in tables.values()])) for b in branches}
    best, best_score = None, -1.0
    for weights in simplex_grid(len(branches), step):
        metrics = []
        for of_machine in tables.values():
            fused = sum(w * calibration[b](of_machine[b]["score"]) for w, b in zip(weights, branches, strict=True))
            first = of_machine[branches[0]]
            metrics.append(ScoreTable(first["clip"], first["domain"], first["anomaly"], fused).metrics())
        if official_score(metrics) > best_score + 1e-12:
            best, best_score = weights.tolist(), official_score(metrics)
    return best, best_score


@pytest.mark.parametrize("seed", range(4))
def test_fast_search_chooses_what_the_plain_search_chooses(seed):
    branches = ["a", "b", "c"]
    tables = some_tables(2, 24, seed, branches)
    fusion = fit_fusion(tables, branches, 0.1)
    weights, score = plain_choice(tables, branches, 0.1)
    assert list(fusion.weights.values()) == weights
    assert fusion.selection_score == pytest.approx(score, rel=0, abs=1e-12)


def test_of_equal_points_the_lexicographically_first_wins():
    tables = some_tables(branches=("a",))
    twins = {machine: {"a": of["a"], "b": of["a"]} for machine, of in tables.items()}
    assert fit_fusion(twins, ["a", "b"]).weights == {"a": 0.0, "b": 1.0}


def test_order_of_the_clips_changes_nothing():
    tables = some_tables()
    order = np.random.default_rng(0).permutation(40)
    shuffled = {
        m: {"a": of["a"], "b": {name: np.asarray(column)[order] for name, column in of["b"].items()}}
        for m, of in tables.items()
    }
    assert fit_fusion(shuffled, ["a", "b"]) == fit_fusion(tables, ["a", "b"])


def test_figures_a_machine_does_not_define_stay_out_with_a_warning(caplog):
    tables = some_tables()
    del tables["machine2"]
    everywhere_source = {b: t | {"domain": ["source"] * 40} for b, t in tables["machine1"].items()}
    with caplog.at_level(logging.WARNING):
        fusion = fit_fusion({**tables, "machine1": everywhere_source}, ["a", "b"])
    assert "machine1: its test clips define no target AUC" in caplog.text
    assert 0 < fusion.selection_score < 1


def test_unlabelled_machines_are_fused_with_given_weights():
    tables = some_tables()
    fusion = fit_fusion(tables, ["a", "b"])
    unlabelled = {b: t | {"domain": [""] * 40, "anomaly": [None] * 40} for b, t in tables["machine0"].items()}
    fused = fusion.apply(unlabelled)
    assert np.array_equal(fused.score, fusion.apply(tables["machine0"]).score)
    assert np.isnan(fused.anomaly).all() and (fused.domain == "").all()


# ---- grid and sigmoid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_branches", "step"), [(1, 0.1), (2, 0.1), (3, 0.25), (4, 0.1), (5, 0.05)])
def test_grid_holds_every_weight_once_in_order(n_branches, step):
    grid = simplex_grid(n_branches, step)
    n_steps = round(1 / step)
    counts = np.rint(grid * n_steps).astype(int)
    assert len(grid) == comb(n_steps + n_branches - 1, n_branches - 1)
    assert (counts.sum(axis=1) == n_steps).all() and (counts >= 0).all()
    assert counts.tolist() == sorted(map(list, set(map(tuple, counts.tolist()))))
    assert (grid == counts / n_steps).all()  # 0.3 and not 0.30000000000000004


def test_sigmoid_has_the_published_form_never_overflows_and_without_spread_is_a_step():
    scores = np.array([1.0, 2.0, 4.0, 8.0])
    sigmoid = RobustSigmoid.fit(scores)
    assert (sigmoid.median, sigmoid.iqr) == (3.0, 5.0 - 1.75)
    np.testing.assert_allclose(sigmoid(scores), 1 / (1 + np.exp(-(scores - 3.0) / 3.25)), rtol=1e-14)
    with np.errstate(all="raise", under="ignore"):
        assert RobustSigmoid(0.0, 1e-300)([-1e300, 0.0, 1e300]).tolist() == [0.0, 0.5, 1.0]
    step = RobustSigmoid.fit([5.0, 5.0, 5.0, 5.0, 9.0])
    assert step.iqr == 0
    assert step([4.0, 5.0, 5.1]).tolist() == [0.0, 0.5, 1.0]


def test_a_branch_without_spread_can_be_fused(caplog):
    tables = some_tables()
    flat = {m: {"a": of["a"], "b": of["b"] | {"score": np.ones(40)}} for m, of in tables.items()}
    fusion = fit_fusion(flat, ["a", "b"])
    assert np.isfinite(fusion.apply(flat["machine0"]).score).all()
    assert "interquartile range 0" in caplog.text


# ---- score tables ----------------------------------------------------------------------------------------------------


def test_every_form_of_a_table_is_the_same_table():
    text = pd.read_csv(GOLDEN / "alignment" / "fan.csv", dtype=str)
    rows, frame = text.to_dict("records"), text.astype({"anomaly": int, "score": float})
    forms = [rows, frame, text.to_dict("list"), frame.to_dict("records")]
    tables = [ScoreTable.from_any(form) for form in [*forms, ScoreTable.from_any(rows)]]
    for table in tables:
        for column, first in zip(vars(table).values(), vars(tables[0]).values(), strict=True):
            assert np.array_equal(column, first)
    assert tables[0].score.dtype == np.float64 and list(tables[0].clip) == sorted(row["clip"] for row in rows)


@pytest.mark.parametrize("empty", [None, "", " ", float("nan")])
def test_empty_cells_are_unknown_labels_and_domains(empty):
    table = ScoreTable.from_any([{"clip": "b", "domain": empty, "anomaly": empty, "score": 1}])
    assert table.domain.tolist() == [""] and np.isnan(table.anomaly).all()
    with pytest.raises(UserError, match="every clip's label; clips without one: b"):
        table.metrics()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": ["a", "a", "c"]}, "fan/mine: clips that are named more than once: a"),
        ({"domain": ["source", "x", "y"]}, "neither source, target nor empty: b, c"),
        ({"anomaly": [0, 2, "yes"]}, "anomaly is neither 0, 1 nor empty: b, c"),
        ({"score": [1, "", "much"]}, "score is not a finite number: b, c"),
        ({"score": [1, 2, float("inf")]}, "score is not a finite number: c"),
        ({"score": [1, 2]}, "lists of one length"),
        ({"score": None}, "lists of one length"),
    ],
)
def test_a_faulty_table_names_its_clips(change, message):
    columns = {"clip": ["a", "b", "c"], "domain": ["source"] * 3, "anomaly": [0, 1, 0], "score": [1, 2, 3]} | change
    with one_line_error(message) as caught:
        ScoreTable.from_any(columns, "fan/mine")
    assert str(caught.value).startswith("fan/mine: ")


def test_a_label_that_one_branch_knows_is_taken_over():
    known = {"clip": ["a", "b"], "domain": ["source", ""], "anomaly": ["", 1], "score": [1, 2]}
    other = {"clip": ["b", "a"], "domain": ["target", "source"], "anomaly": [1, 0], "score": [4, 3]}
    aligned = align_branches({"x": known, "y": other}, ["x", "y"], "fan")
    assert aligned.domain.tolist() == ["source", "target"] and aligned.anomaly.tolist() == [0, 1]
    assert aligned.score.tolist() == [[1, 2], [3, 4]]


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"clip": [f"section_00_{i:04d}.wav" for i in range(1, 41)]},
            "machine1: branches a and b .* section_00_0000.wav",
        ),
        ({"domain": ["target", "source"] * 20}, "differ in the domain of: section_00_0000.wav"),
        ({"anomaly": [1] * 40}, "differ in the label of: section_00_0000.wav"),
        ({"score": [float("nan")] * 40}, "machine1/b: clips whose score .* and 37 more"),
    ],
)
def test_tables_that_do_not_fit_together_are_one_clear_line(columns, message):
    tables = some_tables()
    tables["machine1"]["b"] = tables["machine1"]["b"] | columns
    with one_line_error(message):
        fit_fusion(tables, ["a", "b"])


UNLABELLED = [{"clip": "a", "domain": "source", "score": 1}]


def labelled(tables, anomaly):
    """The first machine alone, all its clips with one label."""
    return {"machine0": {branch: table | {"anomaly": [anomaly] * 40} for branch, table in tables["machine0"].items()}}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        *((lambda _, step=step: simplex_grid(3, step), "must divide 1") for step in (0, -0.1, 0.3, 2, 0.07)),
        (lambda _: RobustSigmoid.fit([]), "only finite ones"),
        (lambda _: RobustSigmoid.fit([1.0, float("nan")]), "only finite ones"),
        (lambda _: RobustSigmoid.fit([float("inf")]), "only finite ones"),
        (lambda _: ScoreTable.from_any(UNLABELLED, "fan/mine"), "fan/mine: the column 'anomaly' is missing"),
        (lambda tables: fit_fusion(tables | labelled(tables, None), ["a", "b"]), "every clip's label"),
        (lambda tables: fit_fusion(labelled(tables, 0), ["a", "b"]), "no figure is defined on machine0"),
        (lambda tables: fit_fusion({}, ["a"]), "at least one machine"),
        (lambda tables: fit_fusion(tables, []), "list of different branches"),
        (lambda tables: fit_fusion(tables, "ab"), "list of different branches"),
        (lambda tables: fit_fusion(tables, ["a", "a"]), "list of different branches"),
        (lambda tables: fit_fusion(tables, ["a", "z"]), "machine0: no score table of branch z; there are: a, b"),
        (lambda tables: cross_fit({"machine0": tables["machine0"]}, ["a"]), "at least two labelled machines"),
        (lambda tables: cross_fit(tables, ["a"], held_out_tables={}), "no held-out score tables of machine0"),
    ],
)
def test_impossible_requests_are_one_clear_line(action, message):
    with one_line_error(message):
        action(some_tables())
