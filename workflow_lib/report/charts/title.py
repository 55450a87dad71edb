"""The title above a drawing, which names what its numbers are of, and the key of its marks below."""

from collections.abc import Sequence
from enum import Enum

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from workflow_lib.report.charts.drawing import ACCENT, ANOMALY, INK, MUTED, PAPER, UNKNOWN, figure_style

_SIZE_PT = 9.0
_LINE_IN, _GAP_IN, _KEY_IN = 0.155, 0.08, 0.24
_LEFT = 0.012  # of the width
_POINTS_PER_INCH = 72
_FONT = FontProperties(family="DejaVu Sans", size=_SIZE_PT)


class Mark(Enum):
    """A mark of the key below a drawing: its words, and how matplotlib draws it."""

    SYSTEM = ("filled: system", {"marker": "o", "color": ACCENT, "linestyle": ""})
    BRANCH = ("hollow: branch", {"marker": "o", "color": ACCENT, "markerfacecolor": PAPER, "linestyle": ""})
    UNTRAINED = ("grey: untrained", {"marker": "s", "color": UNKNOWN, "linestyle": ""})
    INTERVAL = ("line: interval", {"marker": "|", "color": INK, "linestyle": "-", "linewidth": 1.3})
    THRESHOLD = ("dashed: decision threshold", {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 1.1})
    PAPERS = ("hollow diamond: paper", {"marker": "D", "color": ANOMALY, "markerfacecolor": PAPER, "linestyle": ""})


@figure_style()
def headed(figure: Figure, title: str, marks: Sequence[Mark] = ()) -> Figure:
    """The figure with its title above, wrapped to its width, and the key of its marks below; it grows by both."""
    width, height = figure.get_size_inches()
    lines = wrapped(title, (1 - 2 * _LEFT) * width * _POINTS_PER_INCH)
    figure.set_size_inches(width, height + _LINE_IN * len(lines) + _GAP_IN + (_KEY_IN if marks else 0.0))
    figure.suptitle("\n".join(lines), x=_LEFT, ha="left", size=_SIZE_PT)
    if marks:
        handles = [Line2D([], [], label=words, markersize=6, **drawn) for words, drawn in (m.value for m in marks)]
        look = {"frameon": False, "fontsize": 8, "labelcolor": MUTED, "handletextpad": 0.4, "columnspacing": 1.4}
        figure.legend(handles=handles, loc="outside lower left", ncols=len(marks), borderaxespad=0.2, **look)
    return figure


def wrapped(text: str, width_pt: float) -> list[str]:
    """Lines that fit the width; a name that is too long for a line of its own is cut where the line ends."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if _width_pt(longer) <= width_pt:
            lines[-1] = longer
        else:
            lines += _cut(word, width_pt)
    return [line for line in lines if line]


def _cut(word: str, width_pt: float) -> list[str]:
    parts = [""]
    for letter in word:
        if parts[-1] and _width_pt(parts[-1] + letter) > width_pt:
            parts.append("")
        parts[-1] += letter
    return parts


def _width_pt(text: str) -> float:
    return text_to_path.get_text_width_height_descent(text, _FONT, ismath=False)[0]
