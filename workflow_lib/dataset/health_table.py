"""Health of recordings as tables: one row a clip, one a sort of clip, one a finding; and as lines for the terminal."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.errors import UserError
from workflow_lib.files import write_csv

Row = TypeVar("Row")


@dataclass(frozen=True)
class ClipHealth:
    """One clip as measured; figures are None where there is nothing to measure."""

    machine: str
    clip: str
    split: str
    domain: str
    label: str
    attributes: str
    channels: int
    seconds: float
    near_dbfs: float | None
    far_dbfs: float | None
    near_minus_far_db: float | None
    coherence: float | None  # 0 ... 1
    clipped: float  # share of samples, of the worse channel
    silent: str  # near, far, "near far" or empty
    same_channels: bool
    digest: str

    @property
    def place(self) -> str:
        return f"{self.machine}/{self.split}/{self.clip}"


@dataclass(frozen=True)
class HealthRow:
    """One line of health.csv: the clips of one sort; levels and coherence are medians."""

    suite: str
    machine: str
    split: str
    domain: str
    label: str
    clips: int
    seconds_min: float
    seconds_max: float
    channels: str  # "2", or "1 or 2" where a machine mixes them
    near_dbfs: float | None
    far_dbfs: float | None
    near_minus_far_db: float | None
    near_minus_far_min: float | None
    near_minus_far_max: float | None
    coherence: float | None
    clipped: int  # clips with samples at full scale in runs
    silent: int
    duplicates: int  # clips that sound the same as one of the other split
    attributes: int  # different ones


@dataclass(frozen=True)
class Finding:
    """One line of findings.csv: what is odd about a clip, or, where `clip` is empty, about a machine."""

    suite: str
    machine: str
    finding: str
    clip: str
    detail: str


DIGITS = {"seconds": 3, "coherence": 4, "clipped": 6}  # of a number with a fraction; 2 for the others


def read_health(folder: Path) -> tuple[list[HealthRow], list[Finding]]:
    """The two tables of a suite."""
    return read_rows(folder / "health.csv", HealthRow), read_rows(folder / "findings.csv", Finding)


def read_rows(path: str | Path, row_type: type[Row]) -> list[Row]:
    """Rows of a table that this module wrote; UserError where it is another or damaged one."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return [_parsed(row, row_type) for row in csv.DictReader(file, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a health table ({error}): delete it and run `snakemake check`") from None


def _parsed(cells: dict[str, str], row_type: type[Row]) -> Row:
    return row_type(**{field.name: _value(cells[field.name], field.type) for field in fields(row_type)})


def _value(cell: str, kind: Any) -> Any:
    if kind is bool:
        return cell == "yes"
    if kind in (str, int, float):
        return kind(cell)
    return float(cell) if cell else None


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Write a table with the fields of `row_type` as columns."""
    write_csv(path, [field.name for field in fields(row_type)], map(_cells, rows))


def _cells(row: Any) -> list[object]:
    return [_cell(field.name, value) for field, value in zip(fields(row), astuple(row), strict=True)]


def _cell(name: str, value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{DIGITS.get(name.split('_')[0], 2)}f}"
    return "" if value is None else value


def grouped(findings: Iterable[Finding]) -> list[tuple[str, str, list[Finding]]]:
    """(machine, finding, its lines) in the order of the table."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.machine, finding.finding), []).append(finding)
    return [(*key, lines) for key, lines in groups.items()]


# ---- on the terminal -------------------------------------------------------------------------------------------------

COLUMNS = {
    "machine": "machine",
    "split": "split",
    "domain": "domain",
    "label": "label",
    "clips": "clips",
    "channels": "channels",
    "near_dbfs": "near dBFS",
    "far_dbfs": "far dBFS",
    "near_minus_far_db": "near-far dB",
    "coherence": "coherence",
    "clipped": "clipped",
    "silent": "silent",
    "duplicates": "duplicates",
    "attributes": "attributes",
}
NAMED = 3  # clips named in a line before "and N more"


def health_lines(folder: Path) -> list[str]:
    """The tables of a suite as aligned lines, then a line for each finding of a machine."""
    rows, findings = read_health(folder)
    cells = [[*COLUMNS.values(), "seconds"], *(_shown(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    told = [f"{machine}: {finding}{_whose(group)}" for machine, finding, group in grouped(findings)]
    return [*lines, *(told or ["nothing odd was found"])]


def _shown(row: HealthRow) -> list[str]:
    cells = [_cell(name, getattr(row, name)) for name in COLUMNS]
    low, high = f"{row.seconds_min:g}", f"{row.seconds_max:g}"
    return [*(str(cell) or "-" for cell in cells), low if low == high else f"{low} to {high}"]


def _whose(group: Sequence[Finding]) -> str:
    """': 5 clips: a.wav (detail), b.wav (detail) and 3 more'; the detail alone where no clip is meant."""
    if not group[0].clip:
        return f": {group[0].detail}"
    named = ", ".join(f"{finding.clip} ({finding.detail})" for finding in group[:NAMED])
    more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
    return f": {len(group)} clip{'s' if len(group) > 1 else ''}: {named}{more}"
