"""Scorers are files: each is found, keeps its clips apart, and scores normal clips by what has not seen them."""

import dataclasses

import numpy as np
import pytest
from one_line import one_line_error
from sklearn.covariance import ledoit_wolf

from workflow_lib.config.scorers import scorer_names
from workflow_lib.scoring import domain_conditioned_score
from workflow_lib.scoring.scorers import fit_scorer

RNG = np.random.default_rng(5)
SOURCE, TARGET = RNG.normal(size=(33, 7)) * np.geomspace(1, 0.1, 7), RNG.normal(size=(8, 7)) * 0.5 + 2
QUERY = RNG.normal(size=(12, 7)) * 2
SETTINGS = [
    {"kind": "gaussian"},
    {"kind": "local_density"},
    {"kind": "local_density", "k": 1, "match": "ratio", "banks": "pooled", "form": "difference", "scale": "mean"},
]


def test_the_scorers_of_the_folder_are_found():
    assert {"gaussian", "local_density"} <= set(scorer_names())
    with one_line_error("there is no scorer named 'gausian': write gaussian"):
        fit_scorer({"kind": "gausian"}, SOURCE, TARGET)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_a_clip_has_the_same_bytes_in_any_company(settings):
    scorer = fit_scorer(settings, SOURCE, TARGET)
    together = scorer.score(QUERY)
    assert together.dtype == np.float64 and np.isfinite(together).all()
    assert scorer.score(QUERY[::-1])[::-1].tobytes() == together.tobytes()
    for i in range(len(QUERY)):
        assert scorer.score(QUERY[i : i + 1]).tobytes() == together[i : i + 1].tobytes()
    wide = fit_scorer(settings, RNG.normal(size=(40, 129)), RNG.normal(size=(5, 129)))
    query = RNG.normal(size=(20, 129))
    assert wide.score(query[:7]).tobytes() == wide.score(query)[:7].tobytes()


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_a_fitted_scorer_is_arrays_and_plain_values(settings):
    """What a file can hold."""

    def plain(value):
        if isinstance(value, dict | list | tuple):
            return all(map(plain, value.values() if isinstance(value, dict) else value))
        return isinstance(value, np.ndarray | str | int | float)

    scorer = fit_scorer(settings, SOURCE, TARGET)
    assert all(plain(getattr(scorer, field.name)) for field in dataclasses.fields(scorer))
    assert scorer.normal_kind and "\n" not in scorer.normal_kind


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("sizes", [(9, 0), (0, 8), (1, 1), (2, 0), (1, 4), (1, 0)])
def test_few_clips_and_a_missing_domain_are_scored(settings, sizes):
    scorer = fit_scorer(settings, SOURCE[: sizes[0]], TARGET[: sizes[1]])
    assert np.isfinite(scorer.score(QUERY)).all()
    normal = scorer.normal_scores()
    assert [len(scores) for scores in normal] == list(sizes)
    assert np.isnan(normal[0]).all() if sum(sizes) == 1 else np.isfinite(np.concatenate(normal)).all()


def test_local_density_is_its_function():
    scorer = fit_scorer({"kind": "local_density", "k": [3, 9], "scale": "mean"}, SOURCE, TARGET)
    assert scorer.notes == ["K_t 9 -> 7: 8 target normals"]
    expected = domain_conditioned_score(QUERY, SOURCE, TARGET, (3, 9), scale="mean")
    assert scorer.score(QUERY).tobytes() == expected.tobytes()


# ---- gaussian --------------------------------------------------------------------------------------------------------


def plain_gaussian(source, target, query):
    """Both domains' distances by scikit-learn's covariance and its inverse."""
    domains = [x for x in (source, target) if len(x)]
    deviations = np.concatenate([x - x.mean(axis=0) for x in domains])
    precision = np.linalg.inv(ledoit_wolf(deviations, assume_centered=True)[0])
    return [min(np.sqrt((q - x.mean(axis=0)) @ precision @ (q - x.mean(axis=0))) for x in domains) for q in query]


def test_a_gaussian_equals_the_plain_distance_to_the_nearer_mean():
    found = fit_scorer({"kind": "gaussian"}, SOURCE, TARGET).score(QUERY)
    np.testing.assert_allclose(found, plain_gaussian(SOURCE, TARGET, QUERY), rtol=1e-9)
    wide_source, wide_query = RNG.normal(size=(20, 50)), RNG.normal(size=(4, 50))
    found = fit_scorer({"kind": "gaussian"}, wide_source, wide_source[:0]).score(wide_query)
    np.testing.assert_allclose(found, plain_gaussian(wide_source, wide_source[:0], wide_query), rtol=1e-9)


def test_a_gaussian_scores_normal_clips_by_the_other_nine_tenths():
    source, target = fit_scorer({"kind": "gaussian"}, SOURCE, TARGET).normal_scores()
    both = np.concatenate([SOURCE, TARGET])
    for i, score in enumerate(np.concatenate([source, target])):
        left = [j for j in range(len(both)) if j % 10 != i % 10]
        rest = both[[j for j in left if j < 33]], both[[j for j in left if j >= 33]]
        assert score == pytest.approx(plain_gaussian(*rest, both[i : i + 1])[0], rel=1e-9)


def test_a_gaussian_of_clips_that_do_not_vary_is_the_plain_distance():
    source, target = np.full((4, 3), 0.1), np.full((3, 3), 1 / 3)
    scorer = fit_scorer({"kind": "gaussian"}, source, target)
    assert scorer.notes == ["no whitening: 7 normal training clips with one and the same vector"]
    np.testing.assert_allclose(scorer.score(np.full((1, 3), 1.1)), [np.sqrt(3) * (1.1 - 1 / 3)])
