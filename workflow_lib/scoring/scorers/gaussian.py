"""Mahalanobis distance to the nearer domain's mean: a Gaussian of each domain, with the covariance that both share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_lib.scoring.conditioning import centre, ledoit_wolf_axes

FOLDS = 10


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Normal vectors (m_s, d) and (m_t, d), domain means (1 or 2, d), and the whitening of deviations from them."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    means: NDArray[np.float64]
    whitening: NDArray[np.float64]
    notes: list[str]
    normal_kind: str = "each clip by a fit to other nine tenths; the conditioner, and an adapted model, have seen it"

    def score(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n,) float64."""
        whitened = [np.einsum("ij,jk->ik", query - mean, self.whitening) for mean in self.means]  # no BLAS: any company
        return np.sqrt(np.min([np.einsum("ij,ij->i", x, x) for x in whitened], axis=0))

    def normal_scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (m_s,) and (m_t,), each clip by a fit to the other nine tenths; NaN for an only clip."""
        clips, of_source = np.concatenate([self.source, self.target]), len(self.source)
        number, scores = np.arange(len(clips)), np.full(len(clips), np.nan)
        for fold in range(min(FOLDS, len(clips)) if len(clips) > 1 else 0):
            scored = number % FOLDS == fold
            rest = [clips[~scored & domain] for domain in (number < of_source, number >= of_source)]
            scores[scored] = fit_gaussian(*rest).score(clips[scored])
        return scores[:of_source], scores[of_source:]


def fit_gaussian(source: NDArray[np.float64], target: NDArray[np.float64]) -> Gaussian:
    """Means of the domains and one Ledoit-Wolf covariance of all vectors, each less the mean of its domain."""
    domains = [vectors for vectors in (source, target) if len(vectors)]
    axes, deviation, notes = ledoit_wolf_axes(np.concatenate([centre(vectors) for vectors in domains]))
    whitening = np.ascontiguousarray(axes.T / deviation) if len(axes) else np.eye(source.shape[1])
    return Gaussian(source, target, np.stack([x.mean(axis=0) for x in domains]), whitening, notes)
