"""From a matplotlib figure to bytes that are the same every time, and to SVG that lives inside the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workflow_lib.errors import UserError

# Colours with a role. In the page, ink, muted, faint and paper follow the reader's light or dark mode.
INK, MUTED, FAINT, PAPER = "#1f2a33", "#5b6873", "#d5dbe0", "#ffffff"
NORMAL, ANOMALY, UNKNOWN, ACCENT = "#3f7cac", "#d9722e", "#7d8a94", "#2f7f86"
_ROLES = {INK: "--ink", MUTED: "--muted", FAINT: "--line", PAPER: "--paper"}

_STYLE = {
    "svg.hashsalt": "dualmic-asd",  # ids by content, not by chance
    "svg.fonttype": "none",  # text stays text: searchable, and read aloud
    "text.hinting": "no_hinting",  # as wide in the layout as in both formats
    "text.parse_math": False,  # a machine may be called a$b$
    "font.family": "DejaVu Sans",  # comes with matplotlib: the PNG looks alike on every machine
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0.0,
    "path.simplify": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "savefig.dpi": 160,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.6,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """The style of all figures, on top of matplotlib's defaults whatever the user's matplotlibrc says."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def drawn(figure: Figure, title: str, form: str) -> bytes:
    """The figure as a file with a title for whoever cannot see it: same figure, same bytes.

    form: svg, or png at 160 dots per inch.
    """
    unset = ("Date", "Creator", "Format", "Type") if form == "svg" else ("Software",)
    target = io.BytesIO()
    with figure_style():
        if engine := figure.get_layout_engine():
            # Laid out once, here: matplotlib would draw everything an extra time, for each format.
            engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(target, format=form, metadata={**dict.fromkeys(unset), "Title": title})
    return target.getvalue()


def drawn_before(path: Path) -> bytes:
    """What an earlier job drew or recorded; UserError where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror}): remove its folder and make it again") from None


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the places 0 … count - 1, evenly spaced with both ends kept."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def inline_svg(svg: str, prefix: str, description: str) -> Markup:
    """The SVG file as a part of the page: ids made unique by `prefix`, colours by role, named for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(title|metadata|style)\b.*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = _compact(svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\1{prefix}-", svg)
    for colour, role in _ROLES.items():
        svg = svg.replace(colour, f"var({role})")
    opening = f'<svg role="img" aria-label="{escape(description)}" '
    return Markup(_fluid(svg).replace("<svg ", opening, 1))


def _compact(svg: str) -> str:
    """The same drawing in about half the letters: no ids that nothing refers to, hundredths of a point at most."""
    named = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    used = {name for pair in named for name in pair if name}
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
    # Only within tags, where ">" is always escaped: the words between them stay as they are.
    svg = re.sub(r"<[^>]*>", lambda tag: _compact_tag(tag[0]), svg)
    return re.sub(r">\s*\n\s*<", "><", svg)


def _compact_tag(tag: str) -> str:
    tag = re.sub(r' transform="rotate\(-0 [^"]*"| font-family: [^;"]*;', "", tag)
    tag = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag)
    return re.sub(r"\s*\n\s*", " ", tag)


def _fluid(svg: str) -> str:
    """As wide as the page allows, never larger than drawn and never so small that its text cannot be read."""
    found = re.search(r' width="([\d.]+)pt"', svg)
    width_pt = float(found[1] if found else "nan")
    size = f' style="max-width:{width_pt:g}pt;min-width:{0.65 * width_pt:g}pt"'
    return re.sub(r' width="[\d.]+pt"', size, re.sub(r' height="[\d.]+pt"', "", svg, count=1), count=1)
