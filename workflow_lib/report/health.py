"""The part of the page about the recordings themselves: what is odd about them, and their levels and coherence."""

from collections.abc import Sequence
from pathlib import Path

from workflow_lib.dataset.health_table import Finding, HealthRow, grouped, read_health
from workflow_lib.errors import and_more
from workflow_lib.report.content import DASH, Block, Cell, Column, Prose, Section, Table, count, number, text

_READING = (
    "Levels are RMS in dB below full scale and, like the coherence of near and far (0: unrelated, 1: one is the other, "
    "filtered), medians over clips. A clip is clipped if three samples or more in a row stand at full scale."
)


def health_section(suite: str, folder: Path, key: str) -> Section:
    """The section with the findings and figures of a suite, from its health tables."""
    rows, findings = read_health(folder)
    return Section(f"{key}-health", "Health of the recordings", (*_findings(suite, findings), _figures(suite, rows)))


def _findings(suite: str, findings: Sequence[Finding]) -> list[Block]:
    if not findings:
        return [Prose("Nothing odd was found in the recordings."), Prose(_READING)]
    titles = (Column("Machine"), Column("Finding"), Column("Clips", numeric=True), Column("Which"))
    rows = tuple(_finding(machine, finding, lines) for machine, finding, lines in grouped(findings))
    table = Table(f"What is odd about the recordings of {suite}", titles, rows, note="Data: check/findings.csv")
    return [table, Prose(_READING)]


def _finding(machine: str, finding: str, lines: Sequence[Finding]) -> tuple[Cell, ...]:
    if not lines[0].clip:
        return (text(machine), text(finding), count(None), text(lines[0].detail))
    named = and_more(f"{line.clip} ({line.detail})" for line in lines)
    return (text(machine), text(finding), count(len(lines)), text(named))


def _figures(suite: str, rows: Sequence[HealthRow]) -> Table:
    numeric = ("Clips", "Near, dBFS", "Far, dBFS", "Near minus far, dB", "Coherence", "Clipped", "Silent", "Doubles")
    titles = (Column("Machine"), Column("Clips of"), *(Column(title, numeric=True) for title in numeric))
    last = (Column("Attributes", numeric=True), Column("Channels"), Column("Length"))
    return Table(
        caption=f"Levels, coherence and faults of {suite}, by machine and sort of clip",
        columns=(*titles, *last),
        rows=tuple(_figure_row(row) for row in rows),
        note="Data: check/health.csv; clip by clip: health/<machine>.csv",
    )


def _figure_row(row: HealthRow) -> tuple[Cell, ...]:
    sort = " ".join(word for word in (row.split, row.domain, row.label) if word)
    levels = [_level(value) for value in (row.near_dbfs, row.far_dbfs, row.near_minus_far_db)]
    coherence = Cell(DASH) if row.coherence is None else number(row.coherence, ".2f")
    counts = [count(value) for value in (row.clipped, row.silent, row.duplicates, row.attributes)]
    low, high = f"{row.seconds_min:g}", f"{row.seconds_max:g}"
    length = f"{low} s" if low == high else f"{low} {DASH} {high} s"
    return (
        *(text(row.machine), text(sort), count(row.clips), *levels, coherence, *counts),
        *(text(row.channels), text(length)),
    )


def _level(value: float | None) -> Cell:
    """A mono clip has no far level, and digital silence none at all."""
    return Cell(DASH) if value is None else number(value, ".1f")
