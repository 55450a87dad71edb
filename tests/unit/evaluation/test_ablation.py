"""Leaving a branch out repeats calibration and choice without it, under one protocol, and pairs the change."""

from dataclasses import replace

import pytest
from real_scores import BRANCHES, MACHINES, real_tables

from workflow_lib.errors import UserError
from workflow_lib.evaluation.ablation import leave_one_branch_out
from workflow_lib.evaluation.bootstrap import Resampling, compare, resample
from workflow_lib.fusion.cross_fit import cross_fit, fit_fusion

FEW = Resampling(replicates=50)
THREE = BRANCHES[:3]


@pytest.fixture(scope="module")
def tables():
    return real_tables(machines=MACHINES[:3])


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_each_branch_is_removed_and_everything_chosen_anew(tables, search):
    found = leave_one_branch_out(tables, THREE, 0.25, search, resampling=FEW, name="all", seed="3")
    whole = cross_fit(tables, THREE, 0.25, search=search)
    assert (found.protocol, found.whole.protocol, found.whole.seed) == ("cross_fitted", "cross_fitted", "3")
    assert found.whole.omega == whole.score
    assert list(found.without) == list(THREE)
    for branch, without in found.without.items():
        rest = cross_fit(tables, [b for b in THREE if b != branch], 0.25, search=search)
        assert without.result.name == f"all without {branch}"
        assert without.result.protocol == "cross_fitted"
        assert without.result.omega == rest.score
        assert without.change.difference == rest.score - whole.score
        assert repr(without.change) == repr(compare(rest.result("x"), whole.result("y"), FEW))  # NaN equals itself
        assert without.interval == resample([rest.result("x")], FEW)[0].interval()


def test_complete_development_measures_the_machines_that_chose(tables):
    found = leave_one_branch_out(tables, THREE, 0.25, protocol="complete_dev", resampling=FEW)
    assert found.whole.protocol == "complete_dev"
    assert found.whole.omega == pytest.approx(fit_fusion(tables, THREE, 0.25).selection_score, abs=1e-12)
    for branch, without in found.without.items():
        rest = fit_fusion(tables, [b for b in THREE if b != branch], 0.25)
        assert without.result.omega == pytest.approx(rest.selection_score, abs=1e-12)


@pytest.mark.parametrize("shrink", [0.5, [0, 0.5, 1]])
@pytest.mark.parametrize("protocol", ["cross_fitted", "complete_dev"])
def test_weights_are_shrunk_anew_without_each_branch(tables, shrink, protocol):
    found = leave_one_branch_out(tables, THREE, 0.25, protocol=protocol, shrink=shrink, resampling=FEW)
    kept = {THREE: found.whole.omega} | {
        tuple(b for b in THREE if b != branch): without.result.omega for branch, without in found.without.items()
    }
    for branches, omega in kept.items():
        if protocol == "cross_fitted":
            assert omega == cross_fit(tables, branches, 0.25, shrink=shrink).score
        else:
            fusion = fit_fusion(tables, branches, 0.25, shrink=shrink)
            assert omega == pytest.approx(fusion.selection_score, abs=1e-12)


def test_what_is_held_out_may_have_other_tables(tables):
    other = {m: {b: replace(t, score=-t.score) for b, t in of_m.items()} for m, of_m in tables.items()}
    found = leave_one_branch_out(tables, THREE, 0.25, held_out_tables=other, resampling=FEW)
    assert found.whole.omega == cross_fit(tables, THREE, 0.25, held_out_tables=other).score


def test_the_last_branch_keeps_its_own_scores(tables):
    found = leave_one_branch_out(tables, THREE[:2], 0.25, resampling=FEW)
    for removed, kept in (THREE[:2], THREE[1::-1]):
        for machine, table in found.without[removed].result.tables.items():
            assert table.score.tolist() == tables[machine][kept].score.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"branches": THREE[:1]}, "at least two branches"),
        ({"branches": "ab"}, "at least two branches"),
        ({"protocol": "nested_lomo"}, "possible under cross_fitted or complete_dev, not 'nested_lomo'"),
        ({"protocol": "complete_dev", "held_out_tables": {}}, "complete_dev holds no machine out"),
        ({"held_out_tables": {}}, "no held-out score tables"),
    ],
)
def test_impossible_requests_are_one_clear_line(tables, arguments, message):
    with pytest.raises(UserError, match=message):
        leave_one_branch_out(**{"tables": tables, "branches": THREE, "step": 0.5, **arguments})
