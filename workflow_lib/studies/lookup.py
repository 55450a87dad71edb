"""Numbers of studies, looked up in the tables of evidence: none is computed a second time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.csv_rows import grouped, read_rows
from workflow_lib.evaluation.evidence_rows import (
    TABLES,
    DifferenceRow,
    Entry,
    EntryRow,
    MachineRow,
    OfficialRow,
    SeedsRow,
    UncertaintyRow,
)
from workflow_lib.evaluation.seeds import over_seeds

Row = TypeVar("Row", EntryRow, MachineRow, OfficialRow, SeedsRow, UncertaintyRow)
KindName = tuple[str, str]  # kind and name of a branch or system


@dataclass(frozen=True)
class Estimate:
    """One number with its spread and interval; None where there is none."""

    value: float | None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    interval_seed: str = ""  # the seed that the interval belongs to, where there are several
    untrained: bool = False
    same_sign: float | None = None


@dataclass(frozen=True)
class EvidenceLookup:
    """Lookups by protocol, kind and name in a folder of tables of evidence."""

    folder: Path
    _read_before: dict[type, tuple[Any, ...]] = field(default_factory=dict, init=False, repr=False)

    def omega(self, protocol: str, kind: str, name: str, seed: str, seeds: Sequence[str]) -> Estimate:
        """Omega of an entry: of one seed, or with `seed` "" the mean over all; the interval is that of `seed_of`."""
        official = _of(self._read(OfficialRow), protocol, kind, name)
        shown = self.seed_of(protocol, kind, name, seed, seeds)
        intervals = _of(self._read(UncertaintyRow), protocol, kind, name)
        low, high = next(((row.low, row.high) for row in intervals if row.seed == shown), (None, None))
        untrained = any(row.untrained for row in official)
        if seed:
            (one,) = (row for row in official if row.seed == seed)
            return Estimate(one.omega, low=low, high=high, untrained=untrained)
        (mean,) = _of(self._read(SeedsRow), protocol, kind, name)
        several = shown if mean.seeds > 1 else ""
        return Estimate(mean.omega_mean, mean.omega_sd, low, high, mean.seeds, several, untrained)

    def machine_figures(self, protocol: str, kind: str, name: str, metric: str) -> dict[str, Estimate]:
        """One figure of an entry by machine: mean and sample standard deviation over its seeds."""
        rows: list[MachineRow] = _of(self._read(MachineRow), protocol, kind, name)
        by_machine = grouped(rows, lambda row: row.machine)
        return {
            machine: estimate([getattr(r, metric) for r in found], untrained=any(r.untrained for r in found))
            for machine, found in by_machine.items()
        }

    def change(self, protocol: str, a: KindName, b: KindName, seeds: Sequence[tuple[str, str]]) -> Estimate:
        """Omega of `a` minus that of `b`: mean and sample deviation over pairs of seeds.

        An entry without seeds pairs with every seed of the other. Interval and share of the same sign are those of
        the first pair that both have.
        """
        rows = [{row.seed: row for row in _of(self._read(OfficialRow), protocol, *entry)} for entry in (a, b)]
        pairs = [tuple(of.get(seed, of.get("")) for of, seed in zip(rows, pair, strict=True)) for pair in seeds]
        pairs = pairs[:1] if all("" in entry for entry in rows) else pairs
        known = [(x, y) for x, y in pairs if x is not None and y is not None]
        if not known:
            return Estimate(None)
        changes = [None if None in (x.omega, y.omega) else x.omega - y.omega for x, y in known]
        first, second = known[0]
        low, high, sign = self._difference(protocol, first.entry, second.entry)
        untrained = first.untrained or second.untrained
        seed = first.seed or second.seed
        return estimate(changes, seed, low=low, high=high, untrained=untrained, same_sign=sign)

    def _difference(self, protocol: str, a: Entry, b: Entry) -> tuple[float | None, float | None, float | None]:
        """Interval and share of the same sign of a drawn difference; None where none was drawn."""
        for row in self._read(DifferenceRow):
            if (row.protocol, row.a, row.b) == (protocol, a, b):
                return row.low, row.high, row.same_sign
            if (row.protocol, row.b, row.a) == (protocol, a, b) and row.low is not None and row.high is not None:
                return -row.high, -row.low, row.same_sign
        return None, None, None

    def seed_of(self, protocol: str, kind: str, name: str, seed: str, seeds: Sequence[str]) -> str:
        """The seed whose interval is shown for an entry: the one asked for, or the first of `seeds` that it has."""
        own = [row.seed for row in _of(self._read(OfficialRow), protocol, kind, name)]
        return seed or next((s for s in seeds if s in own), own[0] if own else "")

    def _read(self, row_type: type[Any]) -> tuple[Any, ...]:
        """A table, which is read when a study first asks for it."""
        if row_type not in self._read_before:
            (name,) = (name for name, of_table in TABLES.items() if of_table is row_type)
            rows = read_rows(self.folder / f"{name}.csv", row_type, "evaluate the suite again")
            self._read_before[row_type] = rows
        return self._read_before[row_type]


def _of(rows: Iterable[Row], protocol: str, kind: str, name: str) -> list[Row]:
    return [row for row in rows if (row.protocol, row.kind, row.name) == (protocol, kind, name)]


def defined(value: float) -> float | None:
    """A number, or None for NaN (undefined)."""
    return None if isnan(value) else value


def estimate(values: Sequence[float | None], interval_seed: str = "", **more: Any) -> Estimate:
    """Mean and sample standard deviation of one value per seed; undefined where one of them is."""
    over = over_seeds([nan if value is None else value for value in values])
    shown = interval_seed if over.seeds > 1 else ""
    return Estimate(defined(over.mean), defined(over.sd), seeds=over.seeds, interval_seed=shown, **more)
