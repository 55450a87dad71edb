"""Whitening by a Ledoit-Wolf covariance agrees with its formula written out, also where clips are few or alike."""

import numpy as np
import pytest
from one_line import one_line_error
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from threadpoolctl import threadpool_limits

from workflow_lib.scoring import Conditioner


def normals(n_clips, n_features, seed=0):
    """Correlated vectors of very unlike scales and offsets, as token statistics are."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * np.geomspace(1, 1e-2, n_features)[:, None]
    return rng.normal(size=(n_clips, n_features)) @ mixing + rng.normal(size=n_features) * 5


def shrunk_covariance(z):
    """Ledoit and Wolf (2004), lemmas 3.2 to 3.4, in plain loops over centred vectors (n, d); also the shrinkage."""
    n, d = z.shape
    sample = sum(np.outer(row, row) for row in z) / n
    mean_variance = np.trace(sample) / d
    spread = ((sample - mean_variance * np.eye(d)) ** 2).sum() / d
    error = sum(((np.outer(row, row) - sample) ** 2).sum() / d for row in z) / n**2
    shrinkage = min(error, spread) / spread if spread else 0.0
    return (1 - shrinkage) * sample + shrinkage * mean_variance * np.eye(d), shrinkage


def plain(training, query):
    """The whitened queries: every step as its definition says it."""
    mean, deviation = training.mean(axis=0), training.std(axis=0)
    covariance, _ = shrunk_covariance((training - mean) / deviation)
    values, vectors = np.linalg.eigh(covariance)
    return ((query - mean) / deviation) @ vectors / np.sqrt(values)


@pytest.mark.parametrize("shape", [(200, 20), (400, 7), (50, 1)])
def test_it_equals_the_plain_computation_up_to_the_signs_which_are_fixed(shape):
    training, query = normals(*shape), normals(15, shape[1], seed=4)
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    expected = plain(training, query)[:, ::-1]  # eigh sorts from the smallest
    np.testing.assert_allclose(np.abs(conditioner.transform(query)), np.abs(expected), rtol=1e-7, atol=1e-9)
    axes = conditioner.components_
    assert axes.shape == (shape[1], shape[1]) and conditioner.n_components_ == shape[1] and conditioner.notes == []
    assert (axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("shape", [(200, 20), (40, 90), (12, 30), (3, 8)])
def test_distances_are_those_of_the_inverse_of_scikit_learns_covariance(shape):
    """Fewer clips than features leave many directions alike: distances do not depend on which of them are taken."""
    training, query = normals(*shape), normals(9, shape[1], seed=4)
    mean, deviation = training.mean(axis=0), training.std(axis=0)
    reference = LedoitWolf().fit((training - mean) / deviation)
    a, b = (query - mean) / deviation, (training - mean) / deviation
    expected = cdist(a, b, "mahalanobis", VI=np.linalg.inv(reference.covariance_))
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    found = cdist(conditioner.transform(query), conditioner.transform(training))
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert conditioner.n_components_ == shape[1] and conditioner.notes == []


def test_many_features_of_few_clips_keep_every_direction():
    """1536 and 3072 values are what one and two channels of an encoder have."""
    training = normals(60, 1536)
    query = training[:4] + 1e-3 * np.random.default_rng(1).normal(size=(4, 1536))
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    whitened = conditioner.transform(query) - conditioner.transform(training[:4])
    assert whitened.shape == (4, 1536) and np.isfinite(whitened).all()
    assert (np.abs(whitened[:, 60:]).max(axis=1) > 0).all(), "what no normal clip spans is not lost"
    axes = conditioner.components_
    np.testing.assert_allclose(axes @ axes.T, np.eye(1536), atol=1e-10)


def test_constant_features_keep_their_unit_and_stay_finite():
    training = np.concatenate([normals(90, 6), np.full((90, 3), 0.1), np.full((90, 1), 1e12)], axis=1)
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    z = training - training.mean(axis=0)
    z[:, :6] /= z[:, :6].std(axis=0)
    z[:, 6:] = 0
    covariance, shrinkage = shrunk_covariance(z)
    step = np.eye(1, 10, 7)
    found = conditioner.transform(training[:1] + step) - conditioner.transform(training[:1])
    assert np.linalg.norm(found) == pytest.approx(1 / np.sqrt(shrinkage * np.trace(z.T @ z) / len(z) / 10), rel=1e-9)
    assert np.linalg.norm(found) == pytest.approx(1 / np.sqrt(covariance[7, 7]), rel=1e-9)


@pytest.mark.parametrize("n_features", [1, 2, 5, 40])
def test_two_clips_are_shrunk_with_a_note(n_features):
    """Of two clips the estimated shrinkage is 0, and a covariance of rank 1 has no inverse."""
    training = normals(2, n_features)
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    whitened = conditioner.transform(np.vstack([training, training + 1]))
    assert np.isfinite(whitened).all()
    note = f"Ledoit-Wolf covariance has rank 1 of {n_features}: shrunk by 0.1 to be invertible: 2 normal training clips"
    assert conditioner.notes == ([note] if n_features > 1 else [])
    z = (training - training.mean(axis=0)) / training.std(axis=0)
    covariance = 0.9 * z.T @ z / 2 + 0.1 * np.eye(n_features) if n_features > 1 else np.eye(1)
    expected = cdist(z, z, "mahalanobis", VI=np.linalg.inv(covariance))
    np.testing.assert_allclose(cdist(whitened[:2], whitened[:2]), expected, rtol=1e-9, atol=1e-12)


def test_copies_of_two_clips_have_no_inverse_either():
    training = np.repeat(normals(2, 6), 5, axis=0)
    conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
    assert np.isfinite(conditioner.transform(training + 1)).all()
    assert [note.split(":")[0] for note in conditioner.notes] == ["Ledoit-Wolf covariance has rank 1 of 6"]


@pytest.mark.parametrize(("clips_", "counted"), [(1, "1 normal training clip "), (4, "4 normal training clips ")])
@pytest.mark.parametrize("value", [1.0, 0.1, 1e12 / 3])
def test_equal_clips_are_centred_alone(clips_, counted, value):
    conditioner = Conditioner(covariance="ledoit_wolf").fit(np.full((clips_, 3), value))
    assert conditioner.notes == [f"no whitening: {counted}with one and the same vector"]
    found = conditioner.transform(np.array([[value, value, value + 2.0]]))
    np.testing.assert_allclose(found, [[0.0, 0.0, 2.0]], atol=1e-3)
    again = conditioner.fit(normals(30, 3))
    assert again.notes == [] and again.components_.shape == (3, 3)


def test_the_bytes_depend_on_neither_company_nor_threads():
    training, query = normals(80, 129), normals(23, 129, seed=2)
    fits = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            conditioner = Conditioner(covariance="ledoit_wolf").fit(training)
            fits.append(conditioner.transform(query))
    assert fits[0].tobytes() == fits[1].tobytes()
    for size in (1, 2, 7):
        assert conditioner.transform(query[:size]).tobytes() == fits[0][:size].tobytes()
    assert conditioner.transform(query[::-1])[::-1].tobytes() == fits[0].tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"covariance": "wolf"}, "covariance 'wolf' is unknown: use ledoit_wolf"),
        ({"covariance": "ledoit_wolf", "components": 4}, "leave out the other settings"),
        ({"covariance": "ledoit_wolf", "whiten": False}, "leave out the other settings"),
        ({"covariance": "ledoit_wolf", "standardise": False}, "leave out the other settings"),
    ],
)
def test_settings_that_contradict_are_one_clear_line(settings, message):
    with one_line_error(message):
        Conditioner(**settings)
