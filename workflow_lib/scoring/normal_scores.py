"""Local-density scores of the normal training clips themselves, each against the banks without it (Eq. 2 and 3).

A threshold must not come from clips that are their own nearest neighbour. Row i of a bank is scored as if the bank had
been made without it: it is no reference of its own score and no neighbour of its nearest reference, whose scale then
counts the next one. It is left out by index: an identical copy stays in the bank.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workflow_lib.metrics import blocks
from workflow_lib.scoring.conditioning import as_vectors
from workflow_lib.scoring.local_density import (
    EPS,
    check_density_options,
    compare_to_scale,
    distances_to_others,
    local_density_score,
    neighbours_of_domains,
    prepare_vectors,
)


def self_excluded_scores(
    source_bank: ArrayLike,
    target_bank: ArrayLike,
    k: int | Sequence[int] = (8, 5),
    metric: str = "euclidean",
    match: str = "nearest",
    scale: str = "sum",
    eps: float = EPS,
    banks: str = "domains",
    form: str = "ratio",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of all clips of the source (m_s, d) and the target bank (m_t, d) by Eq. 3, each without itself.

    Returns (m_s,) and (m_t,) float64; NaN for a clip without another to be scored against. Options as in
    `domain_conditioned_score`; the bytes are those of its score with a bank from which the clip was removed.
    """
    options = (metric, match, scale, eps, form)
    k_source, k_target = neighbours_of_domains(k, banks)
    source, target = np.asarray(source_bank, np.float64), np.asarray(target_bank, np.float64)
    if banks == "pooled":
        scores = self_excluded_density_score(np.concatenate([source, target]), k_source, *options)
        return scores[: len(source)], scores[len(source) :]
    return (
        _smaller(self_excluded_density_score(source, k_source, *options), source, target, k_target, options),
        _smaller(self_excluded_density_score(target, k_target, *options), target, source, k_source, options),
    )


def self_excluded_density_score(
    bank: ArrayLike,
    k: int,
    metric: str = "euclidean",
    match: str = "nearest",
    scale: str = "sum",
    eps: float = EPS,
    form: str = "ratio",
) -> NDArray[np.float64]:
    """Eq. 2 of every row of a bank (m, d) against the bank without it: (m,) float64; NaN for an only row."""
    bank = np.asarray(bank)
    if len(bank) < 2:
        return np.full(len(bank), np.nan)
    bank = as_vectors(bank, "reference vectors")
    check_density_options(bank, bank, k, metric, match, scale, eps, form)
    bank = prepare_vectors(bank, metric)
    n_neighbours = min(k, len(bank) - 2)  # a reference has neither itself nor the clip as a neighbour
    distance, nearest, neighbours = _neighbourhoods(bank, n_neighbours, metric)
    sums = _sums_without_one(neighbours)
    divisor = n_neighbours if scale == "mean" and n_neighbours else 1
    if match == "nearest":
        return compare_to_scale(distance, _sums_without(sums, neighbours, distance, nearest) / divisor, eps, form)
    references = np.arange(len(bank))
    least = np.empty(len(bank))
    for rows in blocks(len(bank), len(bank)):
        others = distances_to_others(bank, references[rows], metric)
        of_all = _sums_without(sums, neighbours, others, references) / divisor
        least[rows] = compare_to_scale(others, of_all, eps, form).min(axis=1)
    return least


def _smaller(
    own: NDArray[np.float64],
    bank: NDArray,
    other_bank: NDArray,
    k_other: int,
    options: tuple[str, str, str, float, str],
) -> NDArray[np.float64]:
    """The smaller of the clips' scores in their own domain and in the other: (m,); NaN counts as no score."""
    if not len(bank) or not len(other_bank):
        return own
    return np.fmin(own, local_density_score(bank, other_bank, k_other, *options))


def _neighbourhoods(
    bank: NDArray[np.float64], n_neighbours: int, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Distance (m,) and index (m,) of the nearest other row, and the n + 1 smallest distances in order (m, n + 1)."""
    rows_of_bank = np.arange(len(bank))
    distance, nearest = np.empty(len(bank)), np.empty(len(bank), dtype=np.intp)
    neighbours = np.empty((len(bank), n_neighbours + 1))
    for rows in blocks(len(bank), len(bank)):
        others = distances_to_others(bank, rows_of_bank[rows], metric)
        nearest[rows], distance[rows] = others.argmin(axis=1), others.min(axis=1)
        smallest = np.partition(others, n_neighbours, axis=1)[:, : n_neighbours + 1]
        neighbours[rows] = np.sort(smallest, axis=1)
    return distance, nearest, neighbours


def _sums_without_one(neighbours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums, in ascending order, of n + 1 ascending distances (m, n + 1) without each of them in turn: (m, n + 1)."""
    n_neighbours = neighbours.shape[1] - 1
    sums = np.zeros_like(neighbours)
    for left_out in range(n_neighbours + 1 if n_neighbours else 0):
        sums[:, left_out] = np.cumsum(np.delete(neighbours, left_out, axis=1), axis=1)[:, -1]
    return sums


def _sums_without(
    sums: NDArray[np.float64],
    neighbours: NDArray[np.float64],
    distance: NDArray[np.float64],
    references: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Neighbour sums of the references (m,), each without the clip that is at `distance` (..., m) from it: (..., m).

    Of equal distances it does not matter which one is left out; a clip beyond the n nearest leaves the sum as it is.
    """
    position = np.zeros(distance.shape, dtype=np.intp)
    for column in neighbours[references, :-1].T:
        position += column < distance
    return sums[references, position]
