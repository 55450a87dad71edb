"""The tables of a suite as typed rows: every cell is checked here, so that nothing above needs to."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from workflow_lib.errors import UserError
from workflow_lib.evaluation import FIXED_WEIGHTS
from workflow_lib.report.parsing import (
    any_text,
    column,
    filled,
    finite,
    flag,
    known,
    one_of,
    share,
    share_known,
    whole,
    whole_known,
    yes,
)

Row = TypeVar("Row")


class Entry(NamedTuple):
    """What is ranked: one branch or system with one seed; an empty seed means that nothing in it was drawn."""

    kind: str
    name: str
    seed: str


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The columns that every number carries: whose it is and under which protocol."""

    suite: str = column(filled)
    protocol: str = column(filled)
    kind: str = column(one_of("branch", "system"))
    name: str = column(filled)
    seed: str = column(any_text)
    untrained: bool = column(yes)

    @property
    def entry(self) -> Entry:
        return Entry(self.kind, self.name, self.seed)


@dataclass(frozen=True, slots=True)
class MachineRow(ScoredRow):
    """One line of machines.csv; figures between 0 and 1, None when undefined."""

    machine: str = column(filled)
    source_auc: float | None = column(share_known)
    target_auc: float | None = column(share_known)
    pauc: float | None = column(share_known)
    harmonic_mean: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class OfficialRow(ScoredRow):
    """One line of official.csv: the official score over all machines."""

    machines: int = column(whole)
    omega: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class RankingRow(ScoredRow):
    """One line of ranking.csv: a test clip and its place, 1 being the most anomalous."""

    machine: str = column(filled)
    rank: int = column(whole)
    clip: str = column(filled)
    domain: str = column(any_text)
    anomaly: bool | None = column(flag)
    score: float = column(finite)


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One line of weights.csv: weight and calibration of a branch in one fold; held_out is empty without folds."""

    suite: str = column(filled)
    protocol: str = column(filled)
    system: str = column(filled)
    seed: str = column(any_text)
    held_out: str = column(any_text)
    branch: str = column(filled)
    weight: float | None = column(share_known)
    median: float | None = column(known)
    iqr: float | None = column(known)
    selection_omega: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class ClipsRow:
    """One line of clips.csv: how many clips of one sort a machine has; their format, None without recordings."""

    suite: str = column(filled)
    machine: str = column(filled)
    split: str = column(one_of("train", "test"))
    domain: str = column(any_text)
    label: str = column(any_text)
    clips: int = column(whole)
    channels: int | None = column(whole_known)
    sample_rate: int | None = column(whole_known)
    seconds_min: float | None = column(known)
    seconds_max: float | None = column(known)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of models.csv; branches are the names of the branches that use the model."""

    suite: str = column(filled)
    model: str = column(filled)
    kind: str = column(any_text)
    trained: str = column(one_of("yes", "no", "unknown"))
    description: str = column(any_text)
    weights_digest: str = column(any_text)
    branches: tuple[str, ...] = column(lambda cell: tuple(cell.split()))
    licence: str = column(any_text)


@dataclass(frozen=True, slots=True)
class NoteRow:
    """One line of notes.csv: what the data or the configuration changed; `branch` may also be a system."""

    suite: str = column(filled)
    branch: str = column(any_text)
    model: str = column(any_text)
    machine: str = column(any_text)
    note: str = column(filled)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One line of training.csv: an optimiser step of an adapted model; figures are means over the clips of the step."""

    suite: str = column(filled)
    model: str = column(filled)
    step: int = column(whole)
    epoch: int = column(whole)
    learning_rate: float = column(finite)
    loss: float = column(finite)
    loss_attribute: float = column(finite)
    loss_machine: float = column(finite)
    loss_domain: float = column(finite)
    loss_consistency: float = column(finite)
    # No shares: summed up in single precision, a mean of ones may pass 1 by a hair.
    accuracy_attribute: float = column(finite)
    accuracy_machine: float = column(finite)
    accuracy_domain: float = column(finite)
    clips_per_s: float = column(finite)


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """One line of validation.csv: an adapted model on withheld normal clips after one epoch."""

    suite: str = column(filled)
    model: str = column(filled)
    epoch: int = column(whole)
    clips: int = column(whole)
    chance: float = column(share)
    loss: float = column(finite)
    accuracy_attribute: float = column(share)
    accuracy_machine: float = column(share)
    accuracy_domain: float = column(share)


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
    training: tuple[TrainingRow, ...]
    validation: tuple[ValidationRow, ...]

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
    "training": TrainingRow,
    "validation": ValidationRow,
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
    wanted = [(place.name, place.metadata["parse"]) for place in fields(row_type)]
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
