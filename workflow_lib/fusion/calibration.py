"""Calibration: what brings the scores of a machine's branches to one scale before they are summed.

`selection`: a robust sigmoid per branch, from the pooled test scores of the selection machines (paper, Eq. 4).
`normal`: z over the branch's scores of the normal training clips of the same machine.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from workflow_lib.errors import UserError
from workflow_lib.scoring.score_table import AlignedScores, ScoreTable

log = logging.getLogger(__name__)

CALIBRATIONS = ("selection", "normal")
NO_SPREAD = 1e-12  # of the largest score: a deviation within it is rounding

Scales = Mapping[str, Callable[[ArrayLike], NDArray[np.float64]]]  # branch -> what calibrates its scores


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


@dataclass(frozen=True)
class NormalScale:
    """z = (a - mean) / deviation over a branch's scores of the normal training clips of one machine.

    deviation: population standard deviation. Without spread (fewer than two scores, or all equal) it is 1, and without
    any score the mean is 0: the clips keep the order of their scores, in the branch's own unit; `spread` is then false.
    """

    mean: float
    deviation: float
    normal_clips: int
    spread: bool = True

    @classmethod
    def fit(cls, scores: ArrayLike) -> Self:
        """Mean and population standard deviation of finite scores of any shape, which may be none."""
        scores = np.asarray(scores, dtype=np.float64).ravel()
        if not np.isfinite(scores).all():
            raise UserError("scores of normal training clips must be finite: check their tables")
        if not scores.size:
            return cls(0.0, 1.0, 0, False)
        deviation = float(scores.std())
        spread = scores.size > 1 and deviation > NO_SPREAD * float(np.abs(scores).max())
        return cls(float(scores.mean()), deviation if spread else 1.0, scores.size, spread)

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores of any shape -> z of the same shape; a score's result does not depend on the others."""
        return (np.asarray(scores, dtype=np.float64) - self.mean) / self.deviation

    @property
    def note(self) -> str:
        """What is said of a scale without spread; "" for any other."""
        if self.spread:
            return ""
        found = "scores are equal" if self.normal_clips > 1 else f"clips: {self.normal_clips}"
        return f"no standard deviation (normal training {found}): z is the score minus the mean, not divided"


def normal_scales(normal: Mapping[str, Any] | None, branches: Sequence[str], machine: str) -> dict[str, NormalScale]:
    """Scale of each branch on one machine; normal: branch -> score table of the machine's normal training clips.

    UserError: a branch without such a table, a clip that is labelled anomalous.
    """
    missing = [branch for branch in branches if branch not in (normal or {})]
    if normal is None or missing:
        what = f"no scores of normal training clips of {', '.join(missing)}"
        raise UserError(f"{machine}: {what}: `calibration: normal` needs a table of each branch (`normal=`)")
    scales = {}
    for branch in branches:
        table = ScoreTable.from_any(normal[branch], f"{machine}/{branch}, normal training clips")
        if (table.anomaly == 1).any():
            raise UserError(
                f"{machine}/{branch}: only normal training clips calibrate; remove those labelled anomalous"
            )
        scales[branch] = NormalScale.fit(table.score)
        if scales[branch].note:
            log.warning("%s, %s: %s", machine, branch, scales[branch].note)
    return scales


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


def calibrated(scores: AlignedScores, calibration: Scales) -> NDArray[np.float64]:
    """Calibrated scores (branches, n)."""
    return np.stack([calibration[branch](row) for branch, row in zip(scores.branches, scores.score, strict=True)])


def machine_levels(
    machines: Mapping[str, AlignedScores], calibration: Scales, scales: Mapping[str, Scales] | None
) -> dict[str, AlignedScores]:
    """Calibrated scores of machines: all by one calibration, or with `scales` (by machine) each by its own."""
    return {
        machine: replace(scores, score=calibrated(scores, calibration if scales is None else scales[machine]))
        for machine, scores in machines.items()
    }
