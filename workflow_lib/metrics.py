"""The official figures of DCASE Task 2, from one column of anomaly scores or from many at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workflow_lib.errors import UserError

MAX_FPR = 0.1  # the challenge's p of pAUC
BLOCK_ELEMENTS = 1 << 15  # scores ranked at once: a block's temporaries stay in the processor's cache
NARROW, WIDE = (10, np.int32), (21, np.int64)  # bits of each of three counters in one number: 1,023 clips, 2 million
LABEL_BITS = 3  # the last two bits of a sorting key, which hold the clip's label


@dataclass(frozen=True)
class MachineMetrics:
    """The three figures of one machine; NaN where the clips do not define one (see `column_metrics`)."""

    source_auc: float
    target_auc: float
    pauc: float

    @property
    def figures(self) -> tuple[float, float, float]:
        """Source AUC, target AUC and pAUC in the order of the challenge's tables."""
        return self.source_auc, self.target_auc, self.pauc

    @property
    def harmonic_mean(self) -> float:
        """Harmonic mean of the three figures: NaN if one is undefined, 0 if one is 0."""
        return _harmonic_mean(np.array(self.figures))


def machine_metrics(score: ArrayLike, anomaly: ArrayLike, domain: ArrayLike) -> MachineMetrics:
    """Source AUC, target AUC and pAUC of one machine's test clips (paper section 3, official evaluator).

    score (n,) float, higher is more anomalous; anomaly (n,) 0 or 1; domain (n,) "source" or "target".
    Undefined figures are NaN; shapes that differ, NaN scores and unknown labels raise UserError. See `column_metrics`.
    """
    scores = _as_floats(score, "scores")
    if scores.ndim != 1:
        raise UserError(f"scores have the shape {scores.shape}: give one score for each clip, (n,)")
    return MachineMetrics(*column_metrics(scores[:, None], anomaly, domain)[:, 0].tolist())


def official_score(metrics: Sequence[MachineMetrics]) -> float:
    """Omega, the harmonic mean over all machines' three figures (paper section 3).

    NaN as soon as one figure is undefined, 0 if one is 0; no machine at all raises UserError.
    """
    if not metrics:
        raise UserError("the official score needs the metrics of at least one machine; there is none")
    return _harmonic_mean(np.array([machine.figures for machine in metrics]))


def column_metrics(
    scores: ArrayLike, anomaly: ArrayLike, domain: ArrayLike, max_fpr: float = MAX_FPR
) -> NDArray[np.float64]:
    """Source AUC, target AUC, pAUC of many score columns over the same clips: scores (n, g) -> (3, g) float64.

    Source AUC: the source's normals against the anomalies of both domains; target AUC likewise; pAUC: all clips,
    false-positive rates 0 ... max_fpr, standardised after McClish so that chance is 0.5, equal to scikit-learn's
    `roc_auc_score(max_fpr=...)`. Ties count half. NaN is the AUC of a domain without normals, the pAUC without any
    normal, and every figure without any anomaly.
    UserError: shapes that differ, scores that are not finite, labels other than 0/1, domains other than source/target.
    """
    rows = _as_floats(scores, "scores").T
    if rows.ndim != 2:
        raise UserError(f"score columns have the shape {rows.T.shape}: expected (clips, columns)")
    label = _clip_labels(rows, anomaly, domain)
    if not 0 < max_fpr <= 1:
        raise UserError(f"max_fpr is {max_fpr}: expected a false-positive rate above 0 and up to 1")
    figures = np.empty((3, len(rows)))
    for block in blocks(len(rows), rows.shape[1]):
        figures[:, block] = _curve_figures(_roc_counts(np.ascontiguousarray(rows[block]), label), max_fpr)
    return figures


def blocks(count: int, width: int, elements: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """Slices over `count` rows of `width` elements that keep a block within `elements`."""
    size = max(1, elements // max(1, width))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def resampled_metrics(
    score: ArrayLike, anomaly: ArrayLike, domain: ArrayLike, counts: ArrayLike, max_fpr: float = MAX_FPR
) -> NDArray[np.float64]:
    """Figures of resamples of the same clips: scores and labels (n,), counts (r, n) -> (3, r), as `column_metrics`.

    counts says how often each clip is in each resample; the figures are those of `column_metrics` on the clips so
    repeated, to the last bit. UserError as there, and for counts that are not whole or below 0.
    """
    row = _as_floats(score, "scores")[None]
    label = _clip_labels(row, anomaly, domain)
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != row.shape[1] or counts.dtype.kind not in "iu" or (counts < 0).any():
        raise UserError(f"counts of resamples must be whole numbers from 0, a row of {row.shape[1]} (clips) for each")
    counts = counts.astype(np.int64, copy=False)
    order = np.argsort(-row[0], kind="stable")
    ranked = row[0][order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of the runs of equal scores
    bits, dtype = WIDE
    step = _steps(bits, dtype)[label[order]]
    figures = np.empty((3, len(counts)))
    for block in blocks(*counts.shape):
        packed = np.zeros((len(counts[block]), len(ends) + 1), dtype=np.int64)
        packed[:, 1:] = np.cumsum(counts[block].take(order, axis=1) * step, axis=1)[:, ends]
        figures[:, block] = _curve_figures(_unpacked(packed, bits), max_fpr)
    return figures


def _curve_figures(counts: Sequence[NDArray[np.int64]], max_fpr: float) -> NDArray[np.float64]:
    """Anomalies, source and target normals at or above each threshold, three times (r, t) -> (3, r) figures.

    Areas are sums of whole numbers: the number of thresholds of a curve changes no bit of the result.
    """
    anomalies, source, target = counts
    twice_height = anomalies[:, 1:] + anomalies[:, :-1]
    pairs = 2.0 * anomalies[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is the NaN of an undefined figure
        return np.stack(
            [
                np.einsum("ij,ij->i", np.diff(source), twice_height) / (pairs * source[:, -1]),
                np.einsum("ij,ij->i", np.diff(target), twice_height) / (pairs * target[:, -1]),
                _partial_auc(anomalies, source + target, max_fpr),
            ]
        )


def _roc_counts(rows: NDArray[np.float64], label: NDArray[np.int64]) -> list[NDArray]:
    """Anomalies, source normals and target normals at or above each threshold, highest first: three times (r, n + 1).

    Within a run of equal scores the counts stay at those of its beginning, so that one straight segment crosses the
    tie: this counts ties half in every area.
    """
    bits, dtype = NARROW if rows.shape[1] < 1 << NARROW[0] else WIDE
    ranked, inside_tie = _ranked_labels(rows, label)
    counts = np.zeros((rows.shape[0], rows.shape[1] + 1), dtype=dtype)
    np.cumsum(_steps(bits, dtype)[ranked], axis=1, out=counts[:, 1:])
    if inside_tie is not None:
        counts[:, 1:-1] *= ~inside_tie
        np.maximum.accumulate(counts, axis=1, out=counts)
    return _unpacked(counts, bits)


def _ranked_labels(
    rows: NDArray[np.float64], label: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """(r, n) labels by descending score and (r, n - 1) where a score equals the one before; None where none does.

    The bits of finite floats, read as whole numbers, have the order of the floats except for the sign. Scores are
    sorted as such numbers, with the label in the last two bits. Scores that agree in all other bits are either a tie,
    whose labels may come in any order, or are sorted again as floats.
    """
    bits = (rows + 0.0).view(np.int64)  # + 0.0 makes -0.0 equal to 0.0
    keys = (~(bits ^ (bits >> 63 & np.iinfo(np.int64).max)) & ~LABEL_BITS) | label
    keys.sort(axis=1)
    ranked, labels = keys | LABEL_BITS, keys & LABEL_BITS
    alike = ranked[:, 1:] == ranked[:, :-1]
    if not alike.any():
        return labels, None
    descending = np.sort(-rows, axis=1)
    inside_tie = descending[:, 1:] == descending[:, :-1]
    if (alike != inside_tie).any():
        labels = label[np.argsort(-rows, axis=1)]
    return labels, inside_tie


def _steps(bits: int, dtype: type) -> NDArray:
    """(3,) what a clip of each label adds to the packed counters."""
    return np.left_shift(1, bits * np.arange(3), dtype=dtype)


def _unpacked(packed: NDArray, bits: int) -> list[NDArray]:
    """The three counters of packed counts."""
    return [packed >> bits * field & (1 << bits) - 1 for field in range(3)]


def _partial_auc(anomalies: NDArray[np.int64], normals: NDArray[np.int64], max_fpr: float) -> NDArray[np.float64]:
    """(r, t) counts -> (r,) standardised partial AUC; the segment that crosses max_fpr is cut by interpolation."""
    n_anomalies, n_normals = anomalies[:, -1].astype(np.float64), normals[:, -1].astype(np.float64)
    limit = max_fpr * n_normals
    # Normals only grow: segments that end within the limit come first, the next one, if there is one, crosses it.
    crossing = np.count_nonzero(normals[:, 1:] <= limit[:, None], axis=1)
    reach = int(crossing.max()) + 1
    anomalies, normals = anomalies[:, : reach + 1], normals[:, : reach + 1]
    run = np.diff(normals) * (np.arange(normals.shape[1] - 1) < crossing[:, None])
    twice_whole = np.einsum("ij,ij->i", run, anomalies[:, 1:] + anomalies[:, :-1])
    area = (0.5 * twice_whole + _crossing_area(anomalies, normals, crossing, limit)) / (n_anomalies * n_normals)
    chance = 0.5 * max_fpr**2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def _crossing_area(
    anomalies: NDArray[np.int64], normals: NDArray[np.int64], crossing: NDArray[np.int64], limit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(r, t) counts, (r,) segment that crosses the limit (r,) -> (r,) area below its part within; 0 if none crosses."""
    rows = np.arange(len(normals))
    end = np.minimum(crossing + 1, normals.shape[1] - 1)
    begin = np.minimum(crossing, end)
    run = normals[rows, end] - normals[rows, begin]
    width = np.where(run > 0, limit - normals[rows, begin], 0.0)
    share = width / np.maximum(run, 1)
    rise = anomalies[rows, end] - anomalies[rows, begin]
    return width * (anomalies[rows, begin] + 0.5 * share * rise)


def _clip_labels(rows: NDArray[np.float64], anomaly: ArrayLike, domain: ArrayLike) -> NDArray[np.int64]:
    """(n,) the counter that a clip belongs to: 0 anomalies, 1 source normals, 2 target normals."""
    anomaly, domain = _as_floats(anomaly, "anomaly labels"), np.asarray(domain, dtype=object).astype(str)
    n_clips = rows.shape[1]
    if anomaly.shape != (n_clips,) or domain.shape != (n_clips,):
        raise UserError(
            f"{n_clips} scores, anomaly labels of shape {anomaly.shape} and domains of shape {domain.shape}: "
            "give one of each for every clip"
        )
    if not n_clips:
        raise UserError("no clips: the metrics need at least one test clip")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=0))[0])
        raise UserError(
            f"the score of clip {bad} (counted from 0) is not a finite number: score it again or leave it out"
        )
    _require(np.isin(anomaly, (0, 1)), anomaly, "anomaly label", "0 (normal) or 1 (anomaly)")
    _require(np.isin(domain, ("source", "target")), domain, "domain", "source or target")
    return np.where(anomaly == 1, 0, np.where(domain == "source", 1, 2))


def _require(valid: NDArray[np.bool_], values: NDArray, what: str, expected: str) -> None:
    """UserError that names the first clip whose value is not an expected one."""
    if not valid.all():
        bad = int(np.flatnonzero(~valid)[0])
        raise UserError(f"the {what} of clip {bad} (counted from 0) is {str(values[bad])!r}: expected {expected}")


def _as_floats(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Array of float64; UserError where a value is no number."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} must be numbers in an array without gaps: {error}") from None


def harmonic_means(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonic means of figures in [0, 1], (r, f) -> (r,): NaN if any of the f is NaN, else 0 if any is 0."""
    with np.errstate(divide="ignore"):
        # Row by row in memory: a sum's last bit depends on the layout, and must not depend on the number of rows.
        means = figures.shape[1] / np.ascontiguousarray(1.0 / figures).sum(axis=1)
    return np.where(np.isnan(figures).any(axis=1), np.nan, means)


def _harmonic_mean(figures: NDArray[np.float64]) -> float:
    """Harmonic mean of figures in [0, 1]: NaN if any is NaN, else 0 if any is 0."""
    return float(harmonic_means(figures.reshape(1, -1))[0])
