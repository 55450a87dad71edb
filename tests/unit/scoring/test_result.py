"""Every result carries its protocol, protocols do not mix, and seeds are summarised within one entry and protocol."""

import math
import statistics
from dataclasses import replace

import pytest
from one_line import one_line_error
from real_scores import BRANCHES, MACHINES, branch_results, real_tables

from workflow_lib.evaluation.bootstrap import Resampling, compare, resample
from workflow_lib.evaluation.seeds import omega_over_seeds, over_seeds
from workflow_lib.fusion.cross_fit import cross_fit, fit_fusion
from workflow_lib.metrics import official_score
from workflow_lib.report.page import glossary
from workflow_lib.scoring.result import PROTOCOLS, one_protocol

PAIR = BRANCHES[1:3]


@pytest.fixture(scope="module")
def tables():
    return real_tables(PAIR, MACHINES[:3])


# ---- protocols -------------------------------------------------------------------------------------------------------


def test_the_page_explains_every_protocol():
    assert PROTOCOLS == ("complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo") == tuple(glossary.PROTOCOLS)
    assert all(len(term.meaning) > 20 for term in glossary.PROTOCOLS.values())


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        (["cross_fitted", "complete_dev", "cross_fitted"], "holds one protocol, not complete_dev and cross_fitted"),
        ([], "not none"),
        (["cross_fited"], "there is no protocol 'cross_fited': write cross_fitted"),
    ],
)
def test_one_protocol_is_one_protocol(protocols, message):
    assert one_protocol(["cross_fitted", "cross_fitted"]) == "cross_fitted"
    with one_line_error(message):
        one_protocol(protocols)


def test_fusions_and_folds_carry_their_protocol(tables):
    fusion, crossed = fit_fusion(tables, PAIR, 0.5), cross_fit(tables, PAIR, 0.5)
    assert fusion.protocol == "complete_dev"
    assert crossed.protocol == "cross_fitted"
    assert {(fold.protocol, fold.fusion.protocol) for fold in crossed.folds.values()} == {("cross_fitted",) * 2}
    held_out, *selection = tables
    nested = fit_fusion({m: tables[m] for m in selection}, PAIR, 0.5, protocol="nested_lomo")
    judged = nested.result({held_out: tables[held_out]}, "pair")
    assert nested.protocol == judged.protocol == "nested_lomo"
    assert judged.tables[held_out].score.tolist() == crossed.folds[held_out].table.score.tolist()


def test_folds_of_two_protocols_are_no_cross_fit(tables):
    crossed = cross_fit(tables, PAIR, 0.5)
    first = crossed.folds[MACHINES[0]]
    nested = replace(first, fusion=replace(first.fusion, protocol="nested_lomo"))
    with one_line_error("not cross_fitted and nested_lomo"):
        replace(crossed, folds={**crossed.folds, MACHINES[0]: nested}).result("mixed")


def test_results_of_fusions_say_what_the_fusions_say(tables):
    crossed, fusion = cross_fit(tables, PAIR, 0.5), fit_fusion(tables, PAIR, 0.5)
    result = crossed.result("pair", "13711")
    assert (result.kind, result.protocol, result.seed) == ("system", "cross_fitted", "13711")
    assert result.omega == crossed.score
    assert result.metrics == {machine: fold.metrics for machine, fold in crossed.folds.items()}
    complete = fusion.result(tables, "pair")
    assert complete.protocol == "complete_dev"
    assert complete.omega == pytest.approx(fusion.selection_score, rel=0, abs=1e-12)


def test_a_result_does_not_depend_on_the_order_of_its_machines(tables):
    result = branch_results(tables)[0]
    backwards = replace(result, tables=dict(reversed(result.tables.items())))
    assert backwards.omega == result.omega
    assert list(backwards.tables) == list(result.tables) == sorted(tables)
    assert result.omega == official_score([table.metrics() for table in result.tables.values()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "lomo"}, "there is no protocol 'lomo'"),
        ({"kind": "study"}, "a result is of a branch or system, not 'study'"),
        ({"tables": {}}, "no score table"),
    ],
)
def test_impossible_results_are_refused(tables, changes, message):
    with one_line_error(message):
        replace(branch_results(tables)[0], **changes)


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_mean_and_sample_standard_deviation_with_the_number_of_seeds():
    figures = [0.61, 0.64, 0.60]
    found = over_seeds(figures)
    assert (found.mean, found.sd) == pytest.approx((statistics.mean(figures), statistics.stdev(figures)), abs=1e-15)
    assert str(found) == "0.6167 ± 0.0208 (3 seeds)"


def test_one_seed_has_no_spread_and_an_undefined_figure_no_mean():
    found = over_seeds([0.61])
    assert (found.mean, found.seeds) == (0.61, 1) and math.isnan(found.sd)
    assert str(found) == "0.6100 (1 seed)"
    with one_line_error("at least one seed"):
        over_seeds([])
    found = over_seeds([0.6, math.nan])
    assert math.isnan(found.mean) and math.isnan(found.sd) and found.seeds == 2


def seeded(tables, *seeds, **changes):
    pairs = zip(seeds, branch_results(tables), strict=True)
    return [replace(result, name="a", seed=seed, **changes) for seed, result in pairs]


def test_seeds_of_one_entry_are_summarised(tables):
    results = seeded(tables, "1", "2")
    found = omega_over_seeds(results)
    assert found == omega_over_seeds(results[::-1])
    assert found.mean == pytest.approx(statistics.mean(result.omega for result in results), abs=1e-15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "fixed_lomo"}, "one protocol"),
        ({"name": "b"}, "of one branch or system, not of branch a and branch b"),
        ({"seed": "1"}, "more than one result of seed 1"),
    ],
)
def test_seeds_of_different_things_are_refused(tables, changes, message):
    first, second = seeded(tables, "1", "2")
    with one_line_error(message):
        omega_over_seeds([first, replace(second, **changes)])


def test_a_fold_does_not_judge_a_machine_that_chose_it(tables):
    selection = {machine: tables[machine] for machine in MACHINES[:2]}
    for protocol in ("cross_fitted", "nested_lomo"):
        fusion = fit_fusion(selection, PAIR, 0.5, protocol=protocol)
        with one_line_error(f"chose this fusion and cannot be judged by it under {protocol}"):
            fusion.result(tables, "leaky")
        assert fusion.result({MACHINES[2]: tables[MACHINES[2]]}, "pair").protocol == protocol
    assert fit_fusion(selection, PAIR, 0.5).result(selection, "pair").protocol == "complete_dev"


def test_intervals_differences_and_means_over_seeds_carry_their_protocol(tables):
    results = [cross_fit(tables, PAIR, step).result(f"step {step}") for step in (0.5, 0.25)]
    few = Resampling(replicates=20)
    assert resample(results, few)[0].interval().protocol == "cross_fitted"
    assert compare(*results, few).protocol == "cross_fitted"
    assert omega_over_seeds([replace(results[0], seed="1"), replace(results[0], seed="2")]).protocol == "cross_fitted"
