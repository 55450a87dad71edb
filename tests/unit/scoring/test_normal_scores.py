"""Normal clips scored without themselves: equal, to the byte, to removing each from its bank and scoring it anew."""

from pathlib import Path

import numpy as np
import pytest

from workflow_lib.errors import UserError
from workflow_lib.scoring import local_density
from workflow_lib.scoring.local_density import domain_conditioned_score, local_density_score
from workflow_lib.scoring.normal_scores import self_excluded_density_score, self_excluded_scores

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "dld" / "dld.npz")
OPTIONS = [
    {"metric": metric, "match": match, "scale": scale, "form": form}
    for metric in ("euclidean", "cosine")
    for match in ("nearest", "ratio")
    for scale in ("sum", "mean")
    for form in ("ratio", "difference")
]


def removed_one_by_one(source, target, k, **options):
    """The plain loop: each clip really taken out of the bank of its domain."""
    return [
        np.array([domain_conditioned_score(bank[i : i + 1], *without(i), k, **options)[0] for i in range(len(bank))])
        for bank, without in (
            (source, lambda i: (np.delete(source, i, axis=0), target)),
            (target, lambda i: (source, np.delete(target, i, axis=0))),
        )
    ]


def assert_equal_to_the_loop(source, target, k, options):
    got = self_excluded_scores(source, target, k, **options)
    for mine, plain in zip(got, removed_one_by_one(source, target, k, **options), strict=True):
        assert mine.tobytes() == plain.tobytes()


def grid_vectors(n_clips, n_features=3, seed=1):
    """Few different coordinates, so that distances tie and clips coincide."""
    return np.random.default_rng(seed).integers(0, 3, size=(n_clips, n_features)).astype(float)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("k", [(16, 9), (1, 1)])
@pytest.mark.parametrize("case", ["main", "duplicates", "small_banks", "single_target", "identical_target", "dim1"])
def test_equal_to_a_loop_that_removes_each_clip(case, k, options):
    source, target = GOLDEN[f"{case}/source"][:30], GOLDEN[f"{case}/target"][:12]
    assert_equal_to_the_loop(source, target, k, options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
def test_ties_and_copies_are_left_out_by_index(options):
    source, target = grid_vectors(40), grid_vectors(7, seed=2)
    assert_equal_to_the_loop(source, target, (5, 3), options)
    copies = np.repeat([[1.0, 2.0, 0.5]], 2, axis=0)
    score = self_excluded_density_score(np.vstack([copies, grid_vectors(9)]), 2, **options)[:2]
    assert (score <= 0).all() and (options["form"] == "difference" or score.tolist() == [0, 0])


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
def test_a_pooled_bank_leaves_out_the_clip_of_either_domain(options):
    source, target = grid_vectors(25), grid_vectors(6, seed=2) + 0.5
    assert_equal_to_the_loop(source, target, 4, {**options, "banks": "pooled"})
    assert_equal_to_the_loop(source, target, 40, {**options, "banks": "pooled"})
    assert_equal_to_the_loop(source, target[:0], 3, {**options, "banks": "pooled"})


@pytest.mark.parametrize("n_clips", [2, 3, 4, 6])
def test_a_bank_with_fewer_clips_than_neighbours(n_clips):
    bank = grid_vectors(n_clips, seed=n_clips) + np.arange(n_clips)[:, None]
    plain = [local_density_score(bank[i : i + 1], np.delete(bank, i, axis=0), 8)[0] for i in range(n_clips)]
    assert self_excluded_density_score(bank, 8).tolist() == plain


def test_a_clip_is_not_its_own_neighbour():
    """Scored against banks that hold it, every normal clip would be at distance 0."""
    source, target = GOLDEN["main/source"], GOLDEN["main/target"]
    assert np.count_nonzero(domain_conditioned_score(source, source, target)) == 0
    assert (self_excluded_scores(source, target)[0] > 0).all()


def test_clips_without_another_have_no_score():
    one, none = np.ones((1, 4)), np.empty((0, 4))
    assert np.isnan(self_excluded_scores(one, none)[0]).all()
    source, target = self_excluded_scores(one, one + 1)  # each has the other's bank
    assert np.isfinite(source).all() and np.isfinite(target).all()
    assert len(self_excluded_scores(none, none)[1]) == 0


def test_unknown_options_and_values_that_are_not_finite_are_refused():
    bank = grid_vectors(5)
    with pytest.raises(UserError, match="metric 'manhattan' is unknown"):
        self_excluded_density_score(bank, 3, metric="manhattan")
    with pytest.raises(UserError, match="not finite"):
        self_excluded_density_score(np.where(bank == 1, np.nan, bank), 3)


@pytest.mark.parametrize("match", ["nearest", "ratio"])
def test_each_distance_is_computed_a_few_times_whatever_the_number_of_clips(match, monkeypatch):
    """A loop that really removes each clip would compute all of them anew for each."""
    computed = []
    plain = local_density.distances
    monkeypatch.setattr(
        local_density, "distances", lambda a, b, metric: computed.append(len(a) * len(b)) or plain(a, b, metric)
    )
    rng = np.random.default_rng(0)
    self_excluded_scores(rng.normal(size=(190, 4)), rng.normal(size=(10, 4)), match=match)
    assert 200**2 <= sum(computed) <= 4 * 200**2
