"""The chart of training: loss by step and, where clips were withheld, accuracy by epoch; plain numbers in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow_lib.report.charts.drawing import ACCENT, FAINT, INK, MUTED, UNKNOWN, evenly, figure_style

_WIDTH_IN = 8.0
_PANEL_HEIGHT_IN = 2.2
_POINTS_PER_PANEL = 2000  # of all curves together: a point per step would make the page several times larger
_FEW_STEPS = 12  # a curve so short shows its points
_LABELLED_CURVES = 4
MEDIAN_FROM = 5  # curves; of fewer each can be followed
_LABEL_GAP = 0.11  # of a panel's height
_LONGEST_LABEL = 24


@dataclass(frozen=True)
class Curve:
    """One model: losses (steps,), and accuracies (epochs,) between 0 and 1 that may be none."""

    label: str
    emphasised: bool
    untrained: bool
    steps: np.ndarray
    losses: np.ndarray
    epochs: np.ndarray
    accuracies: np.ndarray

    @property
    def colour(self) -> str:
        """Grey as everywhere where random weights are below."""
        return UNKNOWN if self.untrained else ACCENT


@dataclass(frozen=True)
class Panel:
    """Curves that are compared with each other, and what chance gets right for each that has accuracies."""

    title: str
    curves: tuple[Curve, ...]
    chances: tuple[float, ...]


@dataclass(frozen=True)
class _End:
    """The right end of a line, with its name."""

    label: str
    x: float
    y: float
    colour: str


def smoothing_window(steps: int) -> int:
    """Steps in the moving mean for runs of that length: odd, about a twentieth; 1 leaves short runs as they are."""
    return 2 * (steps // 40) + 1


@figure_style()
def training_curves(panels: Sequence[Panel]) -> Figure:
    """A row for each panel: loss by step at the left and, where any curve has some, accuracies at the right."""
    validated = any(panel.chances for panel in panels)
    size_in = (_WIDTH_IN if validated else 0.65 * _WIDTH_IN, _PANEL_HEIGHT_IN * len(panels))
    figure = Figure(figsize=size_in, layout="constrained")
    widths = [1.45, 1] if validated else [1]
    rows = figure.subplots(len(panels), len(widths), squeeze=False, width_ratios=widths)
    window = smoothing_window(max(len(curve.steps) for panel in panels for curve in panel.curves))
    limits = _loss_limits([curve for panel in panels for curve in panel.curves], window)
    for panel, axes in zip(panels, rows, strict=True):
        _loss_axes(axes[0], panel, window, limits)
        if validated:
            _accuracy_axes(axes[1], panel)
    return figure


def _loss_limits(curves: Sequence[Curve], window: int) -> tuple[float, float]:
    """One scale for all panels, from 0 and to fit the means: the first steps' spikes would press all else flat."""
    means = np.concatenate([_moving_mean(curve.losses, window) for curve in curves])
    low = min(0.0, float(means.min()))
    return low, low + 1.12 * ((float(means.max()) - low) or 1.0)


def _loss_axes(axes: Axes, panel: Panel, window: int, limits: tuple[float, float]) -> None:
    _prepare(axes, panel.title, "optimiser step", "loss")
    axes.set_ylim(*limits)
    axes.margins(x=0.02)
    _raw_band(axes, panel.curves)
    points = max(40, _POINTS_PER_PANEL // len(panel.curves))
    lines = [_moving_mean(curve.losses, window) for curve in panel.curves]
    for curve, line in zip(panel.curves, lines, strict=True):
        shown = evenly(len(line), points)
        _line(axes, curve, curve.steps[shown], line[shown], marked=len(line) <= _FEW_STEPS)
    ends = [_End(c.label, c.steps[-1], line[-1], c.colour) for c, line in zip(panel.curves, lines, strict=True)]
    _label_ends(axes, [*_chosen(ends, panel.curves), *_median_line(axes, panel.curves, lines, points)])


def _accuracy_axes(axes: Axes, panel: Panel) -> None:
    _prepare(axes, "" if panel.chances else "no clips withheld", "epoch", "attribute accuracy")
    axes.set_ylim(-0.03, 1.03)
    curves = [curve for curve in panel.curves if len(curve.epochs)]
    if not curves:
        axes.set_axis_off()
        return
    for curve in curves:
        _line(axes, curve, curve.epochs, curve.accuracies, marked=True)
    last = max(curve.epochs[-1] for curve in curves)
    axes.set_xlim(0.75, last + 0.25)
    axes.axhspan(min(panel.chances), max(panel.chances), color=FAINT, alpha=0.6, linewidth=0)
    chance = float(np.median(panel.chances))
    axes.axhline(chance, color=MUTED, linewidth=1.0, linestyle=(0, (3, 3)))
    ends = [_End(curve.label, curve.epochs[-1], curve.accuracies[-1], curve.colour) for curve in curves]
    _label_ends(axes, [*_chosen(ends, curves), _End("chance", last + 0.25, chance, MUTED)])


def _prepare(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontweight="bold" if across != "epoch" else "normal")
    axes.set_xlabel(across, size=8)
    axes.set_ylabel(up, size=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _line(axes: Axes, curve: Curve, x: np.ndarray, y: np.ndarray, *, marked: bool) -> None:
    look: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.55, "zorder": 3}
    if curve.emphasised:
        look = {"linewidth": 1.8, "zorder": 4}
    size: dict[str, Any] = {"marker": "o", "markersize": 4.5 if curve.emphasised else 2.8} if marked else {}
    axes.plot(x, y, color=curve.colour, **look, **size)


def _raw_band(axes: Axes, curves: Sequence[Curve]) -> None:
    """Lowest to highest loss of any curve at each step, as it was measured."""
    longest = max(curves, key=lambda curve: len(curve.steps)).steps
    losses = np.full((len(curves), len(longest)), np.nan)
    for row, curve in zip(losses, curves, strict=True):
        row[: len(curve.losses)] = curve.losses
    parts = np.array_split(np.arange(len(longest)), min(150, len(longest)))
    low, high = ([edge(losses[:, part]) for part in parts] for edge in (np.nanmin, np.nanmax))
    x = [float(longest[part].mean()) for part in parts]
    axes.fill_between(x, low, high, color=FAINT, alpha=0.6, linewidth=0.8, zorder=2)


def _moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means (n,) of `values` (n,) over the steps around each; at both ends over those that there are."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, after = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    return (sums[after] - sums[first]) / (after - first)


def _median_line(axes: Axes, curves: Sequence[Curve], lines: Sequence[np.ndarray], points: int) -> list[_End]:
    """The middle of several curves, as far as all of them go."""
    if len(curves) < MEDIAN_FROM:
        return []
    shortest = min(map(len, lines))
    shown = evenly(shortest, points)
    x, y = curves[0].steps[shown], np.median([line[:shortest] for line in lines], axis=0)[shown]
    axes.plot(x, y, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=5)
    return [_End("median", x[-1], y[-1], INK)]


def _chosen(ends: Sequence[_End], curves: Sequence[Curve]) -> list[_End]:
    """The ends that get their name: all of a few, else the emphasised ones, the highest and the lowest."""
    if len(ends) <= _LABELLED_CURVES:
        return list(ends)
    chosen = [end for end, curve in zip(ends, curves, strict=True) if curve.emphasised]
    extremes = [choose(ends, key=lambda end: end.y) for choose in (max, min)]
    return list(dict.fromkeys([*chosen, *extremes]))


def _label_ends(axes: Axes, ends: Sequence[_End]) -> None:
    """Names at the right of the axes, pushed apart where their lines end close together."""
    low, high = axes.get_ylim()
    placed = sorted(ends, key=lambda end: (end.y, end.label))
    heights = _apart([(end.y - low) / (high - low) for end in placed])
    for end, height in zip(placed, heights, strict=True):
        axes.annotate(
            end.label if len(end.label) <= _LONGEST_LABEL else f"{end.label[: _LONGEST_LABEL - 1]}…",
            (end.x, end.y),
            (1.05, height),
            textcoords="axes fraction",
            va="center",
            size=7.5,
            color=INK if end.colour == ACCENT else MUTED if end.colour == UNKNOWN else end.colour,
            arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.6, "alpha": 0.6, "relpos": (0, 0.5)},
        )


def _apart(heights: Sequence[float]) -> list[float]:
    """Rising heights moved up until each has room, then down again where the last one left the panel."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + _LABEL_GAP) if moved else max(height, 0.0))
    ceiling = 1.0
    for place in reversed(range(len(moved))):
        moved[place] = min(moved[place], ceiling)
        ceiling = moved[place] - _LABEL_GAP
    return moved
