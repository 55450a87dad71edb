"""The tables of a suite as typed rows: every cell is checked here, so that nothing above needs to."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from workflow_lib.errors import UserError
from workflow_lib.evaluation import FIXED_WEIGHTS

Row = TypeVar("Row")


class Entry(NamedTuple):
    """What is ranked: one branch or system with one seed; an empty seed means that nothing in it was drawn."""

    kind: str
    name: str
    seed: str


def _text(cell: str) -> str:
    return cell


def _filled(cell: str) -> str:
    if not cell.strip():
        raise ValueError("is empty, but must be filled")
    return cell


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(cell: str) -> str:
        if cell not in words:
            raise ValueError(f"is {cell!r}, but must be one of {', '.join(words)}")
        return cell

    return parse


def _yes(cell: str) -> bool:
    return _one_of("yes", "no")(cell) == "yes"


def _whole(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ValueError(f"is {cell!r}, but must be a whole number") from None


def _whole_known(cell: str) -> int | None:
    return None if cell == "" else _whole(cell)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"is {cell!r}, but must be a finite number")
    return value


def _known(cell: str) -> float | None:
    """Empty and nan both mean undefined: nothing could be measured."""
    return None if cell.strip().lower() in ("", "nan") else _number(cell)


def _share(cell: str) -> float | None:
    value = _known(cell)
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"is {cell!r}, but must lie between 0 and 1")
    return value


def _flag(cell: str) -> bool | None:
    if cell not in ("", "0", "1"):
        raise ValueError(f"is {cell!r}, but must be 0, 1 or empty")
    return None if cell == "" else cell == "1"


def _column(parse: Callable[[str], Any]) -> Any:
    return field(metadata={"parse": parse})


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The columns that every number carries: whose it is and under which protocol."""

    suite: str = _column(_filled)
    protocol: str = _column(_filled)
    kind: str = _column(_one_of("branch", "system"))
    name: str = _column(_filled)
    seed: str = _column(_text)
    untrained: bool = _column(_yes)

    @property
    def entry(self) -> Entry:
        return Entry(self.kind, self.name, self.seed)


@dataclass(frozen=True, slots=True)
class MachineRow(ScoredRow):
    """One line of machines.csv; figures between 0 and 1, None when undefined."""

    machine: str = _column(_filled)
    source_auc: float | None = _column(_share)
    target_auc: float | None = _column(_share)
    pauc: float | None = _column(_share)
    harmonic_mean: float | None = _column(_share)


@dataclass(frozen=True, slots=True)
class OfficialRow(ScoredRow):
    """One line of official.csv: the official score over all machines."""

    machines: int = _column(_whole)
    omega: float | None = _column(_share)


@dataclass(frozen=True, slots=True)
class RankingRow(ScoredRow):
    """One line of ranking.csv: a test clip and its place, 1 being the most anomalous."""

    machine: str = _column(_filled)
    rank: int = _column(_whole)
    clip: str = _column(_filled)
    domain: str = _column(_text)
    anomaly: bool | None = _column(_flag)
    score: float = _column(_number)


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One line of weights.csv: weight and calibration of a branch in one fold; held_out is empty without folds."""

    suite: str = _column(_filled)
    protocol: str = _column(_filled)
    system: str = _column(_filled)
    seed: str = _column(_text)
    held_out: str = _column(_text)
    branch: str = _column(_filled)
    weight: float | None = _column(_share)
    median: float | None = _column(_known)
    iqr: float | None = _column(_known)
    selection_omega: float | None = _column(_share)


@dataclass(frozen=True, slots=True)
class ClipsRow:
    """One line of clips.csv: how many clips of one sort a machine has; their format, None without recordings."""

    suite: str = _column(_filled)
    machine: str = _column(_filled)
    split: str = _column(_one_of("train", "test"))
    domain: str = _column(_text)
    label: str = _column(_text)
    clips: int = _column(_whole)
    channels: int | None = _column(_whole_known)
    sample_rate: int | None = _column(_whole_known)
    seconds_min: float | None = _column(_known)
    seconds_max: float | None = _column(_known)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of models.csv; branches are the names of the branches that use the model."""

    suite: str = _column(_filled)
    model: str = _column(_filled)
    kind: str = _column(_text)
    trained: str = _column(_one_of("yes", "no", "unknown"))
    description: str = _column(_text)
    weights_digest: str = _column(_text)
    branches: tuple[str, ...] = _column(lambda cell: tuple(cell.split()))
    licence: str = _column(_text)


@dataclass(frozen=True, slots=True)
class NoteRow:
    """One line of notes.csv: what the data or the configuration changed; `branch` may also be a system."""

    suite: str = _column(_filled)
    branch: str = _column(_text)
    model: str = _column(_text)
    machine: str = _column(_text)
    note: str = _column(_filled)


@dataclass(frozen=True)
class SuiteTables:
    """All tables of one suite."""

    name: str
    machines: tuple[MachineRow, ...]
    official: tuple[OfficialRow, ...]
    weights: tuple[WeightRow, ...]
    ranking: tuple[RankingRow, ...]
    clips: tuple[ClipsRow, ...]
    models: tuple[ModelRow, ...]
    notes: tuple[NoteRow, ...]

    @cached_property
    def untrained(self) -> frozenset[tuple[str, str]]:
        """(kind, name) of everything with a random model in it; one table saying so is enough."""
        rows = (*self.machines, *self.official, *self.ranking)
        flagged = {(row.kind, row.name) for row in rows if row.untrained}
        flagged |= {("branch", branch) for row in self.models if row.trained == "no" for branch in row.branches}
        return frozenset(flagged | {("system", w.system) for w in self.weights if ("branch", w.branch) in flagged})

    @cached_property
    def fixed_weights(self) -> frozenset[str]:
        """Systems whose fusion weights stand in the configuration: no machine chose them."""
        return frozenset(row.branch for row in self.notes if row.note == FIXED_WEIGHTS)


_TABLES: dict[str, type] = {
    "machines": MachineRow,
    "official": OfficialRow,
    "weights": WeightRow,
    "ranking": RankingRow,
    "clips": ClipsRow,
    "models": ModelRow,
    "notes": NoteRow,
}


def read_suite(name: str, folder: Path) -> SuiteTables:
    """Reads the tables folder of the suite `name`; UserError names the file, line and column at fault."""
    tables = {table: _read_table(name, folder / f"{table}.csv", row) for table, row in _TABLES.items()}
    return SuiteTables(name, **tables)


def _read_table(suite: str, path: Path, row_type: type[Row]) -> tuple[Row, ...]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_rows(suite, path, csv.reader(file), row_type))
    except FileNotFoundError:
        raise UserError(f"{path}: the table is missing; evaluate suite {suite!r} again to write it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UserError(f"{path}: cannot be read ({fault}); evaluate suite {suite!r} again to write it") from None


def _rows(suite: str, path: Path, lines: Any, row_type: type[Row]) -> Iterator[Row]:
    header = next(lines, [])
    wanted = [(column.name, column.metadata["parse"]) for column in fields(row_type)]
    missing = [name for name, _ in wanted if name not in header]
    if missing:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; the header must have it")
    places = [(name, header.index(name), parse) for name, parse in wanted]
    for cells in lines:
        number = lines.line_num
        if len(cells) != len(header):
            told = f"{len(cells)} cells, but the header has {len(header)}; evaluate suite {suite!r} again"
            raise UserError(f"{path}, line {number}: {told}")
        row = row_type(*(_cell(path, number, name, parse, cells[place]) for name, place, parse in places))
        if row.suite != suite:
            told = f"suite is {row.suite!r}, but this folder was given as {suite!r}; name the folder of {suite!r}"
            raise UserError(f"{path}, line {number}: {told}")
        yield row


def _cell(path: Path, number: int, name: str, parse: Callable[[str], Any], cell: str) -> Any:
    try:
        return parse(cell)
    except ValueError as fault:
        raise UserError(f"{path}, line {number}: {name} {fault}; evaluate again or correct the cell") from None
