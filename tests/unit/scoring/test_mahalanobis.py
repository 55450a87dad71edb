"""Both readings of the selective Mahalanobis score equal their definitions; singular covariances give no NaN."""

from functools import partial

import numpy as np
import pytest
from autoencoder_cases import EXPECTED, FOLDER, MACHINES
from one_line import one_line_error
from safetensors.numpy import load_file
from sklearn.covariance import shrunk_covariance

from workflow_lib.scoring.mahalanobis import (
    block_distance,
    invert_covariance,
    invert_covariances,
    mahalanobis_scores,
    official_distance,
    pack_symmetric,
    score_residuals,
)

RNG = np.random.default_rng(3)
BLOCKS = RNG.standard_normal((6, 45, 128)) @ (np.eye(128) + 0.1 * RNG.standard_normal((128, 128))) + 0.2
SOURCE, TARGET = (np.linalg.inv(np.cov(RNG.standard_normal((600, 128)).T) * scale) for scale in (1.0, 2.0))


def summaries(blocks):
    """Mean residuals and packed second moments of clips (clips, blocks, 128)."""
    moments = np.einsum("cbi,cbj->cij", blocks, blocks) / blocks.shape[1]
    return blocks.mean(1), pack_symmetric(moments)


@pytest.mark.parametrize("machine", MACHINES)
def test_closed_form_and_scores_from_the_covariances_equal_the_baselines(machine):
    golden, weights = EXPECTED[machine], load_file(FOLDER / machine / "weights.safetensors")
    for domain in ("source", "target"):  # the baseline takes the mean over all pairs of blocks
        distance = official_distance(golden["mean_residual"], golden[f"inv_cov_{domain}"])
        np.testing.assert_allclose(distance, golden[f"mahala_{domain}"], rtol=1e-6)
    covariances = {f"covariance_{domain}": weights[f"cov_{domain}"] for domain in ("source", "target")}
    score, notes = score_residuals({"mean_residual": golden["mean_residual"], **covariances})
    np.testing.assert_allclose(score, golden["mahala"], rtol=1e-4)
    assert notes == []


def test_fan_has_clips_of_both_domains_so_that_the_choice_is_tested():
    golden = EXPECTED["fan"]
    assert 0 < (golden["mahala_target"] < golden["mahala_source"]).sum() < len(golden["mahala"])


@pytest.mark.parametrize(("reading", "pairs"), [("official", "cbi,ij,cdj->cbd"), ("per_block", "cbi,ij,cbj->cb")])
def test_a_reading_is_the_mean_over_all_pairs_of_blocks_or_over_the_blocks_and_the_smaller_domain(reading, pairs):
    """Each clip alone has the score that it has among others."""
    mean, moment = summaries(BLOCKS)
    products = (np.einsum(pairs, BLOCKS, precision, BLOCKS) for precision in (SOURCE, TARGET))
    scores = mahalanobis_scores(mean, moment, SOURCE, TARGET, reading)
    np.testing.assert_allclose(scores, np.minimum(*(p.reshape(len(BLOCKS), -1).mean(1) for p in products)), rtol=1e-10)
    alone = [float(mahalanobis_scores(mean[i], moment[i], SOURCE, TARGET, reading)) for i in range(len(mean))]
    np.testing.assert_allclose(alone, scores, rtol=1e-12)


def test_the_readings_differ():
    score = partial(mahalanobis_scores, *summaries(BLOCKS), SOURCE, TARGET)
    assert (score("per_block") > 2 * score("official")).all()


def test_an_asymmetric_precision_counts_with_its_symmetric_part():
    skewed = SOURCE + np.triu(np.ones((128, 128)), 1) - np.tril(np.ones((128, 128)), -1)
    _, moment = summaries(BLOCKS)
    np.testing.assert_allclose(block_distance(moment, skewed), block_distance(moment, SOURCE), rtol=1e-9)


def test_shrinkage_is_scikit_learns_and_none_is_the_plain_inverse():
    covariance = np.cov(BLOCKS.reshape(-1, 128).T)
    precision, notes = invert_covariance(covariance, "source", 0.3)
    np.testing.assert_allclose(precision, np.linalg.inv(shrunk_covariance(covariance, shrinkage=0.3)), rtol=1e-9)
    assert notes == ()
    single = covariance.astype(np.float32)
    np.testing.assert_allclose(invert_covariance(single, "source")[0] @ single, np.eye(128), atol=1e-6)


@pytest.mark.parametrize("vectors", [2, 10, 100])
def test_a_covariance_of_too_few_vectors_still_ranks_clips_and_says_so(vectors):
    few = np.cov(RNG.standard_normal((vectors, 128)).T).astype(np.float32)
    precision = invert_covariances(np.linalg.inv(SOURCE), few)
    scores = mahalanobis_scores(*summaries(BLOCKS), precision.source, precision.target, "official")
    assert np.isfinite(scores).all()
    assert (scores > 0).all()
    assert len(precision.notes) == 1
    assert f"target covariance of the residuals has rank {vectors - 1} of 128: shrunk by 0.1" in precision.notes[0]


@pytest.mark.parametrize(
    ("source", "shrinkage", "message"),
    [
        (np.zeros((128, 128)), 0.0, "source covariance of the residuals is zero: are the training clips silent"),
        (np.full((128, 128), np.nan), 0.0, "source covariance of the residuals is not finite"),
        (np.ones((5, 128)), 0.0, "must be square"),
        (SOURCE, -0.1, r"shrinkage -0\.1 of the source covariance: write a number from 0 to 1"),
    ],
)
def test_bad_covariances_are_one_line(source, shrinkage, message):
    with one_line_error(message):
        invert_covariances(source, TARGET, shrinkage)


@pytest.mark.parametrize(
    ("reading", "message"),
    [("blocks", "reading 'blocks': write one of official, per_block"), ("per_block", "needs the second moments")],
)
def test_bad_readings_are_one_line(reading, message):
    with one_line_error(message):
        mahalanobis_scores(BLOCKS.mean(1), None, SOURCE, TARGET, reading)
