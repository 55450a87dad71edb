"""Cells of tables: what is read, and the exact value that sorting and checks use."""

from dataclasses import dataclass

from workflow_lib.evaluation.evidence_rows import Entry

UNTRAINED = "untrained"
DASH = "\u2013"  # an en dash: nothing is known or nothing to show


@dataclass(frozen=True)
class Cell:
    """Text to read and, for numbers, the exact value that sorting and checks use."""

    text: str
    value: str = ""
    tag: str = ""
    undefined: bool = False
    share: float | None = None  # 0 … 1: depth of the tint behind the number
    link: str = ""  # anchor within the page


UNDEFINED = Cell("undefined", undefined=True)


def text(value: str, tag: str = "") -> Cell:
    """A cell of words; an empty one shows a dash."""
    return Cell(value or DASH, tag=tag)


def number(value: float | None, form: str = ".4f", *, tint: bool = False) -> Cell:
    """A cell with a number as `form` shows it; None is undefined, never an empty place."""
    if value is None:
        return UNDEFINED
    return Cell(format(value, form), repr(value), share=value if tint else None)


def length(shortest_s: float, longest_s: float) -> Cell:
    """A cell with the length of recordings in seconds."""
    low, high = f"{shortest_s:g}", f"{longest_s:g}"
    return Cell(f"{low} s" if low == high else f"{low} {DASH} {high} s")


def count(value: int | None) -> Cell:
    """A cell with a whole number; None is unknown and shows a dash."""
    return Cell(DASH) if value is None else Cell(str(value), str(value))


def entry_label(entry: Entry) -> str:
    """'DualDL4, seed 13711': how prose, captions and figures call an entry."""
    return f"{entry.name}, seed {entry.seed}" if entry.seed else entry.name


def entry_title(entry: Entry) -> str:
    """'System DualDL4, seed 13711': as above, for where a branch may have the same name."""
    return f"{entry.kind.capitalize()} {entry_label(entry)}"
