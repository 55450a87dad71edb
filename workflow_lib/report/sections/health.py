"""The part of the page about the recordings themselves: what is odd about them, and their levels and coherence."""

from collections.abc import Callable, Sequence
from pathlib import Path

from workflow_lib.csv_rows import grouped
from workflow_lib.dataset.health_table import Finding, HealthRow, read_health
from workflow_lib.errors import and_more
from workflow_lib.report.page.cells import UNKNOWN, Cell, count, length, number, text
from workflow_lib.report.page.content import Block, Prose, Section, Table, table

_READING = (
    "Levels are RMS in dB below full scale and, like the coherence of near and far (0: unrelated, 1: one is the other, "
    "filtered) and the share of near's energy that cancelling far removes, medians over clips. A clip is clipped if "
    "three samples or more in a row stand at full scale."
)


def health_section(suite: str, folder: Path, key: str) -> Section:
    """The section with the findings and figures of a suite, from its health tables."""
    rows, findings = read_health(folder)
    return Section(f"{key}-health", "Health of the recordings", (*_findings(suite, findings), _figures(suite, rows)))


def _findings(suite: str, findings: Sequence[Finding]) -> list[Block]:
    if not findings:
        return [Prose("Nothing odd was found in the recordings."), Prose(_READING)]
    groups = grouped(findings, lambda line: (line.machine, line.finding)).values()
    cells: dict[str, Callable[[list[Finding]], Cell]] = {
        "Machine": lambda lines: text(lines[0].machine),
        "Finding": lambda lines: text(lines[0].finding),
        "Clips": lambda lines: count(len(lines) if lines[0].clip else None),
        "Which": lambda lines: text(
            and_more(f"{line.clip} ({line.detail})" for line in lines) if lines[0].clip else lines[0].detail
        ),
    }
    caption = f"What is odd about the recordings of {suite}"
    note = "Data: check/findings.csv"
    return [table(caption, groups, cells, note=note), Prose(_READING)]


def _figures(suite: str, rows: Sequence[HealthRow]) -> Table:
    # A mono clip has no far level, and digital silence none at all.
    cells: dict[str, Callable[[HealthRow], Cell]] = {
        "Machine": lambda row: text(row.machine),
        "Clips of": lambda row: text(" ".join(word for word in (row.split, row.domain, row.label) if word)),
        "Clips": lambda row: count(row.clips),
        "Near, dBFS": lambda row: number(row.near_dbfs, ".1f", missing=UNKNOWN),
        "Far, dBFS": lambda row: number(row.far_dbfs, ".1f", missing=UNKNOWN),
        "Near minus far, dB": lambda row: number(row.near_minus_far_db, ".1f", missing=UNKNOWN),
        "Coherence": lambda row: number(row.coherence, ".2f", missing=UNKNOWN),
        "Removed by far": lambda row: number(row.removed_by_far, ".2f", missing=UNKNOWN),
        "Clipped": lambda row: count(row.clipped),
        "Silent": lambda row: count(row.silent),
        "Doubles": lambda row: count(row.duplicates),
        "Attributes": lambda row: count(row.attributes),
        "Channels": lambda row: text(row.channels),
        "Length": lambda row: length(row.seconds_min, row.seconds_max),
    }
    caption = f"Levels, coherence and faults of {suite}, by machine and sort of clip"
    note = "Data: check/health.csv; clip by clip: health/<machine>.csv"
    return table(caption, rows, cells, note=note)
