"""Tables as CSV files: the fields of a dataclass are the columns, and their types say what a cell may hold.

`str` is any text, `bool` yes or no, `bool | None` 1, 0 or empty, `int` a whole number, `float` a finite number and
`tuple[str, ...]` words separated by spaces. `X | None` is empty where nothing is known; so is a number that is NaN.
`float | str | None` is a number where it reads as one. `Annotated` types add a condition (`Must`) or a number format.
"""

import csv
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from workflow_lib.errors import UserError
from workflow_lib.files import write_csv

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Must:
    """A condition on the values of a column and its words in a message: 'must <words>'."""

    holds: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class Written:
    """The format of the numbers of a column; without it they are written in their shortest exact form."""

    form: str


def one_of(*words: str) -> Must:
    """The condition of being one of the words."""
    return Must(words.__contains__, f"be one of {', '.join(words)}")


Filled = Annotated[str, Must(lambda text: bool(text.strip()), "be filled")]
Share = Annotated[float, Must(lambda value: 0 <= value <= 1, "lie between 0 and 1")]


def columns(row_type: type[Any]) -> tuple[str, ...]:
    """Names of the columns of a table, in order."""
    return tuple(field.name for field in fields(row_type))


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Write the rows in the order given, below one header."""
    write_csv(path, columns(row_type), map(cells, rows))


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """{key: its rows}, in the order of their first rows."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def cells(row: Any) -> tuple[object, ...]:
    """The cells of a row as they are written: text, or whole numbers that sort as such."""
    return tuple(kind.written(getattr(row, kind.name)) for kind in _kinds(row.__class__))


def read_rows(path: Path, row_type: type[Row], remake: str, **given: object) -> tuple[Row, ...]:
    """All rows of a table; `given` are columns that the file lacks, and what else it has is left out.

    UserError names the file, the line and column at fault, and `remake`, which says how to get a sound table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(_rows(path, csv.reader(file, strict=True), row_type, remake, given))
    except FileNotFoundError:
        raise UserError(f"{path}: the table is missing; {remake} to write it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UserError(f"{path}: cannot be read ({fault}); {remake} to write it") from None


def _rows(path: Path, lines: Any, row_type: type[Row], remake: str, given: Mapping[str, object]) -> Iterator[Row]:
    header: list[str] = next(lines, [])
    declared: Any = row_type
    wanted = [kind for kind in _kinds(declared) if kind.name not in given]
    if missing := [kind.name for kind in wanted if kind.name not in header]:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; the header must have it")
    kinds = [(header.index(kind.name), kind) for kind in wanted]
    for line in lines:
        place = f"{path}, line {lines.line_num}"
        if len(line) != len(header):
            raise UserError(f"{place}: {len(line)} cells, but the header has {len(header)}; {remake}")
        yield row_type(**given, **{kind.name: _read(place, kind, line[number], remake) for number, kind in kinds})


def _read(place: str, kind: "_Kind", cell: str, remake: str) -> Any:
    try:
        return kind.read(cell)
    except ValueError as fault:
        found = repr(cell) if cell.strip() else "empty"
        raise UserError(f"{place}: {kind.name} is {found}, but must {fault}; {remake} or correct the cell") from None


@dataclass(frozen=True)
class _Kind:
    """What the cells of one column hold."""

    name: str
    base: Any  # str, bool, int, float or tuple[str, ...]
    optional: bool
    text_too: bool  # float | str
    conditions: tuple[Must, ...]
    form: str

    def read(self, cell: str) -> Any:
        """The value of a cell; ValueError: what it must be."""
        if self.optional and (not cell.strip() or (self.base is float and cell.strip().lower() == "nan")):
            return None
        value = _READERS[self.base](cell, self)
        for condition in self.conditions:
            if not condition.holds(value):
                raise ValueError(condition.words)
        return value

    def written(self, value: Any) -> object:
        """The cell of a value."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if self.base is bool:
            return int(value) if self.optional else "yes" if value else "no"
        if isinstance(value, float):
            return format(value, self.form) if self.form else repr(float(value))
        return " ".join(value) if isinstance(value, tuple) else value


def _flag(cell: str, kind: _Kind) -> bool:
    words = ("0", "1") if kind.optional else ("no", "yes")
    if cell not in words:
        raise ValueError("be 0, 1 or empty" if kind.optional else "be one of yes, no")
    return cell == words[1]


def _whole(cell: str, _kind: _Kind) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ValueError("be a whole number") from None


def _number(cell: str, kind: _Kind) -> float | str:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    if kind.text_too:
        return cell
    raise ValueError("be a finite number")


_READERS: dict[Any, Callable[[str, _Kind], Any]] = {
    str: lambda cell, _: cell,
    bool: _flag,
    int: _whole,
    float: _number,
    tuple[str, ...]: lambda cell, _: tuple(cell.split()),
}


@cache
def _kinds(row_type: type[Any]) -> tuple[_Kind, ...]:
    return tuple(_kind(field.name, field.type) for field in fields(row_type))


def _kind(name: str, declared: Any) -> _Kind:
    parts = [declared] if get_origin(declared) in (None, tuple, Annotated) else list(get_args(declared))
    optional = type(None) in parts
    first, *others = (part for part in parts if part is not type(None))
    base, *extras = get_args(first) if get_origin(first) is Annotated else (first,)
    conditions = tuple(extra for extra in extras if isinstance(extra, Must))
    form = next((extra.form for extra in extras if isinstance(extra, Written)), "")
    return _Kind(name, base, optional, str in others, conditions, form)
