"""Decision thresholds from the scores of normal clips: a quantile of a gamma fit, or of the scores themselves.

A clip is decided anomalous if its score is above the threshold. A gamma fit with a free location is unstable, so each
fit is checked; a failed one gives no threshold but a note with the reason, and nothing replaces it.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import FitError, binom, binomtest, gamma, kstest

from workflow_lib.errors import UserError

METHODS = ("gamma", "quantile")
LEAST_FITTED = 10  # normal clips: too few for three parameters below
FAR_OUT = 1  # how far beyond the scores a threshold may lie, in ranges of the scores
SHARE_LEVEL = 0.01  # two-sided binomial test of how many normal clips are flagged
NONE_LEVEL = 0.05  # chance that none is flagged, above which a threshold over all normal clips is accepted
# Kolmogorov's critical value at 0.1 %, times the root of the number of clips: lenient, because the parameters come from
# the same scores. A distance up to CLOSE is accepted for any number of clips.
KOLMOGOROV, CLOSE = 1.95, 0.1


@dataclass(frozen=True)
class Threshold:
    """The score above which a clip is anomalous; NaN where there is none, and then the note gives the reason.

    A note beside a number says what is unusual about it.
    """

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
    does; quantile: that of the scores, linearly interpolated. UserError: an unknown method, a quantile outside 0 … 1, a
    score that is no finite number.
    """
    normal = np.asarray(normal, dtype=np.float64).ravel()
    if method not in METHODS:
        raise UserError(f"threshold method {method!r} is unknown: use {' or '.join(METHODS)}")
    if not 0 < quantile < 1:
        raise UserError(f"threshold quantile is {quantile!r}: write a number between 0 and 1")
    if unusable := int((~np.isfinite(normal)).sum()):
        raise UserError(f"{unusable} of {len(normal)} normal scores are no finite numbers: score these clips again")
    if not len(normal):
        return Threshold(math.nan, 0, "no normal scores")
    value, fault = _fit_gamma(normal, quantile) if method == "gamma" else (float(np.quantile(normal, quantile)), "")
    if fault:
        return Threshold(math.nan, len(normal), f"gamma fit failed: {fault}")
    if (normal > value).any():
        return Threshold(value, len(normal))
    # With ties at the top, a clip there counts as normal.
    ties = int((normal == normal.max()).sum())
    tied = f": {ties} of them tie at the highest score, {value:.4g}" if value == normal.max() and ties > 1 else ""
    return Threshold(value, len(normal), f"flags none of the {len(normal)} normal clips{tied}")


def baseline_threshold(sample: ArrayLike, quantile: float = 0.9) -> Threshold:
    """The challenge baseline's own threshold: the quantile of a gamma distribution fitted to its batch values (n,).

    The baseline fits averages over whole batches and accepts any result; so does this, for equality, and the note gives
    the fault that `decision_threshold` would have found. A fit that gives no number gives no threshold.
    """
    sample = np.asarray(sample, dtype=np.float64).ravel()
    if not np.isfinite(sample).all():
        return Threshold(math.nan, len(sample), "gamma fit failed: batch values that are no finite numbers")
    value, fault = _fit_gamma(sample, quantile, least=1)
    note = f"{fault}; kept as the baseline keeps it" if fault and math.isfinite(value) else fault
    return Threshold(value, len(sample), note if math.isfinite(value) else f"gamma fit failed: {fault}")


def _fit_gamma(normal: NDArray[np.float64], quantile: float, least: int = LEAST_FITTED) -> tuple[float, str]:
    """The fitted quantile, and the fault of the fit or an empty text."""
    if len(normal) < least:
        return math.nan, f"{len(normal)} normal clips, it needs {least}"
    if normal.min() == normal.max():
        return math.nan, "all normal clips have the same score"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about intermediate steps; the result is checked below
            shape, location, scale = gamma.fit(normal)
            value = float(gamma.ppf(quantile, shape, location, scale))
    except (FitError, ValueError, ArithmeticError) as error:
        return math.nan, " ".join(str(error).split()).rstrip(".")
    return value, _misfit(value, (shape, location, scale), normal, quantile)


def _misfit(value: float, parameters: tuple[float, ...], normal: NDArray[np.float64], quantile: float) -> str:
    """Why a fitted quantile does not describe the scores, or an empty text."""
    shown = "shape {:.4g}, location {:.4g}, scale {:.4g}".format(*parameters)
    if not np.isfinite([value, *parameters]).all():
        return f"not finite ({shown})"
    low, high = float(normal.min()), float(normal.max())
    room = FAR_OUT * (high - low)
    if not low - room <= value <= high + room:
        return f"its threshold {value:.4g} is far from all normal scores, {low:.4g} to {high:.4g} ({shown})"
    flagged, wanted = int((normal > value).sum()), 1 - quantile
    if not flagged and binom.pmf(0, len(normal), wanted) < NONE_LEVEL:
        return f"its threshold {value:.4g} flags none of {len(normal)} normal clips instead of {wanted:.1%} ({shown})"
    if binomtest(flagged, len(normal), wanted).pvalue < SHARE_LEVEL:
        share = flagged / len(normal)
        return f"its threshold {value:.4g} flags {share:.1%} of the normal clips instead of {wanted:.1%} ({shown})"
    distance = float(kstest(normal, gamma(*parameters).cdf).statistic)
    if distance > max(CLOSE, KOLMOGOROV / math.sqrt(len(normal))):
        return f"the normal scores are no gamma distribution, Kolmogorov-Smirnov distance {distance:.2f} ({shown})"
    return ""
