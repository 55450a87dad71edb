"""Calibration: one robust sigmoid per branch, from the pooled scores of machines (paper, Eq. 4)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from workflow_lib.errors import UserError
from workflow_lib.scoring.score_table import AlignedScores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RobustSigmoid:
    """g_b of Eq. 4: 1 / (1 + exp(-(a - median) / iqr)).

    With an interquartile range of 0 it is the limit of the formula: 0 below the median, 0.5 at it, 1 above it.
    """

    median: float
    iqr: float

    @classmethod
    def fit(cls, scores: ArrayLike) -> Self:
        """Median and interquartile range (linear interpolation) of finite scores of any shape; UserError if none."""
        scores = np.asarray(scores, dtype=np.float64).ravel()
        if not scores.size or not np.isfinite(scores).all():
            raise UserError("calibration needs at least one score and only finite ones: check the score tables")
        lower, median, upper = np.percentile(scores, (25, 50, 75))
        return cls(float(median), float(upper - lower))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores of any shape -> the same shape in [0, 1]; a score's result does not depend on the others."""
        offset = np.asarray(scores, dtype=np.float64) - self.median
        if self.iqr == 0:
            return np.heaviside(offset, 0.5)
        with np.errstate(over="ignore"):  # a vast offset over a tiny range saturates
            return expit(offset / self.iqr)


def fit_calibration(machines: Mapping[str, AlignedScores], branches: Sequence[str]) -> dict[str, RobustSigmoid]:
    """Sigmoid of each branch from the pooled scores of all machines; labels are not read."""
    pooled = np.concatenate([scores.score for scores in machines.values()], axis=1)
    calibration = {branch: RobustSigmoid.fit(scores) for branch, scores in zip(branches, pooled, strict=True)}
    for branch, sigmoid in calibration.items():
        if sigmoid.iqr == 0:
            log.warning(
                "%s: half of the scores are equal (interquartile range 0); it enters the fusion as a step", branch
            )
    return calibration


def calibrated(scores: AlignedScores, calibration: Mapping[str, RobustSigmoid]) -> NDArray[np.float64]:
    """Calibrated scores (branches, n)."""
    return np.stack([calibration[branch](row) for branch, row in zip(scores.branches, scores.score, strict=True)])
