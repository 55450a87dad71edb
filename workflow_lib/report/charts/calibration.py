"""The chart of calibration: how each branch's scores map to 0 … 1, fold by fold; plain numbers in."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_lib.fusion.calibration import RobustSigmoid
from workflow_lib.report.charts.drawing import ACCENT, FAINT, figure_style
from workflow_lib.report.charts.plots import short

_POINTS = 33
_REACH = 4.0  # interquartile ranges at both sides of the median: g is within 2 % of its ends


@figure_style()
def calibration_curves(branches: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """A panel for each branch with a curve for each fold; {branch: {held out: (median, iqr)}}."""
    columns = min(3, len(branches))
    rows = -(-len(branches) // columns)
    figure = Figure(figsize=(2.4 * columns + 0.3, 1.75 * rows + 0.2), layout="constrained")
    for place, (branch, folds) in enumerate(branches.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        _panel(axes, folds, labels=place % columns == 0)
        axes.set_title(short(branch), fontweight="bold")
    return figure


def _panel(axes: Axes, folds: Mapping[str, tuple[float, float]], *, labels: bool) -> None:
    medians, widths = (np.array(values) for values in zip(*folds.values(), strict=True))
    score = np.linspace(float((medians - _REACH * widths).min()), float((medians + _REACH * widths).max()), _POINTS)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    for median, iqr in folds.values():
        axes.plot(score, RobustSigmoid(median, iqr)(score), color=ACCENT, linewidth=1.2, alpha=0.7)
    axes.set(ylim=(-0.03, 1.03))
    axes.set_xlabel("score", size=8)
    axes.set_ylabel("g" if labels else "", size=8)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"] if labels else [""] * 3)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=8)
