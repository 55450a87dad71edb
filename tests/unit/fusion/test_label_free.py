"""Fusion without labels: z over a machine's own normal clips, equal weights, and weights shrunk towards them."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from one_line import one_line_error
from real_scores import BRANCHES, MACHINES, real_tables, rows_of

from workflow_lib.config.schema import definition, filled
from workflow_lib.fusion import NormalScale, cross_fit, fit_fusion, label_free_fusion
from workflow_lib.fusion.fold_file import fit_fold, read_fold, write_fold
from workflow_lib.fusion.shrinkage import TOO_FEW
from workflow_lib.metrics import official_score
from workflow_lib.scoring.score_table import ScoreTable

THREE = ["ae_mahalanobis", "ae_mse", "alignment"]
SHARES = [0, 0.25, 0.5, 0.75, 1]


@pytest.fixture(scope="module")
def tables():
    return real_tables()


def normals_of(tables, seed=3, n_clips=50):
    """Drawn scores of normal training clips, on the scale of each branch: machine -> branch -> table."""
    rng = np.random.default_rng(seed)
    clips = [f"section_00_source_train_normal_{i:04d}.wav" for i in range(n_clips)]
    return {
        machine: {
            branch: ScoreTable(
                clips, ["source"] * n_clips, [0] * n_clips, np.median(table.score) * rng.lognormal(0, 0.2, n_clips)
            )
            for branch, table in of_machine.items()
        }
        for machine, of_machine in tables.items()
    }


@pytest.fixture(scope="module")
def normal(tables):
    return normals_of(tables)


def plain_z(of_machine, normal, branches):
    """Equal weights of (a - mean n) / std n, clip by clip in pure Python: clip -> score."""
    fused = {}
    for branch in branches:
        n = normal[branch].score.tolist()
        mean = math.fsum(n) / len(n)
        deviation = math.sqrt(math.fsum((a - mean) ** 2 for a in n) / len(n))
        table = of_machine[branch]
        for clip, a in zip(table.clip.tolist(), table.score.tolist(), strict=True):
            fused[clip] = fused.get(clip, 0.0) + (a - mean) / deviation / len(branches)
    return fused


# ---- z over a machine's own normal clips -----------------------------------------------------------------------------


def test_equal_weights_of_z_are_the_plain_formula(tables, normal):
    fusion = label_free_fusion(BRANCHES)
    assert (fusion.machines, fusion.search, fusion.calibrated_by) == ((), "none", "normal")
    for machine in MACHINES[:2]:
        found = fusion.apply(tables[machine], machine, normal[machine])
        wanted = plain_z(tables[machine], normal[machine], BRANCHES)
        assert found.score == pytest.approx([wanted[clip] for clip in found.clip.tolist()], rel=1e-11)


def test_it_is_what_every_fit_without_a_search_gives(tables, normal):
    """Whatever the machines, the labels or the protocol: nothing is taken from them."""
    fusion = label_free_fusion(THREE)
    flipped = {m: {b: replace(t, anomaly=1 - t.anomaly) for b, t in of.items()} for m, of in tables.items()}
    some = {machine: tables[machine] for machine in MACHINES[:2]}
    for given in (tables, flipped, some):
        assert fit_fusion(given, THREE, search="none", normal=normal) == fusion
    weights = {"ae_mahalanobis": 0.5, "ae_mse": 0.25, "alignment": 0.25}
    given = fit_fusion(tables, THREE, weights=weights, calibration="normal", normal=normal)
    assert given == label_free_fusion(THREE, weights) and given.weights == weights
    crossed = cross_fit(tables, THREE, search="none", normal=normal)
    for machine, fold in crossed.folds.items():
        assert fold.table.score.tobytes() == fusion.apply(tables[machine], machine, normal[machine]).score.tobytes()


@pytest.mark.parametrize("change", ["fewer", "more", "other scores", "other order", "labels flipped", "unlabelled"])
def test_a_clip_keeps_its_bytes_in_any_company(tables, normal, change):
    """Test clips that come, go or change, their order and their labels move no other clip's fused score."""
    machine, kept = "fan", np.arange(0, 200, 7)
    fusion = label_free_fusion(BRANCHES)
    before = fusion.apply(tables[machine], machine, normal[machine])
    rng = np.random.default_rng(0)

    def changed(table):
        others = np.setdiff1d(np.arange(200), kept)
        if change == "fewer":
            return rows_of(table, kept)
        if change == "other scores":
            score = table.score.copy()
            score[others] = rng.normal(1e6, 1e5, len(others))
            return replace(table, score=score)
        if change == "more":
            columns = {name: np.tile(column, 2) for name, column in vars(table).items()}
            columns["clip"] = np.concatenate([table.clip, np.strings.add("new_", table.clip)])
            return ScoreTable(**columns)
        if change == "other order":
            return {name: column[::-1] for name, column in vars(table).items()}
        return replace(table, anomaly=1 - table.anomaly if change == "labels flipped" else np.full(200, np.nan))

    after = fusion.apply({b: changed(t) for b, t in tables[machine].items()}, machine, normal[machine])
    scores = dict(zip(after.clip.tolist(), after.score, strict=True))
    for clip, score in zip(before.clip[kept].tolist(), before.score[kept], strict=True):
        assert scores[clip].tobytes() == score.tobytes()


def test_other_machines_and_their_normals_change_nothing(tables, normal):
    spoilt = {m: {b: replace(t, score=-3 * t.score) for b, t in of.items()} for m, of in normal.items() if m != "fan"}
    before = cross_fit(tables, THREE, search="none", normal=normal).folds["fan"].table.score
    after = cross_fit(tables, THREE, search="none", normal={**normal, **spoilt}).folds["fan"].table.score
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("scores", [[], [3.0], [2.0] * 9, [0.1] * 7])
def test_normal_scores_without_spread_are_not_divided_by(tables, normal, scores, caplog):
    scale = NormalScale.fit(scores)
    mean = scores[0] if scores else 0.0
    assert (scale.mean, scale.deviation, scale.spread) == (pytest.approx(mean), 1.0, False)
    assert scale([mean, mean + 2]) == pytest.approx([0, 2], abs=1e-12) and "not divided" in scale.note
    few = {f"{i}.wav": score for i, score in enumerate(scores)}
    table = ScoreTable(list(few), ["source"] * len(few), [0] * len(few), list(few.values()))
    with caplog.at_level(logging.WARNING):
        fused = label_free_fusion(THREE).apply(tables["fan"], "fan", {**normal["fan"], "ae_mse": table})
    assert np.isfinite(fused.score).all() and "fan, ae_mse: no standard deviation" in caplog.text
    assert NormalScale.fit([1.0, 3.0]) == NormalScale(2.0, 1.0, 2, True) and not NormalScale.fit([1.0, 3.0]).note


# ---- searches on z ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_searched_weights_come_from_machines_on_their_own_scale(tables, normal, search):
    """As if every table had been z-scored first; the held-out machine's normals change its scores, not its weights."""
    fold = cross_fit(tables, THREE, 0.25, search=search, calibration="normal", normal=normal).folds["fan"]
    assert fold.calibration == {} and fold.fusion.calibrated_by == "normal"
    z = {
        m: {b: replace(t, score=NormalScale.fit(normal[m][b].score)(t.score)) for b, t in of.items()}
        for m, of in tables.items()
        if m != "fan"
    }
    best = fold.fusion.selection_score
    figures = []
    for of_machine in z.values():
        score = sum(weight * of_machine[branch].score for branch, weight in fold.weights.items())
        figures.append(replace(of_machine["ae_mse"], score=score).metrics())
    assert official_score(figures) == pytest.approx(best, rel=0, abs=1e-9)
    if search == "grid":
        for corner in THREE:
            assert official_score([of[corner].metrics() for of in z.values()]) <= best + 1e-12
    moved = {**normal, "fan": {b: replace(t, score=t.score + 1) for b, t in normal["fan"].items()}}
    other = cross_fit(tables, THREE, 0.25, search=search, calibration="normal", normal=moved).folds["fan"]
    assert other.fusion == fold.fusion and other.table.score.tobytes() != fold.table.score.tobytes()


def test_held_out_normals_belong_to_the_held_out_tables(tables, normal):
    moved = {m: {b: replace(t, score=2 * t.score) for b, t in of.items()} for m, of in normal.items()}
    plain = cross_fit(tables, THREE, 0.5, calibration="normal", normal=normal)
    crossed = cross_fit(tables, THREE, 0.5, calibration="normal", normal=normal, held_out_normal=moved)
    for machine, fold in crossed.folds.items():
        assert fold.fusion == plain.folds[machine].fusion
        assert fold.table.score.tobytes() == fold.fusion.apply(tables[machine], machine, moved[machine]).score.tobytes()


# ---- equal weights beside searched ones, and shrinkage ---------------------------------------------------------------


def test_equal_weights_are_ahead_of_searched_ones_on_the_real_set(tables):
    """Weights that six machines choose lose on the seventh: 0.5592; equal ones with the same sigmoids have 0.5788."""
    equal = cross_fit(tables, THREE, search="none", calibration="selection")
    searched = cross_fit(tables, THREE)
    assert equal.score == pytest.approx(0.5788, abs=5e-5) and searched.score == pytest.approx(0.5592, abs=5e-5)
    for machine, fold in equal.folds.items():
        assert fold.calibration == searched.folds[machine].calibration
        assert list(fold.weights.values()) == [1 / 3] * 3 and fold.fusion.step is None
    chosen = cross_fit(tables, THREE, shrink=SHARES)
    assert {fold.fusion.shrinkage.share for fold in chosen.folds.values()} == {1.0}
    assert chosen.score == pytest.approx(equal.score, rel=0, abs=1e-12)


@pytest.mark.parametrize("share", [0.3, 1])
def test_a_given_share_moves_the_grids_weights_towards_equal_ones(tables, share):
    some = {machine: tables[machine] for machine in MACHINES[:3]}
    grid, fusion = fit_fusion(some, THREE), fit_fusion(some, THREE, shrink=share)
    for branch in THREE:
        assert fusion.weights[branch] == pytest.approx((1 - share) * grid.weights[branch] + share / 3, abs=1e-15)
    assert fusion.shrinkage.grid == grid.weights and fusion.shrinkage.omega == {}
    assert fusion.calibration == grid.calibration and fusion.selection_score <= grid.selection_score + 1e-12
    assert fit_fusion(some, THREE, shrink=0) == grid and grid.shrinkage is None


def plain_share(tables, branches, shares, step, fold_of):
    """Omega of each share by an inner cross-fit with the public function alone."""
    omega = {}
    for share in shares:
        metrics = []
        for fold in sorted(set(fold_of.values())):
            others = {m: of for m, of in tables.items() if fold_of[m] != fold}
            fusion = fit_fusion(others, branches, step, shrink=share)
            metrics += [fusion.apply(tables[m]).metrics() for m in tables if fold_of[m] == fold]
        omega[share] = official_score(metrics)
    return omega


@pytest.mark.parametrize("grouped", [False, True])
def test_the_share_of_highest_omega_on_left_out_machines_is_chosen(tables, grouped):
    some = {machine: tables[machine] for machine in MACHINES[:5]}
    folds = {machine: f"fold{place // 2}" if grouped else machine for place, machine in enumerate(some)}
    fusion = fit_fusion(some, BRANCHES, 0.25, shrink=SHARES, folds=folds)
    wanted = plain_share(some, BRANCHES, SHARES, 0.25, folds)
    assert fusion.shrinkage.omega == pytest.approx(wanted, rel=0, abs=1e-12)
    assert wanted[fusion.shrinkage.share] >= max(wanted.values()) - 1e-12
    assert fusion.weights == fit_fusion(some, BRANCHES, 0.25, shrink=fusion.shrinkage.share).weights


def test_of_equal_shares_the_larger_is_taken_and_with_one_fold_the_largest(tables, caplog):
    """Twins of one branch: any weights give one ranking."""
    same = {m: {"a": of["alignment"], "b": of["alignment"]} for m, of in tables.items()}
    assert fit_fusion(same, ["a", "b"], 0.5, shrink=[0, 0.4, 0.2]).shrinkage.share == 0.4
    some = {machine: tables[machine] for machine in MACHINES[:2]}
    for given, folds in (({"fan": tables["fan"]}, None), (some, dict.fromkeys(some, "together"))):
        with caplog.at_level(logging.WARNING):
            found = fit_fusion(given, THREE, shrink=[0, 0.5], folds=folds).shrinkage
        assert (found.share, found.note, found.omega) == (0.5, TOO_FEW, {}) and TOO_FEW in caplog.text


def test_the_share_is_chosen_without_the_held_out_machine(tables):
    """Neither its labels nor its scores reach the choice; on the other machines' folds they do."""
    changed = {b: replace(t, anomaly=1 - t.anomaly, score=-9 * t.score) for b, t in tables["fan"].items()}
    before = cross_fit(tables, THREE, 0.25, shrink=SHARES).folds
    after = cross_fit({**tables, "fan": changed}, THREE, 0.25, shrink=SHARES).folds
    assert after["fan"].fusion == before["fan"].fusion
    assert after["ToyCar"].fusion.shrinkage.omega != before["ToyCar"].fusion.shrinkage.omega


def test_a_stored_fold_has_the_share_and_who_calibrates(tables, normal, tmp_path):
    system = {"branches": THREE, "step": 0.5, "search": "grid", "calibration": "normal", "shrink": SHARES}
    fold = fit_fold(tables, system, {b: [b] for b in THREE}, "cross_fitted", normal=normal)
    write_fold(tmp_path / "fold.json", fold, suite="dev", system="three", held_out="none")
    assert read_fold(tmp_path / "fold.json") == fold and fold.fusion.shrinkage.omega
    plain = fit_fold(tables, {"branches": THREE, "step": 0.5, "search": "grid"}, {b: [b] for b in THREE})
    write_fold(tmp_path / "plain.json", plain, suite="dev", system="three", held_out="none")
    text = (tmp_path / "plain.json").read_text(encoding="utf-8")
    assert "shrink" not in text and "calibrated_by" not in text


# ---- requests --------------------------------------------------------------------------------------------------------


def test_defaults_in_python_are_those_of_the_configuration(tables, normal):
    for search in ("grid", "linear_program", "none"):
        settings = filled({"branches": THREE, "search": search}, definition("system"))
        fusion = fit_fusion({"fan": tables["fan"]}, THREE, search=search, normal=normal)
        assert (fusion.calibrated_by, settings["shrink"]) == (settings["calibration"], 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"search": "none"}, "fan: no scores of normal training clips of ae_mahalanobis, ae_mse, alignment"),
        ({"calibration": "normal", "normal": {"fan": {"ae_mse": []}}}, "clips of ae_mahalanobis, alignment"),
        ({"calibration": "norml"}, "there is no calibration 'norml': write normal"),
        ({"search": "gird"}, "there is no search 'gird' for weights: write grid"),
        ({"search": "linear_program", "shrink": 0.5}, "shrink is of the grid's weights"),
        ({"shrink": [0, 1.5]}, "write a number from 0 to 1"),
        ({"shrink": []}, "write a number from 0 to 1"),
    ],
)
def test_impossible_requests_are_one_clear_line(tables, arguments, message):
    with one_line_error(message):
        fit_fusion({"fan": tables["fan"]}, THREE, **arguments)


def test_anomalies_do_not_calibrate(tables, normal):
    odd = replace(normal["fan"]["ae_mse"], anomaly=np.ones(50))
    with one_line_error("fan/ae_mse: only normal training clips calibrate"):
        label_free_fusion(THREE).apply(tables["fan"], "fan", {**normal["fan"], "ae_mse": odd})
