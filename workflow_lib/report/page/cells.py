"""Cells of tables: what is read, and the exact value that sorting and checks use."""

from dataclasses import dataclass

from workflow_lib.config.twins import system_label
from workflow_lib.evaluation.evidence_rows import DifferenceRow, Entry, StudyRow, UncertaintyRow, ends_of

UNTRAINED = "untrained"
DASH = "\u2013"  # an en dash: nothing is known or nothing to show


@dataclass(frozen=True)
class Cell:
    """Text to read and, for numbers, the exact value that sorting and checks use."""

    text: str
    value: str = ""
    tag: str = ""
    undefined: bool = False
    numeric: bool = False
    share: float | None = None  # 0 … 1: depth of the tint behind the number
    link: str = ""  # anchor within the page


UNDEFINED = Cell("undefined", undefined=True, numeric=True)
UNKNOWN = Cell(DASH, numeric=True)


def text(value: str, tag: str = "") -> Cell:
    """A cell of words; an empty one shows a dash."""
    return Cell(value or DASH, tag=tag)


def measured(shown: str, value: float, share: float | None = None) -> Cell:
    """A cell that reads `shown` and sorts by the value."""
    return Cell(shown, repr(value), share=share, numeric=True)


def number(value: float | None, form: str = ".4f", *, tint: bool = False, missing: Cell = UNDEFINED) -> Cell:
    """A cell with a number as `form` shows it; `missing` for None, never an empty place."""
    return missing if value is None else measured(format(value, form), value, value if tint else None)


def interval(row: UncertaintyRow | DifferenceRow | StudyRow | None, form: str, missing: Cell = UNDEFINED) -> Cell:
    """Both ends of the interval of a row; sorts by the lower one."""
    ends = None if row is None else ends_of(row)
    return missing if ends is None else measured(f"[{ends[0]:{form}}, {ends[1]:{form}}]", ends[0])


def spread(mean: float | None, deviation: float | None, form: str = ".4f", missing: Cell = UNDEFINED) -> Cell:
    """'0.6141 ± 0.0004'; a single seed has no deviation."""
    if mean is None:
        return missing
    return measured(f"{mean:{form}}" + ("" if deviation is None else f" ± {deviation:.4f}"), mean)


def length(shortest_s: float, longest_s: float) -> Cell:
    """A cell with the length of recordings in seconds."""
    low, high = f"{shortest_s:g}", f"{longest_s:g}"
    return Cell(f"{low} s" if low == high else f"{low} {DASH} {high} s")


def count(value: int | None) -> Cell:
    """A cell with a whole number; None is unknown and shows a dash."""
    return UNKNOWN if value is None else measured(str(value), value)


def entry_label(entry: Entry) -> str:
    """'DualDL4, seed 13711': how prose, captions and figures call an entry."""
    name = system_label(entry.name)
    return f"{name}, seed {entry.seed}" if entry.seed else name


def entry_title(entry: Entry) -> str:
    """'System DualDL4, seed 13711': as above, for where a branch may have the same name."""
    return f"{entry.kind.capitalize()} {entry_label(entry)}"
