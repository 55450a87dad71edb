"""Health of recordings as tables: one row a clip, one a sort of clip, one a finding; and as lines for the terminal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from workflow_lib.csv_rows import Written, cells, columns, grouped, read_rows
from workflow_lib.errors import and_more

REMAKE = "delete it and run `snakemake check`"  # how to get a sound table
Seconds = Annotated[float, Written(".3f")]
Decibel = Annotated[float, Written(".2f")]
Coherence = Annotated[float, Written(".4f")]  # 0 ... 1
Share = Annotated[float, Written(".4f")]  # 0 ... 1


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
    seconds: Seconds
    near_dbfs: Decibel | None
    far_dbfs: Decibel | None
    near_minus_far_db: Decibel | None
    coherence: Coherence | None
    removed_by_far: Share | None  # of near's energy, by the channel `cancelled`
    clipped: Annotated[float, Written(".6f")]  # share of samples, of the worse channel
    silent: str  # near, far, "near far" or empty
    same_channels: bool
    digest: str

    @property
    def place(self) -> str:
        return f"{self.machine}/{self.split}/{self.clip}"


@dataclass(frozen=True)
class HealthRow:
    """One line of health.csv: the clips of one sort; levels, coherence and the removed share are medians."""

    suite: str
    machine: str
    split: str
    domain: str
    label: str
    clips: int
    seconds_min: Seconds
    seconds_max: Seconds
    channels: str  # "2", or "1 or 2" where a machine mixes them
    near_dbfs: Decibel | None
    far_dbfs: Decibel | None
    near_minus_far_db: Decibel | None
    near_minus_far_min: Decibel | None
    near_minus_far_max: Decibel | None
    coherence: Coherence | None
    removed_by_far: Share | None
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


def read_health(folder: Path) -> tuple[tuple[HealthRow, ...], tuple[Finding, ...]]:
    """The two tables of a suite."""
    return read_rows(folder / "health.csv", HealthRow, REMAKE), read_rows(folder / "findings.csv", Finding, REMAKE)


# ---- on the terminal -------------------------------------------------------------------------------------------------

LEFT_OUT = ("suite", "seconds_min", "seconds_max", "near_minus_far_min", "near_minus_far_max")
HEADS = {
    "near_dbfs": "near dBFS",
    "far_dbfs": "far dBFS",
    "near_minus_far_db": "near-far dB",
    "removed_by_far": "removed by far",
}


def health_lines(folder: Path) -> list[str]:
    """The tables of a suite as aligned lines, then a line for each finding of a machine.

    Such a line is 'fan: silent: 5 clips: a.wav (detail), b.wav (detail), c.wav (detail) and 2 more', or has the detail
    alone where no clip is meant.
    """
    rows, findings = read_health(folder)
    shown = [column for column in columns(HealthRow) if column not in LEFT_OUT]
    table = [[*(HEADS.get(column, column) for column in shown), "seconds"]]
    for row in rows:
        cell = dict(zip(columns(HealthRow), map(str, cells(row)), strict=True))
        shortest, longest = f"{row.seconds_min:g}", f"{row.seconds_max:g}"
        seconds = shortest if shortest == longest else f"{shortest} to {longest}"
        table.append([*(cell[column] or "-" for column in shown), seconds])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    groups = grouped(findings, lambda line: (line.machine, line.finding))
    odd = []
    for (machine, finding), group in groups.items():
        named = and_more(f"{line.clip} ({line.detail})" for line in group)
        counted = f"{len(group)} clip{'s' if len(group) > 1 else ''}: {named}"
        odd.append(f"{machine}: {finding}: {counted if group[0].clip else group[0].detail}")
    return [*lines, *(odd or ["nothing odd was found"])]
