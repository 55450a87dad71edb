"""The bootstrap equals the plain computation on resampled clips, pairs results, and does not depend on any order."""

import math
from dataclasses import replace

import numpy as np
import pytest
from real_scores import branch_results, real_tables

from workflow_lib.errors import UserError
from workflow_lib.evaluation.bootstrap import Resampling, compare, draw_counts, resample
from workflow_lib.metrics import column_metrics, official_score, resampled_metrics
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_table import ScoreTable

FEW = Resampling(replicates=60, level=0.9, seed=7)


def drawn_table(seed, n_clips=40, values=None):
    """A labelled table; `values`: how many different scores there are, for ties."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n_clips) if values is None else rng.integers(0, values, n_clips) * 0.1
    label = np.arange(n_clips) % 2
    domain = np.where(np.arange(n_clips) % 3, "source", "target")
    return ScoreTable(np.array([f"{i:03d}.wav" for i in range(n_clips)]), domain, label, score + 0.05 * label)


def drawn_result(seed, machines=("fan", "pump", "valve"), name="a", values=None, **changes):
    tables = {m: drawn_table([seed, i], values=values) for i, m in enumerate(machines)}
    facts = {"kind": "system", "name": name, "protocol": "cross_fitted", "seed": "", "tables": tables}
    return Result(**{**facts, **changes})


def repeated(counts):
    """The resampled clip list, clip by clip."""
    return [i for i, count in enumerate(counts) for _ in range(count)]


def assert_equal_to_the_repeated_clips(table, counts):
    """The figures (3, r) are those of column_metrics of the resampled lists, one resample after another."""
    lists = [repeated(row) for row in counts]
    plain = [column_metrics(table.score[c][:, None], table.anomaly[c], table.domain[c]) for c in lists]
    got = resampled_metrics(table.score, table.anomaly, table.domain, counts)
    assert got.tobytes() == np.concatenate(plain, axis=1).tobytes()


# ---- equal to the plain computation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [None, 40, 5, 2, 1])
@pytest.mark.parametrize("n_clips", [12, 40, 131])
def test_multiplicities_equal_the_repeated_clips_to_the_last_bit(values, n_clips):
    table = drawn_table(3, n_clips, values)
    assert_equal_to_the_repeated_clips(table, draw_counts(table, "fan", FEW))


def test_real_scores_equal_the_repeated_clips_to_the_last_bit():
    for machine, of_machine in real_tables(machines=("fan", "ToyCarEmu")).items():
        for table in of_machine.values():
            assert_equal_to_the_repeated_clips(table, draw_counts(table, machine, FEW))


def test_counts_that_are_not_stratified_are_right_too():
    table = drawn_table(4, 30, 6)
    assert_equal_to_the_repeated_clips(table, np.random.default_rng(1).integers(0, 4, size=(50, 30)))


def test_every_clip_once_is_the_set_itself():
    table = drawn_table(5)
    got = resampled_metrics(table.score, table.anomaly, table.domain, np.ones((1, 40), dtype=int))
    assert tuple(got[:, 0]) == table.metrics().figures


def test_omega_of_a_resample_is_the_official_score_of_its_clips():
    result = drawn_result(0, values=9)
    counts = {m: draw_counts(table, m, FEW) for m, table in result.tables.items()}
    (got,) = resample([result], FEW)
    for r in range(FEW.replicates):
        of_machines = []
        for machine, table in result.tables.items():
            clips = repeated(counts[machine][r])
            names = [f"{place}.wav" for place in range(len(clips))]
            again = ScoreTable(names, table.domain[clips], table.anomaly[clips], table.score[clips])
            of_machines.append(again.metrics())
        assert got.omega[r] == official_score(of_machines)


# ---- what is drawn ---------------------------------------------------------------------------------------------------


def test_every_domain_and_label_keeps_its_size():
    table = drawn_table(6)
    counts = draw_counts(table, "fan", FEW)
    for domain in ("source", "target"):
        for label in (0, 1):
            of_stratum = (table.domain == domain) & (table.anomaly == label)
            assert (counts[:, of_stratum].sum(axis=1) == of_stratum.sum()).all()
    assert len(np.unique(counts, axis=0)) == FEW.replicates


def test_all_clips_are_drawn_alike():
    table = drawn_table(6)
    counts = draw_counts(table, "fan", Resampling(replicates=20000))
    # A clip of a stratum of n is drawn Binomial(n, 1/n) times: mean 1, variance below 1.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=6 / math.sqrt(20000))


def test_machines_and_seeds_are_resampled_independently():
    table = drawn_table(6)
    fan, pump, other = (draw_counts(table, m, replace(FEW, seed=s)) for m, s in (("fan", 7), ("pump", 7), ("fan", 8)))
    assert (fan != pump).any() and (fan != other).any()
    assert (fan == draw_counts(table, "fan", FEW)).all()


def test_no_order_changes_anything():
    a, b = drawn_result(0), drawn_result(1, name="b")
    backwards = replace(a, tables=dict(reversed(a.tables.items())))
    first, second = resample([a, b], FEW)
    third, fourth = resample([b, backwards], FEW)
    assert first.omega.tobytes() == fourth.omega.tobytes() and second.omega.tobytes() == third.omega.tobytes()
    assert first.interval() == fourth.interval()
    assert first.minus(second) == fourth.minus(third)


def test_another_machine_changes_no_resample():
    whole = drawn_result(0)
    without = replace(whole, tables={m: t for m, t in whole.tables.items() if m != "fan"})
    for machine, table in without.tables.items():
        assert (draw_counts(table, machine, FEW) == draw_counts(whole.tables[machine], machine, FEW)).all()


# ---- intervals and differences ---------------------------------------------------------------------------------------


def test_interval_is_the_percentile_interval_around_the_observed_figure():
    result = drawn_result(2)
    (one,) = resample([result], FEW)
    found = one.interval()
    assert found.omega == result.omega
    assert [found.low, found.high] == np.quantile(one.omega, [0.05, 0.95]).tolist()
    assert found.low < found.omega < found.high


def test_a_difference_is_paired():
    a = drawn_result(2)
    # The same scores, one clip of each machine moved: in pairs, most of the noise cancels.
    moved = {m: replace(t, score=np.where(np.arange(40) == 3, -9.0, t.score)) for m, t in a.tables.items()}
    b = replace(a, name="b", tables=moved)
    first, second = resample([a, b], FEW)
    found = first.minus(second)
    assert found.difference == a.omega - b.omega
    differences = first.omega - second.omega
    assert [found.low, found.high] == np.quantile(differences, [0.05, 0.95]).tolist()
    assert found.same_sign == (np.sign(differences) == np.sign(found.difference)).mean()
    assert found.high - found.low < 0.5 * (first.interval().high - first.interval().low)
    assert compare(a, b, FEW) == found
    back = second.minus(first)
    assert (back.difference, back.same_sign) == (-found.difference, found.same_sign)


def test_equal_scores_differ_by_nothing_at_all():
    a = drawn_result(2)
    scaled = {m: replace(t, score=t.score * 3 + 1) for m, t in a.tables.items()}
    found = compare(a, replace(a, name="b", tables=scaled), FEW)
    assert (found.difference, found.low, found.high) == (0, 0, 0) and math.isnan(found.same_sign)


def test_a_sure_difference_holds_its_sign_in_every_resample():
    a = drawn_result(2)
    best = {m: replace(t, score=t.anomaly + 0.1 * t.score) for m, t in a.tables.items()}
    found = compare(replace(a, name="best", tables=best), a, FEW)
    assert found.low > 0 and found.same_sign == 1


@pytest.mark.parametrize(("sign", "omega"), [(1, 1), (-1, 0)])
def test_perfect_and_inverted_detectors_have_no_spread(sign, omega):
    tables = {m: replace(t, score=sign * t.anomaly) for m, t in drawn_result(0).tables.items()}
    (one,) = resample([drawn_result(0, tables=tables)], FEW)
    found = one.interval()
    assert (one.omega == omega).all() and (found.omega, found.low, found.high) == (omega, omega, omega)


# ---- undefined and impossible ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"anomaly": np.full(40, np.nan)},
        {"anomaly": np.zeros(40)},
        {"domain": np.full(40, "source")},
        {"domain": np.where(np.arange(40) == 0, "", "source")},
    ],
)
def test_undefined_figures_have_no_interval(columns):
    a = drawn_result(0)
    tables = {**a.tables, "fan": replace(a.tables["fan"], **columns)}
    one = resample([replace(a, tables=tables)], FEW)[0]
    found = one.interval()
    assert all(math.isnan(value) for value in (found.omega, found.low, found.high))
    difference = one.minus(one)
    assert all(math.isnan(getattr(difference, name)) for name in ("difference", "low", "high", "same_sign"))


def test_domains_of_anomalies_may_be_unknown():
    a = drawn_result(0)
    table = a.tables["fan"]
    blank = replace(table, domain=np.where(table.anomaly == 1, "", table.domain))
    found = resample([replace(a, tables={**a.tables, "fan": blank})], FEW)[0].interval()
    assert found.omega == a.omega and found.low < found.omega < found.high


def changed(**columns):
    a = drawn_result(1, name="b")
    return replace(a, tables={**a.tables, "pump": replace(a.tables["pump"], **columns)})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (drawn_result(1, name="b", protocol="complete_dev"), "one protocol, not complete_dev and cross_fitted"),
        (drawn_result(1, ("fan", "pump"), "b"), "system a .* and system b .* only one of them has machine valve"),
        (changed(clip=[f"{i:03d}.wav" for i in range(1, 41)]), "on pump, only one of them has clip 000.wav, 040.wav"),
        (changed(anomaly=np.arange(40) % 3 == 0), "on pump, their domains or labels differ"),
        (changed(anomaly=np.full(40, np.nan)), "on pump, their domains or labels differ"),
        (changed(domain=["source"] * 40), "on pump, their domains or labels differ"),
    ],
)
def test_what_cannot_be_paired_is_one_clear_line(other, message):
    with pytest.raises(UserError):
        compare(other, drawn_result(0), FEW)
    with pytest.raises(UserError, match=message) as caught:
        compare(drawn_result(0), other, FEW)
    assert "\n" not in str(caught.value)


def test_resamples_of_two_settings_are_not_compared():
    a, b = drawn_result(0), drawn_result(1, name="b")
    with pytest.raises(UserError, match="resampled differently"):
        resample([a], FEW)[0].minus(resample([b], replace(FEW, seed=8))[0])


@pytest.mark.parametrize("changes", [{"replicates": 0}, {"level": 1.0}, {"level": 0}, {"seed": -1}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(UserError, match="write at least one replicate"):
        Resampling(**changes)


@pytest.mark.parametrize("counts", [np.ones((2, 39), int), np.ones(40, int), np.full((1, 40), -1), np.ones((1, 40))])
def test_impossible_counts_are_refused(counts):
    table = drawn_table(0)
    with pytest.raises(UserError, match="a row of 40"):
        resampled_metrics(table.score, table.anomaly, table.domain, counts)


def test_the_interval_covers_what_it_says():
    # Scores of a known model: the true AUC is known, and about 95 of 100 intervals of it must hold it.
    rng = np.random.default_rng(11)
    truth, held = 0.7602, 0  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2))
    for trial in range(100):
        label = np.repeat([0, 1], 100)
        score = rng.normal(size=200) + label
        table = ScoreTable([f"{i}" for i in range(200)], ["source"] * 200, label, score)
        counts = draw_counts(table, f"m{trial}", Resampling(replicates=400))
        auc = resampled_metrics(table.score, table.anomaly, table.domain, counts)[0]
        low, high = np.quantile(auc, [0.025, 0.975])
        held += low <= truth <= high
    assert 88 <= held <= 99


def test_results_of_real_branches_have_plausible_intervals():
    for one in resample(branch_results(real_tables()), Resampling(replicates=300)):
        found = one.interval()
        assert found.low < found.omega < found.high and 0.01 < found.high - found.low < 0.1
