"""ROC curves of one machine: source, target and all clips, with the region that the pAUC looks at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from workflow_lib.evaluation.evidence_rows import RankingRow
from workflow_lib.report.charts.drawing import ACCENT, FAINT, INK, MUTED, NORMAL, figure_style
from workflow_lib.report.charts.plots import short, strips

PAUC_LIMIT = 0.1  # largest false-positive rate of the challenge's pAUC
_SMALLEST_STEP = 0.004  # of an axis: less than a pixel
_STYLES: dict[str, dict[str, Any]] = {
    "all clips": {"color": INK, "linewidth": 1.8},
    "source": {"color": NORMAL, "linewidth": 1.3},
    "target": {"color": ACCENT, "linewidth": 1.3, "linestyle": (0, (4, 1.5))},
}


@dataclass(frozen=True)
class Roc:
    """Corners of one curve, from (0, 0) to (1, 1): false- and true-positive rates (points,)."""

    false_positive: NDArray[np.float64]
    true_positive: NDArray[np.float64]


def roc(score: NDArray[np.float64], anomaly: NDArray[np.bool_]) -> Roc | None:
    """The curve of scores (clips,); clips of equal score enter together; None where a class is missing."""
    if anomaly.all() or not anomaly.any():
        return None
    x, y, _ = roc_curve(anomaly, score, drop_intermediate=False)
    # Without the points in the middle of a straight line: the same curve in a fraction of the page.
    turn = np.diff(x[:-1]) * np.diff(y[1:]) - np.diff(y[:-1]) * np.diff(x[1:])
    kept = np.concatenate([[True], np.abs(turn) > 1e-15, [True]])
    return Roc(x[kept], y[kept])


def rocs_of(rows: Sequence[RankingRow]) -> dict[str, Roc]:
    """Curves of one machine as its figures are defined: all anomalies against the normal clips of one domain, or all.

    Empty where a label is unknown, as then the figures are undefined too.
    """
    if any(row.anomaly is None for row in rows):
        return {}
    score, anomaly = np.array([row.score for row in rows]), np.array([bool(row.anomaly) for row in rows])
    domain = np.array([row.domain for row in rows])
    kept = {"all clips": np.full(len(rows), True)}
    if (domain[~anomaly] != "").all():
        kept |= {name: anomaly | (domain == name) for name in ("source", "target")}
    found = {name: roc(score[keep], anomaly[keep]) for name, keep in kept.items()}
    return {name: curve for name, curve in found.items() if curve}


@figure_style()
def roc_panels(machines: Mapping[str, Mapping[str, Roc]]) -> Figure:
    """A panel for each machine with its curves."""
    columns = min(4, len(machines))
    rows = -(-len(machines) // columns)
    figure = Figure(figsize=(2.1 * columns + 0.3, 2.3 * rows + 0.3), layout="constrained")
    for place, (machine, curves) in enumerate(machines.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        draw_rocs(axes, curves, legend=place == 0)
        axes.set_title(short(machine), fontweight="bold")
    return figure


@figure_style()
def machine_panels(groups: Mapping[str, np.ndarray], threshold: float | None, curves: Mapping[str, Roc]) -> Figure:
    """One machine at a glance: scores by domain and label with the threshold and, where labelled, the ROC curves."""
    if not curves:
        figure = Figure(figsize=(5.0, 0.75 + 0.3 * len(groups)), layout="constrained")
        _scores(figure.add_subplot(), groups, threshold)
        return figure
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    _scores(left, groups, threshold)
    draw_rocs(right, curves, legend=True)
    right.set_title("ROC; shaded: region of the pAUC")
    return figure


def _scores(axes: Axes, groups: Mapping[str, np.ndarray], threshold: float | None) -> None:
    strips(axes, groups, threshold)
    axes.set_title("Anomaly scores" + ("" if threshold is None else "; dashed: decision threshold"))


def draw_rocs(axes: Axes, curves: Mapping[str, Roc], *, legend: bool) -> None:
    """Curves by name on square axes; the area below `all clips` up to the limit of the pAUC is shaded."""
    axes.axvspan(0, PAUC_LIMIT, color=FAINT, alpha=0.45, linewidth=0)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    drawn = {name: _thinned(curve) for name, curve in curves.items()}
    if whole := drawn.get("all clips"):
        _shade(axes, whole)
    for name, style in _STYLES.items():
        if name in drawn:
            axes.plot(drawn[name].false_positive, drawn[name].true_positive, label=name, **style)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.set_xlabel("false-positive rate", size=8)
    axes.set_ylabel("true-positive rate", size=8)
    axes.set_xticks([0, PAUC_LIMIT, 0.5, 1], ["0", "0.1", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=8)
    if legend:
        axes.legend(loc="lower right", frameon=False, fontsize=8, handlelength=1.6)


def _thinned(curve: Roc) -> Roc:
    """Without steps that nobody could see: thousands of clips would make the page several times larger."""
    points = np.column_stack([curve.false_positive, curve.true_positive])
    kept = [0]
    for place in range(1, len(points) - 1):
        if np.abs(points[place] - points[kept[-1]]).max() >= _SMALLEST_STEP:
            kept.append(place)
    shown = points[[*kept, len(points) - 1]]
    return Roc(shown[:, 0], shown[:, 1])


def _shade(axes: Axes, curve: Roc) -> None:
    place = int(np.searchsorted(curve.false_positive, PAUC_LIMIT))  # the first corner at the limit or beyond
    before, beyond = slice(0, place), slice(place - 1, place + 1)
    edge = np.interp(PAUC_LIMIT, curve.false_positive[beyond], curve.true_positive[beyond])
    x, y = np.append(curve.false_positive[before], PAUC_LIMIT), np.append(curve.true_positive[before], edge)
    axes.fill_between(x, 0, y, color=ACCENT, alpha=0.35, linewidth=0)
