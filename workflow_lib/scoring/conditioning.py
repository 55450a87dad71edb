"""From token statistics to scored vectors: the view of the channels, standardisation, PCA or covariance, whitening."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import svd
from threadpoolctl import threadpool_limits

from workflow_lib.errors import UserError
from workflow_lib.scoring.mahalanobis import FALLBACK_SHRINKAGE

COVARIANCES = ("ledoit_wolf",)
VIEWS = ("near", "far", "cancelled", "near-far")


def view_matrix(
    stored: Mapping[str, Mapping[str, ArrayLike]], view: Sequence[str], statistics: Sequence[str] = ("mean", "std")
) -> NDArray[np.float64]:
    """Vectors of a branch from the statistics of its channels (paper section 2.2).

    stored: channel -> name -> statistic (n, d); each view entry gives the statistics, one after the other, of `near`,
    `far` or `cancelled`, or of the difference z_near - z_far, and the entries are concatenated in the order of the
    view: (n, d len(statistics) len(view)) float64.
    UserError: no entry, an unknown entry, or a channel or statistic that was not stored.
    """
    if isinstance(view, str) or not view:
        raise UserError(f"view is {view!r}: give a list with at least one of {', '.join(VIEWS)}")
    return np.concatenate([_view_entry(stored, entry, statistics) for entry in view], axis=1)


def _view_entry(
    stored: Mapping[str, Mapping[str, ArrayLike]], entry: str, statistics: Sequence[str]
) -> NDArray[np.float64]:
    """The statistics of one view entry: (n, d len(statistics))."""
    if entry not in VIEWS:
        raise UserError(f"view entry {entry!r} is unknown: use {', '.join(VIEWS)}")
    vectors = []
    for channel in entry.split("-"):
        if channel not in stored:
            raise UserError(
                f"view entry {entry!r} needs the {channel} channel, which these clips lack: choose a view without it"
            )
        if missing := [name for name in statistics if name not in stored[channel]]:
            raise UserError(f"statistics {', '.join(missing)}: not stored: use {', '.join(stored[channel])}")
        vectors.append(np.concatenate([np.asarray(stored[channel][name], np.float64) for name in statistics], axis=1))
    return vectors[0] if len(vectors) == 1 else vectors[0] - vectors[1]


class Conditioner:
    """Standardisation, PCA and whitening, fitted on normal training vectors only (paper sections 2.3 and 2.4).

    components: number of principal components, or None for no PCA; whiten: unit variance of every component (without
    PCA: of every feature, which is standardisation); standardise: zero mean and unit variance of every feature before
    the PCA, by default done unless components is None and whiten is False: that conditioner is the identity.
    covariance: "ledoit_wolf" takes the place of these three: features are standardised, then whitened by all directions
    of the covariance that Ledoit and Wolf (2004) estimate, (1 - s) S + s tr(S) / d I with s from the same vectors.
    Directions of little variance count as much as the others, and those that too few clips span have a variance too.

    After `fit`: `components_` (c, d) float64 principal axes or None, `n_components_` the width of the output, `notes`
    one line for each reduction that the training set forced. The fit is exact (singular value decomposition in float64)
    and its signs are fixed.
    """

    def __init__(
        self,
        components: int | None = 768,
        whiten: bool = True,
        standardise: bool | None = None,
        covariance: str | None = None,
    ) -> None:
        if components is not None and not is_count(components):
            raise UserError(f"components is {components!r}: give a whole number from 1, or none for no PCA")
        if components is None and whiten and standardise is False:
            raise UserError(
                "whitening without PCA is standardisation: set components, or whiten to false, or standardise to true"
            )
        if covariance not in (None, *COVARIANCES):
            raise UserError(f"covariance {covariance!r} is unknown: use {' or '.join(COVARIANCES)}, or none for PCA")
        if covariance and (components != 768 or not whiten or standardise is False):
            raise UserError(f"covariance {covariance} whitens standardised vectors: leave out the other settings")
        self.components = None if covariance else components
        self.whiten = whiten
        self.standardise = (components is not None or whiten) if standardise is None else standardise
        self.covariance = covariance
        self.notes: list[str] = []
        self.components_: NDArray[np.float64] | None = None
        self.n_components_: int | None = None

    def fit(self, normal: ArrayLike) -> Self:
        """Fit to normal (n, d), at least one vector; where all are the same, no direction is fitted, with a note."""
        normal = as_vectors(normal, "normal training vectors")
        if not len(normal):
            raise UserError("conditioning needs normal training clips; there is none")
        self.notes, self.components_ = [], None
        self._n_features = self.n_components_ = normal.shape[1]
        self._mean = normal.mean(axis=0)
        self._scale = _feature_scale(normal, self._mean) if self.standardise else np.ones(normal.shape[1])
        if self.components is not None:
            self._fit_pca((normal - self._mean) / self._scale, self.components)
        elif self.covariance:
            axes, deviation, self.notes = ledoit_wolf_axes(centre(normal) / self._scale)
            if len(axes):
                self._project_on(axes, deviation)
        return self

    def transform(self, x: ArrayLike) -> NDArray[np.float64]:
        """(n, d) -> (n, n_components_) float64; the bytes of a row do not depend on the other rows (leakage rule 3)."""
        if self.n_components_ is None:
            raise UserError("the conditioner is not fitted: call fit with normal training vectors first")
        x = as_vectors(x, "vectors")
        if x.shape[1] != self._n_features:
            raise UserError(
                f"vectors have {x.shape[1]} features, the conditioner was fitted on {self._n_features}: "
                "use the same view and block"
            )
        if not self.standardise and self.components is None:
            return x.copy()
        conditioned = (x - self._mean) / self._scale
        if self.components_ is None:
            return conditioned
        # Not `@`: the order in which BLAS adds depends on the number of rows and threads, that of einsum does not.
        return np.einsum("ij,jk->ik", conditioned, self._projection)

    def _fit_pca(self, centred: NDArray[np.float64], components: int) -> None:
        """Principal axes of centred vectors (n, d), at most as many as they span."""
        with threadpool_limits(1, user_api="blas"):  # the last bits of an SVD depend on the number of threads
            _, singular, axes = svd(centred, full_matrices=False, check_finite=False)
        tolerance = singular[0] * max(centred.shape) * np.finfo(np.float64).eps
        rank = int((singular > tolerance).sum())
        if not rank:
            self.notes.append(f"no PCA and no whitening: {_same(len(centred))}")
            return
        kept = min(components, rank)
        if kept < components:
            self.notes.append(f"PCA {components} -> {kept} components: {_limit(len(centred), centred.shape[1], rank)}")
        self.n_components_ = kept
        deviation = singular[:kept] / np.sqrt(len(centred) - 1) if self.whiten else np.ones(kept)
        self._project_on(axes[:kept], deviation)

    def _project_on(self, axes: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
        """Take axes (c, d), over the deviations (c,) along them, as what `transform` projects on."""
        # The SVD leaves signs open: the largest loading of every axis is made positive.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        self.components_ = axes * np.sign(largest)
        self._projection = np.ascontiguousarray(self.components_.T / deviation)


def centre(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (n, d) less their mean, exactly 0 where a feature is constant: what rounding leaves has no direction."""
    mean = normal.mean(axis=0)
    return np.where(_is_constant(normal, mean), 0.0, normal - mean)


def ledoit_wolf_axes(
    centred: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """All eigenvectors (d, d), in rows, of the Ledoit-Wolf covariance of centred vectors (n, d), from the largest.

    Also the roots (d,) of their eigenvalues, and notes; no eigenvector, with a note, where all vectors are 0. They are
    those of the covariance as it is, found by a singular value decomposition of the vectors: of n < d clips it costs
    less than that of a covariance (d, d), and squares no rounding errors.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage  # a second to import, which few scoring jobs need

    n_clips, n_features = centred.shape
    if not centred.any():
        return np.empty((0, n_features)), np.empty(0), [f"no whitening: {_same(n_clips)}"]
    with threadpool_limits(1, user_api="blas"):  # the last bits of an SVD depend on the number of threads
        shrinkage = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
        _, singular, axes = svd(centred, full_matrices=n_clips < n_features, check_finite=False)
    variance = np.zeros(n_features)
    variance[: len(singular)] = np.square(singular) / n_clips
    tolerance = variance[0] * max(centred.shape) * np.finfo(np.float64).eps
    notes = []
    if ((1.0 - shrinkage) * variance + shrinkage * variance.mean()).min() <= tolerance:
        rank = int((variance > tolerance).sum())
        why = f"shrunk by {FALLBACK_SHRINKAGE} to be invertible: {_count(n_clips, 'normal training clip')}"
        notes = [f"Ledoit-Wolf covariance has rank {rank} of {n_features}: {why}"]
        shrinkage = FALLBACK_SHRINKAGE
    return axes, np.sqrt((1.0 - shrinkage) * variance + shrinkage * variance.mean()), notes


def as_vectors(x: ArrayLike, what: str) -> NDArray[np.float64]:
    """(n, d) contiguous float64; UserError for another shape or a value that is not finite."""
    try:
        x = np.ascontiguousarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} must be an array of numbers (n, d): {error}") from None
    if x.ndim != 2 or not x.shape[1]:
        raise UserError(f"{what} have the shape {x.shape}: expected (n, d), one row for each clip")
    if not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise UserError(
            f"{what}: row {bad} (counted from 0) holds a value that is not finite: check that clip's recording"
        )
    return x


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 1."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def _feature_scale(normal: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population standard deviation of every feature, 1 where the feature is constant up to rounding."""
    return np.where(_is_constant(normal, mean), 1.0, _deviation(normal, mean))


def _is_constant(normal: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which features (d,) do not vary beyond rounding."""
    return _deviation(normal, mean) <= 10 * np.finfo(np.float64).eps * np.abs(normal).max(axis=0)


def _deviation(normal: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(normal - mean).mean(axis=0))


def _limit(n_clips: int, n_features: int, rank: int) -> str:
    """Why a PCA keeps no more than `rank` components of the training vectors."""
    if rank == n_clips - 1:
        return _count(n_clips, "normal training clip")
    if rank == n_features:
        return _count(n_features, "feature")
    return f"the {_count(n_clips, 'normal training clip')} span no more"


def _same(n_clips: int) -> str:
    """That a fit found no direction: '1 normal training clip with one and the same vector'."""
    return f"{_count(n_clips, 'normal training clip')} with one and the same vector"


def _count(number: int, noun: str) -> str:
    """'1 clip', '2 clips'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
