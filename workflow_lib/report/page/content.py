"""What a page is made of: tables, charts, notices, sections and other blocks, without any HTML."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.figure

from workflow_lib.report.page.cells import Cell
from workflow_lib.scoring.result import one_protocol

Row = TypeVar("Row", bound=Any)


@dataclass(frozen=True)
class Column:
    """Head of a column; columns of numbers sort by value and are set right."""

    title: str
    numeric: bool


@dataclass(frozen=True)
class Table:
    """Rows of cells; `protocol` is the one protocol of all its figures, None where it has none that depend on one."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    protocol: str | None = None
    head: int = 0  # the column whose cell names the row
    ordered_by: int | None = None  # the column that put the rows in order, where others may be in order too
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing with the words that stand for it; `name` becomes the file name, `title` stands in the drawing too.

    `drawing` may also be an SVG file that was drawn before, with a PNG of the same name beside it.
    `protocol` is the one protocol of all that is drawn, None where nothing drawn depends on one.
    """

    name: str
    title: str
    caption: str
    description: str
    drawing: matplotlib.figure.Figure | Path = field(compare=False)
    protocol: str | None = None


@dataclass(frozen=True)
class Recording:
    """A clip to see and hear: picture and sounds as data URIs, the sounds by channel."""

    key: str
    title: str
    caption: str
    picture: str
    description: str
    width: int  # pixels
    height: int
    sounds: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Players:
    """Clips side by side."""

    clips: tuple[Recording, ...]


@dataclass(frozen=True)
class Prose:
    """One paragraph."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A box that must be seen: `kind` is untrained, undefined or note."""

    kind: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """One headline figure with its protocol."""

    scope: str
    figure: str
    label: str
    tag: str = ""
    detail: str = ""
    target: str = ""


@dataclass(frozen=True)
class Cards:
    """Headline figures side by side."""

    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Definitions:
    """A list of words with their meaning."""

    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Details:
    """Blocks that open on demand."""

    summary: str
    blocks: tuple["Block", ...]
    tag: str = ""
    open: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own; sections nest."""

    key: str
    title: str
    blocks: tuple["Block", ...]
    code: str = ""  # the name in config and tables, where it differs from the title


Block = Table | Chart | Players | Prose | Notice | Cards | Definitions | Details | Section


def charts_of(blocks: Iterable[Block]) -> Iterable[Chart]:
    """All charts of the blocks, in reading order."""
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Details | Section):
            yield from charts_of(block.blocks)


def table(
    caption: str,
    rows: Iterable[Row],
    cells: Mapping[str, Callable[[Row], Cell]],
    *,
    protocol: str | None = None,
    head: int = 0,
    ordered_by: str | None = None,
    note: str = "",
) -> Table:
    """A table with a line for each of `rows`; `cells` gives {title of a column: its cell of a row}."""
    lines = tuple(tuple(cell(row) for cell in cells.values()) for row in rows)
    columns = tuple(Column(title, any(line[place].numeric for line in lines)) for place, title in enumerate(cells))
    order = None if ordered_by is None else list(cells).index(ordered_by)
    return Table(caption, columns, lines, protocol, head, order, note)


def protocol_table(
    title: str, suite: str, rows: Sequence[Row], cells: Mapping[str, Callable[[Row], Cell]], **more: Any
) -> Table:
    """A table of rows of one protocol, which its caption names; UserError where they have several."""
    protocol = one_protocol(row.protocol for row in rows)
    return table(f"{title}, suite {suite}, protocol {protocol}", rows, cells, protocol=protocol, **more)
