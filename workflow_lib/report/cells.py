"""What a cell of a table may hold: each parser takes the text and gives the value, or says what is wrong with it."""

import math
from collections.abc import Callable
from dataclasses import field
from typing import Any


def any_text(cell: str) -> str:
    """Any text, also none."""
    return cell


def filled(cell: str) -> str:
    """Text that is there."""
    if not cell.strip():
        raise ValueError("is empty, but must be filled")
    return cell


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of the words."""

    def parse(cell: str) -> str:
        if cell not in words:
            raise ValueError(f"is {cell!r}, but must be one of {', '.join(words)}")
        return cell

    return parse


def yes(cell: str) -> bool:
    """Whether the cell says yes; no is the only other word."""
    return one_of("yes", "no")(cell) == "yes"


def whole(cell: str) -> int:
    """A whole number."""
    try:
        return int(cell)
    except ValueError:
        raise ValueError(f"is {cell!r}, but must be a whole number") from None


def whole_known(cell: str) -> int | None:
    """A whole number that may be unknown."""
    return None if cell == "" else whole(cell)


def finite(cell: str) -> float:
    """A finite number."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"is {cell!r}, but must be a finite number")
    return value


def known(cell: str) -> float | None:
    """Empty and nan both mean undefined: nothing could be measured."""
    return None if cell.strip().lower() in ("", "nan") else finite(cell)


def share(cell: str) -> float:
    """A number between 0 and 1."""
    value = finite(cell)
    if not 0 <= value <= 1:
        raise ValueError(f"is {cell!r}, but must lie between 0 and 1")
    return value


def share_known(cell: str) -> float | None:
    """A number between 0 and 1 that may be undefined."""
    return None if known(cell) is None else share(cell)


def flag(cell: str) -> bool | None:
    """Yes (1), no (0) or unknown (empty)."""
    if cell not in ("", "0", "1"):
        raise ValueError(f"is {cell!r}, but must be 0, 1 or empty")
    return None if cell == "" else cell == "1"


def column(parse: Callable[[str], Any]) -> Any:
    """A field of a row type with the parser of its cells."""
    return field(metadata={"parse": parse})
