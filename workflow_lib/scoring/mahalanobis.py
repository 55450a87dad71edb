"""Selective Mahalanobis scores of reconstruction residuals (paper, section 2.1), in both readings. No torch.

A clip of n five-frame vectors leaves 5 n residual blocks r_j of 128 values (reconstruction minus input). With P = C^-1
of one domain's covariance, the distance of the clip is, by reading,

    official    m P m', m = mean of the r_j: what the challenge baseline computes (the mean over the whole matrix of
                products r_i P r_j' is this quadratic form)
    per_block   mean over j of r_j P r_j' = tr(P M), M = mean of the r_j' r_j: what the paper's text describes

and the score is the smaller of the clip's source and target distance. Both need only summaries of the clip, m (128) and
M (symmetric, kept as its upper triangle, 8256), so that scoring costs the same for every clip length.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workflow_lib.errors import UserError

Reading = Literal["official", "per_block"]
READINGS = ("official", "per_block")
FALLBACK_SHRINKAGE = 0.1  # scikit-learn's default for shrunk_covariance
SINGULAR = 1e-6  # smallest / largest eigenvalue below which a single-precision covariance counts as singular


class Precisions(NamedTuple):
    """Inverse covariances (128, 128) float64 of the two domains, and a note for each that was shrunk to be inverted."""

    source: NDArray[np.floating]
    target: NDArray[np.floating]
    notes: tuple[str, ...]


def invert_covariances(source: ArrayLike, target: ArrayLike, shrinkage: float = 0.0) -> Precisions:
    """Precisions of two residual covariances (128, 128), after an optional shrinkage in 0 … 1.

    A covariance without full rank, as few vectors give it, is shrunk by 0.1 instead of failing; the notes say so.
    """
    precision_source, notes_source = invert_covariance(source, "source", shrinkage)
    precision_target, notes_target = invert_covariance(target, "target", shrinkage)
    return Precisions(precision_source, precision_target, notes_source + notes_target)


def invert_covariance(
    covariance: ArrayLike, domain: str, shrinkage: float = 0.0
) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """Precision (128, 128) float64 and notes; UserError for a covariance that is not finite or zero."""
    if not 0.0 <= shrinkage <= 1.0:
        raise UserError(f"shrinkage {shrinkage} of the {domain} covariance: write a number from 0 to 1")
    wanted = shrink(_checked(covariance, domain), shrinkage)
    eigenvalues = np.linalg.eigvalsh(wanted)
    if eigenvalues[0] > SINGULAR * eigenvalues[-1]:
        return np.linalg.inv(wanted), ()
    rank = int((eigenvalues > SINGULAR * eigenvalues[-1]).sum())
    note = (
        f"{domain} covariance of the residuals has rank {rank} of {len(wanted)}: shrunk by {FALLBACK_SHRINKAGE} "
        "to be invertible; more training clips of that domain would help"
    )
    return np.linalg.inv(shrink(wanted, FALLBACK_SHRINKAGE)), (note,)


def shrink(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """(1 - s) C + s tr(C) / n I: towards equal, uncorrelated variances (scikit-learn's shrunk_covariance)."""
    if not shrinkage:
        return covariance
    from sklearn.covariance import shrunk_covariance  # a second to import, which most scoring jobs need not spend

    return shrunk_covariance(covariance, shrinkage=shrinkage)


def official_distance(mean_residual: ArrayLike, precision: ArrayLike) -> NDArray[np.float64]:
    """m P m' of mean residuals (..., 128) and a precision (128, 128): (...,) float64."""
    mean = np.asarray(mean_residual, dtype=np.float64)
    return np.einsum("...i,...i->...", mean @ np.asarray(precision, dtype=np.float64), mean)


def block_distance(second_moment: ArrayLike, precision: ArrayLike) -> NDArray[np.float64]:
    """tr(P M), the mean of r P r' over a clip's blocks, of packed second moments (..., 8256): (...,) float64."""
    matrix = np.asarray(precision, dtype=np.float64)
    symmetric = (matrix + matrix.T) / 2.0
    # Entries off the diagonal count twice: the packed M has them once.
    weights = pack_symmetric(2.0 * symmetric - np.diag(np.diag(symmetric)))
    return np.asarray(second_moment, dtype=np.float64) @ weights


def pack_symmetric(matrix: NDArray) -> NDArray:
    """Upper triangle, row by row, of symmetric matrices (..., n, n): (..., n (n + 1) / 2)."""
    size = matrix.shape[-1]
    return matrix.reshape(*matrix.shape[:-2], size * size)[..., _upper_triangle(size)]


def mahalanobis_scores(
    mean_residual: ArrayLike, second_moment: ArrayLike | None, source: ArrayLike, target: ArrayLike, reading: Reading
) -> NDArray[np.float64]:
    """Scores (clips,) of residual summaries (clips, 128) and (clips, 8256) with two precisions (128, 128).

    The smaller of a clip's two distances: it is normal if it is so for one of the domains. The second moments are
    needed by the reading `per_block` only; any other name of a reading is a UserError.
    """
    if reading not in READINGS:
        raise UserError(f"Mahalanobis reading {reading!r}: write one of {', '.join(READINGS)}")
    if reading == "official":
        return np.minimum(official_distance(mean_residual, source), official_distance(mean_residual, target))
    if second_moment is None:
        raise UserError(
            "Mahalanobis reading 'per_block' needs the second moments of the residuals: apply the autoencoder again"
        )
    return np.minimum(block_distance(second_moment, source), block_distance(second_moment, target))


def score_residuals(
    residuals: Mapping[str, NDArray], reading: Reading = "official", shrinkage: float = 0.0
) -> tuple[NDArray[np.float64], list[str]]:
    """Scores (clips,) and notes from the residual summaries of a machine's clips and its autoencoder's covariances.

    residuals: `mean_residual`, `second_moment`, `covariance_source`, `covariance_target`.
    """
    precision = invert_covariances(residuals["covariance_source"], residuals["covariance_target"], shrinkage)
    moments = residuals.get("second_moment") if reading == "per_block" else None
    scores = mahalanobis_scores(residuals["mean_residual"], moments, precision.source, precision.target, reading)
    return scores, list(precision.notes)


@lru_cache(maxsize=4)
def _upper_triangle(size: int) -> NDArray[np.intp]:
    """Flat positions of the upper triangle of an (n, n) matrix, row by row."""
    rows, columns = np.triu_indices(size)
    positions = rows * size + columns
    positions.setflags(write=False)
    return positions


def _checked(covariance: ArrayLike, domain: str) -> NDArray[np.float64]:
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"{domain} covariance of the residuals has shape {matrix.shape}: it must be square")
    if not np.isfinite(matrix).all():
        raise UserError(f"{domain} covariance of the residuals is not finite: train the autoencoder again")
    if np.trace(matrix) <= 0.0:
        raise UserError(f"{domain} covariance of the residuals is zero: are the training clips silent?")
    return (matrix + matrix.T) / 2.0
