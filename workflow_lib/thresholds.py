"""Decision thresholds from the scores of normal clips: a quantile of a gamma fit, or of the scores themselves.

A clip is decided anomalous if its score is above the threshold. A gamma fit with a free location is unstable, so each
one is judged; one that failed gives no threshold and says why, and nothing is put in its place.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import FitError, gamma

from workflow_lib.errors import UserError

METHODS = ("gamma", "quantile")
LEAST_FITTED = 10  # normal clips: three parameters from fewer say nothing
FAR_OUT = 10  # ranges of the scores beyond their ends
SHARE_OFF, SHARE_DEVIATIONS = (
    0.05,
    3,
)  # how far the flagged share may be from the wanted one, and in binomial deviations


@dataclass(frozen=True)
class Threshold:
    """What a score has to exceed; NaN where none could be had, and then the note says why."""

    value: float
    normal_clips: int
    note: str = ""

    def decide(self, score: ArrayLike) -> NDArray[np.int64]:
        """1 where a score (n,) is above the threshold, else 0; UserError without a threshold."""
        if math.isnan(self.value):
            raise UserError(f"no decision without a threshold: {self.note}")
        return (np.asarray(score, dtype=np.float64) > self.value).astype(np.int64)


def decision_threshold(normal: ArrayLike, method: str = "gamma", quantile: float = 0.9) -> Threshold:
    """Threshold that the fraction 1 - quantile of normal clips exceeds, from their finite scores (n,).

    gamma: the quantile of a gamma distribution fitted with free shape, location and scale, as the challenge baseline
    does; quantile: that of the scores, linearly interpolated. UserError: an unknown method, a quantile outside 0 … 1.
    """
    normal = np.asarray(normal, dtype=np.float64).ravel()
    if method not in METHODS:
        raise UserError(f"threshold method {method!r} is unknown: use {' or '.join(METHODS)}")
    if not 0 < quantile < 1:
        raise UserError(f"threshold quantile is {quantile!r}: write a number between 0 and 1")
    if not len(normal):
        return Threshold(math.nan, 0, "no normal scores")
    if method == "quantile":
        return Threshold(float(np.quantile(normal, quantile)), len(normal))
    value, fault = _fit_gamma(normal, quantile)
    return Threshold(math.nan, len(normal), f"gamma fit failed: {fault}") if fault else Threshold(value, len(normal))


def _fit_gamma(normal: NDArray[np.float64], quantile: float) -> tuple[float, str]:
    """The fitted quantile and what is wrong with the fit, empty if nothing is."""
    if len(normal) < LEAST_FITTED:
        return math.nan, f"{len(normal)} normal clips, it needs {LEAST_FITTED}"
    if normal.min() == normal.max():
        return math.nan, "all normal clips have the same score"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps on the way; the result is judged
            shape, location, scale = gamma.fit(normal)
            value = float(gamma.ppf(quantile, shape, location, scale))
    except (FitError, ValueError, ArithmeticError) as error:
        return math.nan, " ".join(str(error).split()).rstrip(".")
    return value, _misfit(value, (shape, location, scale), normal, quantile)


def _misfit(value: float, parameters: tuple[float, ...], normal: NDArray[np.float64], quantile: float) -> str:
    """Why a fitted quantile cannot be the scores' own, or nothing."""
    shown = "shape {:.4g}, location {:.4g}, scale {:.4g}".format(*parameters)
    if not np.isfinite([value, *parameters]).all():
        return f"not finite ({shown})"
    low, high = float(normal.min()), float(normal.max())
    room = FAR_OUT * (high - low)
    if not low - room <= value <= high + room:
        return f"its threshold {value:.4g} is far from all normal scores, {low:.4g} to {high:.4g} ({shown})"
    share, wanted = float((normal > value).mean()), 1 - quantile
    if abs(share - wanted) > SHARE_OFF + SHARE_DEVIATIONS * math.sqrt(wanted * quantile / len(normal)):
        return f"its threshold {value:.4g} flags {share:.1%} of the normal clips instead of {wanted:.1%} ({shown})"
    return ""
