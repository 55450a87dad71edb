"""The tables of a suite as typed rows: every cell is checked here, so that nothing above needs to."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.errors import UserError
from workflow_lib.evaluation import FIXED_WEIGHTS
from workflow_lib.report.table_rows import (
    ChoiceRow,
    ClipsRow,
    DifferenceRow,
    MachineRow,
    ModelRow,
    NoteRow,
    OfficialRow,
    RankingRow,
    SeedsRow,
    ThresholdRow,
    TrainingRow,
    UncertaintyRow,
    ValidationRow,
    WeightRow,
)

Row = TypeVar("Row")


@dataclass(frozen=True)
class SuiteTables:
    """All tables of one suite."""

    name: str
    machines: tuple[MachineRow, ...]
    official: tuple[OfficialRow, ...]
    weights: tuple[WeightRow, ...]
    choices: tuple[ChoiceRow, ...]
    ranking: tuple[RankingRow, ...]
    clips: tuple[ClipsRow, ...]
    models: tuple[ModelRow, ...]
    notes: tuple[NoteRow, ...]
    training: tuple[TrainingRow, ...]
    validation: tuple[ValidationRow, ...]
    uncertainty: tuple[UncertaintyRow, ...]
    differences: tuple[DifferenceRow, ...]
    seeds: tuple[SeedsRow, ...]
    thresholds: tuple[ThresholdRow, ...]

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
    "choices": ChoiceRow,
    "ranking": RankingRow,
    "clips": ClipsRow,
    "models": ModelRow,
    "notes": NoteRow,
    "training": TrainingRow,
    "validation": ValidationRow,
    "uncertainty": UncertaintyRow,
    "differences": DifferenceRow,
    "seeds": SeedsRow,
    "thresholds": ThresholdRow,
}


def read_suite(name: str, folder: Path) -> SuiteTables:
    """Reads the tables folder of the suite `name`; UserError names the file, line and column at fault."""
    remake = f"evaluate suite {name!r} again"
    tables = {table: read_rows(folder / f"{table}.csv", row, remake, name) for table, row in _TABLES.items()}
    return SuiteTables(name, **tables)


def read_rows(path: Path, row_type: type[Row], remake: str, suite: str | None = None) -> tuple[Row, ...]:
    """The lines of one table; `remake` tells how to get a sound one, `suite` the only one that it may be about."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_rows(path, csv.reader(file), row_type, remake, suite))
    except FileNotFoundError:
        raise UserError(f"{path}: the table is missing; {remake} to write it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UserError(f"{path}: cannot be read ({fault}); {remake} to write it") from None


def _rows(path: Path, lines: Any, row_type: type[Row], remake: str, suite: str | None) -> Iterator[Row]:
    header = next(lines, [])
    wanted = [(place.name, place.metadata["parse"]) for place in fields(row_type)]
    missing = [name for name, _ in wanted if name not in header]
    if missing:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; the header must have it")
    places = [(name, header.index(name), parse) for name, parse in wanted]
    for cells in lines:
        number = lines.line_num
        if len(cells) != len(header):
            raise UserError(f"{path}, line {number}: {len(cells)} cells, but the header has {len(header)}; {remake}")
        row = row_type(*(_cell(path, number, name, parse, cells[place]) for name, place, parse in places))
        if suite is not None and row.suite != suite:
            told = f"suite is {row.suite!r}, but this folder was given as {suite!r}; name the folder of {suite!r}"
            raise UserError(f"{path}, line {number}: {told}")
        yield row


def _cell(path: Path, number: int, name: str, parse: Callable[[str], Any], cell: str) -> Any:
    try:
        return parse(cell)
    except ValueError as fault:
        raise UserError(f"{path}, line {number}: {name} {fault}; evaluate again or correct the cell") from None
