"""The tables of a suite as typed rows, every cell checked."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib.config.twins import equal_twin, twin_of
from workflow_lib.csv_rows import read_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import (
    EQUAL_WEIGHTS,
    FIXED_WEIGHTS,
    NORMAL_CALIBRATION,
    PSEUDO_WEIGHTS,
    TABLES,
    Entry,
    EntryRow,
    EvidenceTables,
)


@dataclass(frozen=True)
class SuiteTables(EvidenceTables):
    """All tables of one suite, and what several of them say together."""

    name: str

    @cached_property
    def random_branches(self) -> frozenset[str]:
        """Branches of a model with random weights."""
        return frozenset(branch for row in self.models if row.trained == "no" for branch in row.branches)

    @cached_property
    def untrained(self) -> frozenset[tuple[str, str]]:
        """(kind, name) of everything with a random model in it; one table saying so is enough."""
        rows = (*self.machines, *self.official, *self.ranking)
        flagged = {(row.kind, row.name) for row in rows if row.untrained}
        flagged |= {("branch", branch) for branch in self.random_branches}
        return frozenset(flagged | {("system", w.system) for w in self.weights if ("branch", w.branch) in flagged})

    def tag(self, kind: str, name: str) -> str:
        """'untrained' where a model with random weights takes part in a branch or system, else nothing."""
        return "untrained" if (kind, name) in self.untrained else ""

    def is_untrained(self, entry: Entry | EntryRow) -> bool:
        """Whether a model with random weights takes part in a branch or system; such entries come after all others."""
        return (entry.kind, entry.name) in self.untrained

    @cached_property
    def fixed_weights(self) -> frozenset[str]:
        """Systems whose fusion weights stand in the configuration: no machine chose them."""
        return self._noted(FIXED_WEIGHTS)

    @cached_property
    def equal_weights(self) -> frozenset[str]:
        """Systems whose branches have equal weights, with the twins of those whose weights are searched."""
        return self._noted(EQUAL_WEIGHTS) | {row.system for row in self.weights if twin_of(row.system)}

    @cached_property
    def pseudo_weights(self) -> frozenset[str]:
        """Systems whose branches are weighted by each machine's own pseudo-anomalies."""
        return self._noted(PSEUDO_WEIGHTS)

    @cached_property
    def normal_calibration(self) -> frozenset[str]:
        """Systems whose machines are calibrated by their own normal training clips, with their twins."""
        noted = self._noted(NORMAL_CALIBRATION)
        return noted | {equal_twin(name) for name in noted}

    def _noted(self, note: str) -> frozenset[str]:
        return frozenset(row.branch for row in self.notes if row.note == note)


def read_suite(name: str, folder: Path) -> SuiteTables:
    """Read the tables folder of the suite `name`; UserError names the file, line and column at fault."""
    tables = {table: _rows(folder / f"{table}.csv", row_type, name) for table, row_type in TABLES.items()}
    return SuiteTables(name=name, **tables)


def _rows(path: Path, row_type: type[Any], suite: str) -> tuple[Any, ...]:
    rows = read_rows(path, row_type, f"evaluate suite {suite!r} again")
    for line, row in enumerate(rows, 2):
        if row.suite != suite:
            given = f"but this folder was given as {suite!r}; name the folder of {suite!r}"
            raise UserError(f"{path}, line {line}: suite is {row.suite!r}, {given}")
    return rows
