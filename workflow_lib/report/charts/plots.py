"""The charts of the page; each takes plain numbers and gives a matplotlib figure, without global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow_lib.report.charts.drawing import (
    ACCENT,
    ANOMALY,
    FAINT,
    INK,
    MUTED,
    NORMAL,
    PAPER,
    UNKNOWN,
    evenly,
    figure_style,
)
from workflow_lib.report.charts.title import Mark
from workflow_lib.report.page.glossary import METRICS

_WIDTH_IN = 7.0
_LONGEST_LABEL = 34
_LONGEST_ENTRY = 58  # with its seed, and whether it is untrained
_DOTS_PER_GROUP = 200
_GUESSING = 0.5

# Orange below guessing, teal above it; both ends are darker than the middle, for colour-blind readers and for print.
_HEAT = LinearSegmentedColormap.from_list("guessing", ["#b4521c", "#ecb58d", "#f6f2ec", "#8fc4c4", "#155e63"])
# One scale for all pages, so that a colour means the same in every report.
_HEAT_SCALE = TwoSlopeNorm(_GUESSING, vmin=0.3, vmax=0.9)
# Text on a coloured cell: other values than INK and PAPER, which the page turns over in dark mode.
_ON_LIGHT, _ON_DARK = "#1f2a34", "#fefefe"


@dataclass(frozen=True)
class Bar:
    """One line of the comparison: what it is called, its score with its interval, and how it is drawn."""

    label: str
    omega: float | None
    system: bool
    untrained: bool
    interval: tuple[float, float] | None = None

    @property
    def values(self) -> list[float]:
        """All numbers that the axis must have room for."""
        return [] if self.omega is None else [self.omega, *(self.interval or ())]


@figure_style()
def comparison(bars: Sequence[Bar]) -> Figure:
    """Scores Ω of one protocol as dots with their intervals, in the given order from the top, and guessing marked."""
    figure = Figure(figsize=(_WIDTH_IN, 0.75 + 0.27 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    low, high = _omega_range([value for bar in bars for value in bar.values])
    axes.axvline(_GUESSING, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    for place, bar in enumerate(bars):
        _comparison_line(axes, place, bar, low)
    axes.set(xlim=(low, high), ylim=(len(bars) - 0.4, -0.8), xlabel="Ω (dashed: guessing)")
    axes.set_yticks(range(len(bars)), [short(bar.label, _LONGEST_ENTRY) for bar in bars], size=8)
    return figure


def _omega_range(values: Sequence[float]) -> tuple[float, float]:
    """Limits on whole twentieths around the scores and the guessing line, with room for the numbers at the right."""
    low = np.floor(min([*values, 0.47]) * 20) / 20
    high = np.ceil(max([*values, 0.57]) * 20) / 20
    return float(low), float(high + 0.12 * (high - low))


def _comparison_line(axes: Axes, place: int, bar: Bar, low: float) -> None:
    axes.axhline(place, color=FAINT, linewidth=0.6, zorder=0)
    if bar.omega is None:
        axes.annotate("undefined", (low, place), (4, 0), textcoords="offset points", va="center", color=MUTED, size=8)
        return
    colour = UNKNOWN if bar.untrained else ACCENT
    if bar.interval:
        axes.plot(bar.interval, [place, place], color=colour, linewidth=1.6, marker="|", markersize=6)
    axes.plot(bar.omega, place, "o", markersize=7, color=colour, markerfacecolor=colour if bar.system else PAPER)
    end = max(bar.values)
    axes.annotate(f"{bar.omega:.4f}", (end, place), (8, 0), textcoords="offset points", va="center", size=8)


@figure_style()
def heat_map(
    machines: Mapping[str, Mapping[str, float | None]],
    metrics: Sequence[str] = tuple(METRICS),
    *,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    missing: str = "undefined",
) -> Figure:
    """Machines by metrics: the colour tells the side of guessing, the number the rest; missing cells are hatched.

    `notes`: {machine: {metric: a few words below the number}}; `missing`: text of a None.
    """
    height = 0.42 if notes else 0.32
    figure = Figure(figsize=(0.72 * _WIDTH_IN, 0.5 + height * len(machines)), layout="constrained")
    axes = figure.add_subplot()
    for row, (machine, figures) in enumerate(machines.items()):
        for column, metric in enumerate(metrics):
            _heat_cell(axes, column, row, figures[metric], notes[machine].get(metric, "") if notes else "", missing)
    axes.set(xlim=(0, len(metrics)), ylim=(len(machines), 0))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xticks(np.arange(len(metrics)) + 0.5, [METRICS[metric] for metric in metrics])
    axes.set_yticks(np.arange(len(machines)) + 0.5, list(map(short, machines)))
    return figure


def _heat_cell(axes: Axes, column: int, row: int, value: float | None, note: str, missing: str) -> None:
    """A share as a cell of colour with its number, and the note below it."""
    colour = "none" if value is None else _HEAT(_HEAT_SCALE(min(max(value, 0.3), 0.9)))
    hatched: dict[str, Any] = {"edgecolor": FAINT, "hatch": "////"} if value is None else {}
    axes.add_patch(Rectangle((column + 0.02, row + 0.03), 0.96, 0.94, facecolor=colour, linewidth=0, **hatched))
    ink = INK
    if value is not None:
        ink = _ON_LIGHT if np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.5 else _ON_DARK
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
    text, size = (missing, 8) if value is None else (f"{value:.3f}", None)
    axes.text(column + 0.5, row + (0.36 if note else 0.5), text, size=size, **look)
    if note:
        axes.text(column + 0.5, row + 0.74, note, size=7, **look)


GROUPS: tuple[str, ...] = (
    "source normal",
    "source anomaly",
    "target normal",
    "target anomaly",
    "normal",
    "anomaly",
    "source",
    "target",
    "all test clips",
)


@figure_style()
def distributions(
    panels: Mapping[str, Mapping[str, np.ndarray]], thresholds: Mapping[str, float | None] | None = None
) -> Figure:
    """One panel per machine: every clip a dot on the score axis, by domain and label, with median and middle half.

    `thresholds`: {machine: decision threshold}, drawn as an upright dashed line.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    lines = max(len(groups) for groups in panels.values())
    size_in = (_WIDTH_IN if columns == 2 else 0.62 * _WIDTH_IN, rows * (0.62 + 0.21 * lines))
    figure = Figure(figsize=size_in, layout="constrained")
    for place, (machine, groups) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        strips(axes, groups, (thresholds or {}).get(machine), labels=place % columns == 0)
        axes.set_title(short(machine), fontweight="bold")
    return figure


def strips(axes: Axes, groups: Mapping[str, np.ndarray], threshold: float | None, *, labels: bool = True) -> None:
    """Scores {group: (clips,)} on one axis, a row for each group, and the decision threshold."""
    names = [name for name in GROUPS if name in groups]
    for place, name in enumerate(names):
        _strip(axes, place, groups[name], _group_colour(name))
    if threshold is not None:
        axes.axvline(threshold, color=MUTED, linewidth=1.1, linestyle=(0, (4, 2)), zorder=0)
    axes.set(ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), names if labels else [""] * len(names))
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5)


def _group_colour(name: str) -> str:
    return ANOMALY if name.endswith("anomaly") else NORMAL if name.endswith("normal") else UNKNOWN


def _strip(axes: Axes, place: int, scores: np.ndarray, colour: str) -> None:
    """Draws scores (n,) as one path of dots: a path per clip would make the page ten times larger."""
    shown = np.sort(scores)[evenly(len(scores), _DOTS_PER_GROUP)]  # evenly spaced in rank
    # The golden ratio spreads neighbours evenly without chance.
    heights = place + 0.5 * ((np.arange(len(shown)) * 0.6180339887498949) % 1.0 - 0.5)
    tiny = 1e-3 * (np.ptp(scores) or 1.0)  # a line needs a length to get its round ends
    gaps = np.full(len(shown), np.nan)
    line: dict[str, Any] = {"linewidth": 2.6, "solid_capstyle": "round", "alpha": 0.75, "snap": False, "color": colour}
    axes.plot(np.c_[shown, shown + tiny, gaps].ravel(), np.c_[heights, heights, gaps].ravel(), **line)
    low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=INK, linewidth=1.1, solid_capstyle="butt")
    axes.plot([middle, middle], [place - 0.34, place + 0.34], color=INK, linewidth=1.6, solid_capstyle="butt")


def short(label: str, longest: int = _LONGEST_LABEL) -> str:
    """A label that fits beside a chart."""
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


@dataclass(frozen=True)
class Change:
    """One bar of a removal study: what leaving a branch out does to Ω, here and in the paper."""

    label: str
    value: float | None
    interval: tuple[float, float] | None
    published: float | None
    untrained: bool


@figure_style()
def changes(bars: Sequence[Change]) -> Figure:
    """Bars of change around 0, in the given order from the top, with intervals and the paper's values as diamonds."""
    figure = Figure(figsize=(0.8 * _WIDTH_IN, 0.75 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=MUTED, linewidth=0.9)
    for place, bar in enumerate(bars):
        _change_line(axes, place, bar)
    axes.set(ylim=(len(bars) - 0.4, -0.6), xlabel="change of Ω (bar: ours)")
    axes.margins(x=0.2)
    axes.set_yticks(range(len(bars)), [f"without {short(bar.label)}" for bar in bars])
    return figure


def change_marks(bars: Sequence[Change]) -> list[Mark]:
    """The key of what is drawn."""
    there = {
        Mark.UNTRAINED: any(bar.untrained for bar in bars),
        Mark.INTERVAL: any(bar.interval for bar in bars),
        Mark.PAPERS: any(bar.published is not None for bar in bars),
    }
    return [mark for mark, drawn in there.items() if drawn]


def _change_line(axes: Axes, place: int, bar: Change) -> None:
    axes.axhline(place, color=FAINT, linewidth=0.6, zorder=0)
    if bar.value is None:
        axes.annotate("not part of this run", (0, place), (4, -9), textcoords="offset points", color=MUTED, size=7)
    else:
        axes.barh(place, bar.value, height=0.5, color=UNKNOWN if bar.untrained else ACCENT)
        ends = [bar.value, *(bar.interval or ()), *([] if bar.published is None else [bar.published])]
        side = 4 if bar.value >= 0 else -4
        at: dict[str, Any] = {"ha": "left" if side > 0 else "right", "va": "center", "size": 8}
        end = (max(ends) if side > 0 else min(ends), place)
        axes.annotate(f"{bar.value:+.4f}", end, (side, 0), textcoords="offset points", **at)
    if bar.interval:
        axes.plot(bar.interval, [place, place], color=INK, linewidth=1.1, marker="|", markersize=6, zorder=3)
    if bar.published is not None:
        axes.plot(bar.published, place, "D", markersize=6, color=ANOMALY, markerfacecolor=PAPER, zorder=4)
