"""The official figures agree with scikit-learn, ties and corners included, and bad input is one clear line."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from workflow_lib.errors import UserError
from workflow_lib.metrics import MachineMetrics, column_metrics, machine_metrics, official_score


def random_clips(seed, n_clips, levels):
    """Scores with `levels` distinct values (many ties where few), labels and domains."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, n_clips) / 7 - 3
    return score, rng.integers(0, 2, n_clips), rng.choice(["source", "target"], n_clips)


def sklearn_figures(score, anomaly, domain):
    """Source AUC, target AUC and pAUC by scikit-learn."""
    aucs = []
    for name in ("source", "target"):
        chosen = (domain == name) | (anomaly == 1)
        aucs.append(roc_auc_score(anomaly[chosen], score[chosen]))
    return (*aucs, roc_auc_score(anomaly, score, max_fpr=0.1))


@pytest.mark.parametrize("levels", [2, 5, 30, 10**9])
@pytest.mark.parametrize("n_clips", [12, 57, 200])
def test_figures_equal_scikit_learn_with_ties(n_clips, levels):
    for seed in range(20):
        score, anomaly, domain = random_clips(seed, n_clips, levels)
        anomaly[:4], domain[:4] = [1, 0, 0, 1], ["source", "source", "target", "target"]
        expected = sklearn_figures(score, anomaly, domain)
        assert machine_metrics(score, anomaly, domain).figures == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("max_fpr", [0.03, 0.25, 1.0])
def test_partial_auc_equals_scikit_learn_at_other_limits(max_fpr):
    for seed in range(20):
        score, anomaly, domain = random_clips(seed, 83, 12)
        pauc = column_metrics(score[:, None], anomaly, domain, max_fpr)[2, 0]
        assert pauc == pytest.approx(roc_auc_score(anomaly, score, max_fpr=max_fpr), rel=0, abs=1e-12)


def test_many_columns_give_the_figures_of_each_column_alone():
    rng = np.random.default_rng(3)
    _, anomaly, domain = random_clips(3, 90, 2)
    scores = np.concatenate([rng.normal(size=(90, 400)), rng.integers(0, 6, (90, 100))], axis=1)
    columns = column_metrics(scores, anomaly, domain)
    alone = np.array([machine_metrics(column, anomaly, domain).figures for column in scores.T])
    assert np.array_equal(columns.T, alone)


@pytest.mark.parametrize("n_clips", [40, 1023, 1024, 1500])
@pytest.mark.parametrize("kind", ["neighbours", "zeros", "signs", "ties and neighbours"])
def test_scores_that_differ_in_their_last_bit_are_told_apart(kind, n_clips):
    score, anomaly, domain = random_clips(5, n_clips, 10**9)
    anomaly[:4], domain[:4] = [1, 0, 0, 1], ["source", "source", "target", "target"]
    rng = np.random.default_rng(0)
    if kind == "zeros":
        score = np.where(rng.random(n_clips) < 0.4, rng.choice([0.0, -0.0], n_clips), score - score.mean())
    elif kind == "signs":
        score = score * rng.choice([1e-300, -1e300, 1.0], n_clips)
    else:
        steps = rng.integers(0, 3 if kind == "neighbours" else 7, n_clips)
        score = (1.0 + steps * np.finfo(float).eps) * rng.choice([1.0, -1.0, 3.0], n_clips)
    expected = sklearn_figures(np.unique(score, return_inverse=True)[1].astype(float), anomaly, domain)
    assert machine_metrics(score, anomaly, domain).figures == pytest.approx(expected, rel=0, abs=1e-12)


def test_source_auc_takes_the_anomalies_of_both_domains():
    # the source's own anomaly is below its normal, the target's anomaly above it
    metrics = machine_metrics([1.0, 0.0, 2.0, 3.0], [0, 1, 1, 0], ["source", "source", "target", "target"])
    assert metrics.source_auc == 0.5
    assert metrics.target_auc == 0.0


def test_a_perfect_ranking_is_one_and_all_ties_are_a_half():
    anomaly, domain = np.arange(40) % 2, np.repeat(["source", "target"], 20)
    assert machine_metrics(anomaly, anomaly, domain) == MachineMetrics(1.0, 1.0, 1.0)
    assert machine_metrics(np.zeros(40), anomaly, domain).figures == pytest.approx((0.5, 0.5, 0.5))


def test_figures_do_not_depend_on_the_order_of_the_clips():
    score, anomaly, domain = random_clips(5, 120, 40)
    order = np.random.default_rng(0).permutation(120)
    assert machine_metrics(score, anomaly, domain) == machine_metrics(score[order], anomaly[order], domain[order])


def test_what_the_clips_do_not_define_is_nan():
    no_target_normals = machine_metrics([1, 2, 3], [0, 1, 1], ["source", "source", "target"])
    assert no_target_normals.source_auc == 1 and no_target_normals.pauc == 1
    assert math.isnan(no_target_normals.target_auc) and math.isnan(no_target_normals.harmonic_mean)
    assert all(map(math.isnan, machine_metrics([1, 2], [0, 0], ["source", "target"]).figures))
    assert all(map(math.isnan, machine_metrics([1, 2], [1, 1], ["source", "target"]).figures))


def test_official_score_is_the_harmonic_mean_over_all_figures():
    metrics = [MachineMetrics(0.5, 0.8, 0.6), MachineMetrics(0.9, 0.4, 0.55)]
    figures = [figure for machine in metrics for figure in machine.figures]
    assert official_score(metrics) == pytest.approx(6 / sum(1 / figure for figure in figures), rel=1e-15)
    assert metrics[0].harmonic_mean == pytest.approx(3 / (1 / 0.5 + 1 / 0.8 + 1 / 0.6), rel=1e-15)


def test_official_score_with_a_zero_figure_is_zero_and_with_an_undefined_one_nan():
    assert official_score([MachineMetrics(0.0, 0.8, 0.6)]) == 0.0
    assert math.isnan(official_score([MachineMetrics(math.nan, 0.8, 0.6), MachineMetrics(0.5, 0.5, 0.5)]))


@pytest.mark.parametrize(
    ("score", "anomaly", "domain", "message"),
    [
        ([1, 2, 3], [0, 1], ["source"] * 3, "3 scores, anomaly labels of shape"),
        ([1, 2], [0, 1], ["source"], "domains of shape"),
        ([[1, 2]], [0, 1], ["source"] * 2, "one score for each clip"),
        ([], [], [], "at least one test clip"),
        ([1, float("nan")], [0, 1], ["source"] * 2, "score of clip 1"),
        ([1, float("inf")], [0, 1], ["source"] * 2, "not a finite number"),
        ([1, 2], [0, 2], ["source"] * 2, "anomaly label of clip 1"),
        ([1, 2], [0, None], ["source"] * 2, "expected 0"),
        ([1, 2], [0, 1], ["source", None], "domain of clip 1"),
        ([1, 2], [0, 1], ["source", "elsewhere"], "expected source or target"),
        (["high", 2], [0, 1], ["source"] * 2, "scores must be numbers"),
    ],
)
def test_bad_input_is_one_clear_line(score, anomaly, domain, message):
    with pytest.raises(UserError, match=message) as caught:
        machine_metrics(score, anomaly, domain)
    assert "\n" not in str(caught.value)


def test_no_machine_and_an_impossible_limit_are_errors():
    with pytest.raises(UserError, match="at least one machine"):
        official_score([])
    with pytest.raises(UserError, match="max_fpr is 0"):
        column_metrics(np.zeros((2, 1)), [0, 1], ["source", "source"], max_fpr=0)
    with pytest.raises(UserError, match="score columns"):
        column_metrics(np.zeros(2), [0, 1], ["source", "source"])
