"""Decision thresholds: equal to the baseline's gamma fit where it works, and said where it does not."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from one_line import one_line_error
from scipy.stats import gamma

from workflow_lib.csv_rows import columns
from workflow_lib.evaluation.evidence_rows import ThresholdRow
from workflow_lib.evaluation.threshold_table import machine_threshold, write_thresholds
from workflow_lib.fusion.candidate_choice import Choice
from workflow_lib.fusion.cross_fit import Fusion, RobustSigmoid
from workflow_lib.fusion.fold_file import StoredFold, read_fold, write_fold
from workflow_lib.scoring.score_file import read_normal_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.thresholds import decision_threshold

BASELINE = Path(__file__).parents[2] / "golden" / "baseline_ae"
GAMMA = {"method": "gamma", "quantile": 0.9}
QUANTILE = {"method": "quantile", "quantile": 0.9}


def drawn(seed=0, size=1000):
    return gamma.rvs(3, 2, 1, size=size, random_state=seed)


@pytest.mark.parametrize("score", ["mse", "mahala"])
@pytest.mark.parametrize("machine", ["fan", "ToyCar"])
def test_gamma_equals_the_official_threshold(machine, score):
    """The golden data's own fits, on the batch values that the baseline takes for normal scores."""
    golden = np.load(BASELINE / machine / "golden.npz")
    threshold = decision_threshold(golden[f"ypred_{score}"])
    assert threshold.value == pytest.approx(float(golden[f"threshold_{score}"]), rel=1e-9)


def test_both_methods_find_the_quantile_and_a_decision_is_strictly_above():
    assert decision_threshold(drawn()).value == pytest.approx(gamma.ppf(0.9, 3, 2, 1), rel=0.05)
    threshold = decision_threshold([1, 2, 3, 4, 5], "quantile", 0.75)
    assert threshold.value == 4 and decision_threshold([7.0], "quantile").value == 7
    assert threshold.decide([3.9, 4.0, np.nextafter(4, 5)]).tolist() == [0, 0, 1]


FAILING = {
    "equal": (np.full(50, 2.0), "all normal clips have the same score"),
    "few": (drawn(size=9), "9 normal clips, it needs 10"),
    "saturated": (np.clip(np.random.default_rng(0).normal(0.8, 0.3, 1000), 0, 1), "instead of 10.0%"),
    "two lumps": (np.concatenate([drawn(), np.full(10, 500.0)]), "of the normal clips instead of 10.0%"),
    "few and saturated": (np.clip(np.random.default_rng(0).normal(0.9, 0.2, 90), 0, 1), "far from all normal scores"),
    "two values": (np.random.default_rng(0).integers(0, 2, 90).astype(float), "flags none of 90"),
    "two lumps of few": (np.repeat([0.0, 5.0], 50) + 0.1 * np.random.default_rng(0).normal(size=100), "flags none"),
    "skewed the other way": (-np.random.default_rng(0).lognormal(0, 1, 100), "instead of 10.0%"),
    "steps": (np.random.default_rng(0).poisson(3, 1000).astype(float), "Kolmogorov-Smirnov distance"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_gamma_fit_that_fails_is_said_and_not_replaced(case):
    scores, why = FAILING[case]
    threshold = decision_threshold(scores)
    assert math.isnan(threshold.value)
    assert threshold.note.startswith("gamma fit failed: ") and why in threshold.note
    with one_line_error("gamma fit failed"):
        threshold.decide([1.0])
    by_quantile = decision_threshold(scores, "quantile")
    assert math.isfinite(by_quantile.value)
    assert (by_quantile.note == "") == bool(by_quantile.decide(scores).any())


@pytest.mark.parametrize("size", [30, 100, 300])
@pytest.mark.parametrize("seed", range(4))
def test_sound_fits_of_few_clips_pass(size, seed):
    scores = gamma.rvs(8, 2, 1, size=size, random_state=seed)
    threshold = decision_threshold(scores)
    assert threshold.note == "" and 0 < threshold.decide(scores).mean() < 0.25


def test_a_quantile_that_flags_no_normal_clip_is_kept_and_said(tmp_path):
    """A clip at the ceiling is not above it."""
    scores = np.minimum(np.linspace(0.5, 1.2, 50), 1.0)
    threshold = decision_threshold(scores, "quantile")
    assert threshold.value == 1.0
    assert threshold.note == "flags none of the 50 normal clips: 15 of them tie at the highest score, 1"
    evaluation = evaluated("mse", {"fan": normal_file(tmp_path / "tied.csv", scores)})
    (written,) = written_rows(tmp_path, [evaluation], QUANTILE, {"models": {}, "branches": {"mse": {"scores": "f"}}})
    assert (written["threshold"], written["note"]) == ("1.0", threshold.note)


@pytest.mark.parametrize("method", ["gamma", "quantile"])
def test_scores_that_are_no_finite_numbers_are_refused_and_none_give_no_threshold(method):
    for wrong in (math.nan, math.inf):
        with one_line_error("2 of 22 normal scores are no finite numbers"):
            decision_threshold([wrong, wrong, *range(20)], method)
    assert decision_threshold([], method).note == "no normal scores"


@pytest.mark.parametrize(("method", "quantile", "fault"), [("mean", 0.9, "'mean' is unknown"), ("gamma", 1.0, "1.0")])
def test_unknown_settings_are_refused(method, quantile, fault):
    with one_line_error(fault):
        decision_threshold([1.0, 2.0], method, quantile)


# ---- tables ----------------------------------------------------------------------------------------------------------


def normal_file(path, score):
    names = [f"section_00_source_train_normal_{i:04d}.wav" for i in range(len(score))]
    write_scores(path, ScoreTable(names, ["source"] * len(score), [0] * len(score), list(score)))
    return str(path)


def normal_files(folder, **scores):
    return {branch: normal_file(folder / f"{branch}.csv", of_branch) for branch, of_branch in scores.items()}


def evaluated(name, tables, seed=""):
    """A branch as `write_thresholds` takes it; `tables`: machine -> its normal scores."""
    row = {"suite": "s", "protocol": "complete_dev", "kind": "branch", "seed": seed, "untrained": False, "folds": {}}
    return {**row, "name": name, "normal": {machine: {name: path} for machine, path in tables.items()}}


def written_rows(folder, evaluations, settings, config):
    write_thresholds(folder / "thresholds.csv", evaluations, settings, config)
    with (folder / "thresholds.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fused_threshold(folder, files, b="b"):
    """By a fold as a job reads it; `files`: branch -> normal scores, `b`: the candidate that stands for branch b."""
    calibration = {"a": RobustSigmoid(3.0, 2.0), "b": RobustSigmoid(0.5, 0.25)}
    fusion = Fusion(("a", "b"), {"a": 0.25, "b": 0.75}, calibration, 0.7, 0.25, ("fan",))
    write_fold(folder / "fold.json", StoredFold(fusion, {"a": Choice("a", {}), "b": Choice(b, {})}), suite="s")
    return machine_threshold(files, read_fold(folder / "fold.json"), "fan", QUANTILE)


def test_a_systems_threshold_uses_the_calibration_and_weights_of_its_fold(tmp_path):
    rng = np.random.default_rng(1)
    a, b = rng.normal(3, 2, 200), rng.normal(0.5, 0.2, 200)
    threshold = fused_threshold(tmp_path, normal_files(tmp_path, a=a, b=b))
    fused = 0.25 / (1 + np.exp(-(a - 3) / 2)) + 0.75 / (1 + np.exp(-(b - 0.5) / 0.25))
    assert threshold.value == pytest.approx(np.quantile(fused, 0.9), abs=1e-12)
    assert threshold.normal_clips == 200


def test_a_nested_fold_uses_the_normal_scores_of_the_chosen_candidate(tmp_path):
    rng = np.random.default_rng(2)
    files = normal_files(tmp_path, a=rng.normal(3, 2, 50), b=rng.normal(size=50), other=[])
    plain = fused_threshold(tmp_path, files)
    nested = {"a": files["a"], "b": files["other"], "b.k-2_2": files["b"]}
    assert fused_threshold(tmp_path, nested, b="b.k-2_2") == plain


def test_a_branch_without_normal_scores_is_named(tmp_path):
    threshold = fused_threshold(tmp_path, normal_files(tmp_path, a=[1.0], b=[]))
    assert (threshold.note, threshold.normal_clips) == ("no normal scores of branch b", 0)


def test_normal_clips_that_only_one_branch_scores_are_an_error(tmp_path):
    files = normal_files(tmp_path, a=[1.0, 2.0], b=[1.0])
    with one_line_error("normal scores of fan: branches a and b must score the same clips"):
        fused_threshold(tmp_path, files)


def test_the_table_has_a_row_for_each_machine_and_says_what_failed(tmp_path):
    good, equal = normal_file(tmp_path / "good.csv", drawn()), normal_file(tmp_path / "equal.csv", np.ones(40))
    evaluations = [evaluated("mse", {"fan": good, "valve": equal}), evaluated("made", {"fan": good}, seed="7")]
    config = {"models": {"ae": {"kind": "autoencoder"}}, "branches": {"mse": {"model": "ae"}, "made": {"scores": "f"}}}
    rows = written_rows(tmp_path, evaluations, GAMMA, config)
    assert list(rows[0]) == list(columns(ThresholdRow))
    assert [(r["name"], r["machine"], r["seed"], r["normal_clips"]) for r in rows] == [
        ("made", "fan", "7", "1000"),
        ("mse", "fan", "", "1000"),
        ("mse", "valve", "", "40"),
    ]
    assert float(rows[0]["threshold"]) == decision_threshold(drawn()).value and rows[0]["note"] == ""
    assert rows[1]["threshold"] and "trained on" in rows[1]["note"]
    assert rows[2]["threshold"] == "" and rows[2]["note"].startswith("gamma fit failed")


def test_a_table_of_normal_scores_may_be_empty_but_holds_no_anomaly(tmp_path):
    empty = normal_file(tmp_path / "empty.csv", [])
    assert Path(empty).read_text(encoding="utf-8") == "clip,domain,anomaly,score\n"
    assert len(read_normal_scores(empty).clip) == len(read_normal_scores(empty).score) == 0
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("clip,domain,anomaly,score\na.wav,source,1,0.5\n", encoding="utf-8")
    with one_line_error(r"only normal training clips .* remove a\.wav \(labelled an anomaly\)"):
        read_normal_scores(wrong)
    rows = [f"section_00_source_{part}_000{i}_x_1.wav,,,0.5" for i, part in enumerate(("test_normal", "train_anomaly"))]
    rows += ["b.wav,source,,1", "section_00_0003.WAV,,,1", "tested/contest.wav,,0,1"]
    wrong.write_text("\n".join(["clip,domain,anomaly,score", *rows]) + "\n", encoding="utf-8")
    with one_line_error() as caught:
        read_normal_scores(wrong, ["section_00_0003.wav"])
    assert str(caught.value).endswith(
        "remove section_00_0003.WAV (a test clip of this machine), section_00_source_test_normal_0000_x_1.wav "
        "(its name says test), section_00_source_train_anomaly_0001_x_1.wav (its name says anomaly)"
    )
    wrong.write_text("clip,score\n", encoding="utf-8")
    with one_line_error("no column domain, anomaly"):
        read_normal_scores(wrong)
