"""Domain-conditioned local-density scores of clip vectors against normal banks (paper section 2.4, Eq. 2 and 3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from workflow_lib.errors import UserError
from workflow_lib.metrics import blocks
from workflow_lib.scoring.conditioning import as_vectors, is_count

METRICS = ("euclidean", "cosine")
MATCHES = ("nearest", "ratio")
SCALES = ("sum", "mean")
FORMS = ("ratio", "difference")
BANKS = ("domains", "pooled")
EPS = 1e-12  # the epsilon of Eq. 2


def local_density_score(
    query: ArrayLike,
    bank: ArrayLike,
    k: int,
    metric: str = "euclidean",
    match: str = "nearest",
    scale: str = "sum",
    eps: float = EPS,
    form: str = "ratio",
) -> NDArray[np.float64]:
    """Distance to the bank over the neighbourhood scale there, Eq. 2: query (n, d), bank (m, d) -> (n,) float64.

    The scale S of a reference is the sum (`mean`: the mean) of its distances to its k nearest other references; where
    the bank has fewer, all others count and nothing is rescaled; a single reference has S = 0. Match `nearest` divides
    by S + eps at the nearest reference (on a tie the lowest index), `ratio` takes the minimum of the quotient over all
    references, as the literature does. Form `difference` takes S off the distance instead: d - S at the nearest
    reference, or the minimum of d - S over all; the score keeps the unit of the distance, can be negative and needs no
    eps. Both forms, with match `ratio`, scale `mean` and one bank of both domains, are those of Wilkinghoff et al.,
    Local density-based anomaly score normalization for domain generalization (arXiv:2509.10951, 2025).
    Metrics: L2 norm of the difference, or 1 - cos, where a zero vector is at distance 1 from all others and 0 from a
    zero vector. Distances come from coordinate differences, pair by pair: exact for near duplicates, and the same bytes
    whatever the other queries are.
    UserError: an empty bank, widths that differ, values that are not finite, an unknown option.
    """
    query, bank = as_vectors(query, "query vectors"), as_vectors(bank, "reference vectors")
    check_density_options(query, bank, k, metric, match, scale, eps, form)
    query, bank = prepare_vectors(query, metric), prepare_vectors(bank, metric)
    if match == "ratio":
        of_all = _neighbourhood_scale(bank, np.arange(len(bank)), k, metric, scale)
        least = np.empty(len(query))
        for rows in blocks(len(query), len(bank)):
            least[rows] = compare_to_scale(distances(query[rows], bank, metric), of_all, eps, form).min(axis=1)
        return least
    distance, nearest = _nearest_reference(query, bank, metric)
    matched, position = np.unique(nearest, return_inverse=True)
    of_nearest = _neighbourhood_scale(bank, matched, k, metric, scale)[position]
    return compare_to_scale(distance, of_nearest, eps, form)


def domain_conditioned_score(
    query: ArrayLike,
    source_bank: ArrayLike | None,
    target_bank: ArrayLike | None,
    k: int | Sequence[int] = (8, 5),
    metric: str = "euclidean",
    match: str = "nearest",
    scale: str = "sum",
    eps: float = EPS,
    banks: str = "domains",
    form: str = "ratio",
) -> NDArray[np.float64]:
    """The smaller of the two domains' local-density scores, Eq. 3: query (n, d), banks (m, d) -> (n,) float64.

    k holds K of the source and K of the target, or is one number for both. With K_s > K_t the scale `sum` favours the
    source: with (8, 5) its distances are divided by eight others, those to the target by five, so that of equally dense
    domains the source gives the minimum even at 8 / 5 = 1.6 times the distance; `mean` weighs them alike.
    Banks `pooled` makes one bank of both domains and takes one K: with K = 1 and match `ratio` the strongest single
    setting of the literature (see `local_density_score`, which explains the other options).
    A bank that is None or has no rows is left out; UserError if both are, and as in `local_density_score`.
    """
    k_source, k_target = neighbours_of_domains(k, banks)
    found = [
        (bank, k_domain)
        for bank, k_domain in ((source_bank, k_source), (target_bank, k_target))
        if bank is not None and len(np.asarray(bank))
    ]
    if not found:
        raise UserError("neither source nor target has a normal training clip: a score needs at least one")
    if banks == "pooled":
        found = [(np.concatenate([bank for bank, _ in found]), k_source)]
    return np.minimum.reduce(
        [local_density_score(query, bank, k_domain, metric, match, scale, eps, form) for bank, k_domain in found]
    )


def neighbours_of_domains(k: int | Sequence[int], banks: str) -> tuple[int, int]:
    """K of the source and of the target; UserError where k is no such setting, or two numbers are for one bank."""
    pair = (k, k) if isinstance(k, int | np.integer) else k
    if np.ndim(pair) != 1 or len(pair) != 2:
        raise UserError(f"k is {k!r}: give two numbers of neighbours, for the source and for the target, or one")
    for k_domain in pair:  # also of a domain without normals: the same setting serves machines that have some
        check_neighbours(k_domain)
    if banks not in BANKS:
        raise UserError(f"banks {banks!r} is unknown: use {' or '.join(BANKS)}")
    if banks == "pooled" and pair[0] != pair[1]:
        raise UserError(f"k is {k!r}: one bank of both domains has one number of neighbours: give {pair[0]}")
    return pair[0], pair[1]


def compare_to_scale(
    distance: NDArray[np.float64], neighbourhood: NDArray[np.float64], eps: float, form: str
) -> NDArray[np.float64]:
    """A distance against the neighbourhood scale S of its reference, by form: d / (S + eps) or d - S."""
    return distance / (neighbourhood + eps) if form == "ratio" else distance - neighbourhood


def neighbourhood_notes(
    n_source: int, n_target: int, k: int | Sequence[int] = (8, 5), banks: str = "domains"
) -> list[str]:
    """One line for each bank with fewer others than k = (K_s, K_t) asks, as 'K_t 5 -> 3: 4 target normals'."""
    k_source, k_target = neighbours_of_domains(k, banks)
    if banks == "pooled":
        size = n_source + n_target
        normals = f"{size} normal" + ("" if size == 1 else "s")
        return [f"K {k_source} -> {size - 1}: {normals}"] if k_source > size - 1 else []
    notes = []
    for domain, size, k_domain in (("source", n_source, k_source), ("target", n_target, k_target)):
        normals = f"{size} {domain} normal" + ("" if size == 1 else "s")
        if not size:
            other = "target" if domain == "source" else "source"
            notes.append(f"no {domain} normals: scored against the {other} alone")
        elif k_domain > size - 1:
            notes.append(f"K_{domain[0]} {k_domain} -> {size - 1}: {normals}")
    return notes


def check_density_options(
    query: NDArray, bank: NDArray, k: int, metric: str, match: str, scale: str, eps: float, form: str
) -> None:
    """UserError for arguments that `local_density_score` cannot use."""
    if not len(bank):
        raise UserError("the bank is empty: a local-density score needs at least one normal reference")
    if query.shape[1] != bank.shape[1]:
        raise UserError(
            f"query vectors have {query.shape[1]} features, reference vectors {bank.shape[1]}: condition both alike"
        )
    check_neighbours(k)
    if not eps > 0:
        raise UserError(f"eps is {eps!r}: it must be above 0, it keeps a scale of 0 from dividing")
    named = (("metric", metric, METRICS), ("match", match, MATCHES), ("scale", scale, SCALES), ("form", form, FORMS))
    for what, value, known in named:
        if value not in known:
            raise UserError(f"{what} {value!r} is unknown: use {' or '.join(known)}")


def check_neighbours(k: object) -> None:
    """UserError unless K is a whole number from 1."""
    if not is_count(k):
        raise UserError(f"K is {k!r}: give a whole number of neighbours from 1")


def prepare_vectors(x: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Vectors whose half squared distance is 1 - cos: unit vectors, with one more dimension for zero vectors.

    1 - cos computed so has no cancellation for vectors that nearly coincide, and is exactly 0 for equal ones.
    """
    if metric == "euclidean":
        return x
    largest = np.abs(x).max(axis=1, keepdims=True)
    zero = largest == 0
    x = x / np.where(zero, 1.0, largest)  # keeps the squares of tiny and of huge vectors within range
    norm = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    return np.concatenate([x / np.where(zero, 1.0, norm), zero], axis=1)


def distances(a: NDArray[np.float64], b: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """(n, d) and (m, d) prepared vectors -> (n, m)."""
    return cdist(a, b) if metric == "euclidean" else 0.5 * cdist(a, b, "sqeuclidean")


def distances_to_others(bank: NDArray[np.float64], rows: NDArray[np.intp], metric: str) -> NDArray[np.float64]:
    """Distances of some rows of a bank to all its rows (rows, m); infinite to themselves, not to identical copies."""
    others = distances(bank[rows], bank, metric)
    np.put_along_axis(others, rows[:, None], np.inf, axis=1)
    return others


def _nearest_reference(query: NDArray, bank: NDArray, metric: str) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distance to and index of the nearest reference, each (n,); on a tie the lowest index."""
    distance, index = np.empty(len(query)), np.empty(len(query), dtype=np.intp)
    for rows in blocks(len(query), len(bank)):
        of_rows = distances(query[rows], bank, metric)
        index[rows] = of_rows.argmin(axis=1)
        distance[rows] = of_rows.min(axis=1)
    return distance, index


def _neighbourhood_scale(bank: NDArray, rows: NDArray[np.intp], k: int, metric: str, scale: str) -> NDArray[np.float64]:
    """S of the references `rows`: their k smallest distances to others, added in ascending order."""
    n_neighbours = min(k, len(bank) - 1)
    sums = np.zeros(len(rows))
    if not n_neighbours:
        return sums
    for block in blocks(len(rows), len(bank)):
        others = distances_to_others(bank, rows[block], metric)
        nearest = np.sort(np.partition(others, n_neighbours - 1, axis=1)[:, :n_neighbours], axis=1)
        sums[block] = np.cumsum(nearest, axis=1)[:, -1]
    return sums / n_neighbours if scale == "mean" else sums
