"""The tables of a suite as studies look numbers up in them; a number is never computed here a second time."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from pathlib import Path

from workflow_lib.evaluation.seeds import over_seeds

Line = Mapping[str, str]
Entry = tuple[str, str]  # kind and name
End = tuple[str, str, str]  # kind, name and seed of one side of a difference


@dataclass(frozen=True)
class Figure:
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
class SuiteTables:
    """Lookups by protocol, kind and name in a folder of tables (workflow_lib/evaluation.py)."""

    folder: Path

    def omega(self, protocol: str, kind: str, name: str, seed: str, seeds: Sequence[str]) -> Figure:
        """Ω of an entry: of one seed, or with `seed` "" the mean over all; the interval is that of `seed_of`."""
        official = self._lines(self._official, protocol, kind, name)
        shown = self.seed_of(protocol, kind, name, seed, seeds)
        low, high = self._interval(protocol, kind, name, shown)
        untrained = any(line["untrained"] == "yes" for line in official)
        if seed:
            (line,) = (line for line in official if line["seed"] == seed)
            return Figure(number(line["omega"]), low=low, high=high, untrained=untrained)
        (line,) = self._lines(self._seeds, protocol, kind, name)
        count = int(line["seeds"])
        several = shown if count > 1 else ""
        return Figure(
            number(line["omega_mean"]), number(line["omega_sd"]), low, high, count, several, untrained=untrained
        )

    def machine_figures(self, protocol: str, kind: str, name: str, metric: str) -> dict[str, Figure]:
        """One figure of an entry by machine: mean and sample standard deviation over its seeds."""
        found: dict[str, list[Line]] = {}
        for line in self._lines(self._machines, protocol, kind, name):
            found.setdefault(line["machine"], []).append(line)
        return {machine: _over_seeds(lines, metric) for machine, lines in found.items()}

    def change(self, protocol: str, a: Entry, b: Entry, seeds: Sequence[tuple[str, str]]) -> Figure:
        """Ω of `a` minus that of `b`, mean and sample deviation over pairs of seeds; what has no seed pairs with each.

        Interval and share of the same sign are those of the first pair that both have.
        """
        lines = [{line["seed"]: line for line in self._lines(self._official, protocol, *entry)} for entry in (a, b)]
        pairs = [(self._of_seed(lines[0], one), self._of_seed(lines[1], other)) for one, other in seeds]
        pairs = pairs[:1] if all("" in entry for entry in lines) else pairs
        known = [(x, y) for x, y in pairs if x is not None and y is not None]
        if not known:
            return Figure(None)
        over = over_seeds([float(x["omega"] or "nan") - float(y["omega"] or "nan") for x, y in known])
        first, second = known[0]
        low, high, sign = self._difference(protocol, (*a, first["seed"]), (*b, second["seed"]))
        untrained = "yes" in (first["untrained"], second["untrained"])
        shown = (first["seed"] or second["seed"]) if over.seeds > 1 else ""
        return Figure(defined(over.mean), defined(over.sd), low, high, over.seeds, shown, untrained, sign)

    def _of_seed(self, lines: Mapping[str, Line], seed: str) -> Line | None:
        """The line of a seed, or of what has none; None where neither is there."""
        return lines.get(seed, lines.get(""))

    def _difference(self, protocol: str, a: End, b: End) -> tuple[float | None, float | None, float | None]:
        """Interval and share of the same sign of a drawn difference; None where none was drawn."""
        for line in self._differences:
            ends = tuple((line[f"kind_{end}"], line[f"name_{end}"], line[f"seed_{end}"]) for end in "ab")
            low, high, sign = (number(line[key]) for key in ("low", "high", "same_sign"))
            if line["protocol"] == protocol and ends == (a, b):
                return low, high, sign
            if line["protocol"] == protocol and ends == (b, a) and low is not None and high is not None:
                return -high, -low, sign
        return None, None, None

    def seed_of(self, protocol: str, kind: str, name: str, seed: str, seeds: Sequence[str]) -> str:
        """The seed whose interval is shown for an entry: the one asked for, or the first of `seeds` that it has."""
        own = [line["seed"] for line in self._lines(self._official, protocol, kind, name)]
        return seed or next((s for s in seeds if s in own), own[0] if own else "")

    def _interval(self, protocol: str, kind: str, name: str, seed: str) -> tuple[float | None, float | None]:
        lines = [line for line in self._lines(self._uncertainty, protocol, kind, name) if line["seed"] == seed]
        return (number(lines[0]["low"]), number(lines[0]["high"])) if lines else (None, None)

    def _lines(self, table: Iterable[Line], protocol: str, kind: str, name: str) -> list[Line]:
        return [line for line in table if (line["protocol"], line["kind"], line["name"]) == (protocol, kind, name)]

    @cached_property
    def _official(self) -> list[Line]:
        return self._read("official")

    @cached_property
    def _uncertainty(self) -> list[Line]:
        return self._read("uncertainty")

    @cached_property
    def _seeds(self) -> list[Line]:
        return self._read("seeds")

    @cached_property
    def _machines(self) -> list[Line]:
        return self._read("machines")

    @cached_property
    def _differences(self) -> list[Line]:
        return self._read("differences")

    def _read(self, table: str) -> list[Line]:
        with (self.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def number(cell: str) -> float | None:
    """A cell as a number; None where it is empty (undefined)."""
    return float(cell) if cell else None


def defined(value: float) -> float | None:
    """A number, or None for NaN (undefined)."""
    return None if isnan(value) else value


def _over_seeds(lines: Sequence[Line], metric: str) -> Figure:
    over = over_seeds([float(line[metric] or "nan") for line in lines])
    untrained = any(line["untrained"] == "yes" for line in lines)
    return Figure(defined(over.mean), defined(over.sd), seeds=over.seeds, untrained=untrained)
