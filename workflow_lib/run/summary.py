"""The last lines of a run: the best scores, the clips that rank highest, findings, warnings and the page's path."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tabulate import tabulate

from workflow_lib.config.twins import system_label
from workflow_lib.csv_rows import grouped, read_rows
from workflow_lib.dataset.health_table import Finding
from workflow_lib.evaluation.evidence_rows import (
    ABOUT_SYSTEMS,
    ModelRow,
    NoteRow,
    OfficialRow,
    RankingRow,
    UncertaintyRow,
)
from workflow_lib.plan.model_name import ModelName
from workflow_lib.protocols import PROTOCOLS

MOST_LINES = 9  # the path of Snakemake's log is the tenth
TOP_CLIPS = 3
Row = TypeVar("Row")


def summary_lines(jobs: Iterable[Any]) -> list[str]:
    """What Snakemake's jobs made, in at most `MOST_LINES` lines; none where no suite was tabulated."""
    made: dict[str, dict[str, Path]] = {}
    for job in jobs:
        if job.output:
            made.setdefault(job.rule.name, {})[job.wildcards.get("suite", "")] = Path(job.output[0])
    tables = dict(sorted(made.get("tabulate_suite", {}).items()))
    if not tables:
        return []
    last = [*_warnings(tables, made.get("tabulate_health", {}))]
    last += [f"Report: {page.absolute()}" for page in made.get("write_report", {}).values()]
    first = tabulate([row for folder in tables.values() for row in _best(folder)], tablefmt="plain").splitlines()
    first += [line for suite, folder in tables.items() for line in _highest(suite, folder)]
    room = MOST_LINES - len(last)
    if len(first) > room:
        first[room - 1 :] = [f"... the report has {len(first) - room + 1} more of these"]
    return [*first, *last]


def _best(folder: Path) -> Iterator[tuple[str, ...]]:
    """Suite, protocol, best entry, and its score with the interval, under each protocol.

    An entry with an untrained model is the best one only where there is no other.
    """
    rows = _rows(folder, UncertaintyRow, "uncertainty")
    for protocol in PROTOCOLS:
        found = [row for row in rows if row.protocol == protocol and row.omega is not None]
        if found:
            best = max(found, key=lambda row: (not row.untrained, row.omega or 0.0, row.kind == "system"))
            score = f"Omega {best.omega:.3f}"
            if best.low is not None and best.high is not None:
                score += f", {best.level:.0%} interval {best.low:.3f} to {best.high:.3f}"
            yield (
                best.suite,
                protocol,
                f"best: {system_label(best.name)}{f' (seed {best.seed})' if best.seed else ''}",
                score,
            )


def _highest(suite: str, folder: Path) -> Iterator[str]:
    """The clips that rank highest on each machine without labels, by the first system or else the first branch.

    Those with an untrained model come after all others.
    """
    if any(row.omega is not None for row in _rows(folder, OfficialRow, "official")):
        return
    tops = [row for row in _rows(folder, RankingRow, "ranking") if row.rank <= TOP_CLIPS and row.anomaly is None]
    entries = grouped(tops, key=lambda row: (row.untrained, row.kind != "system", row.protocol, row.name, row.seed))
    if entries:
        for machine, rows in grouped(entries[min(entries)], key=lambda row: row.machine).items():
            named = ", ".join(row.clip for row in sorted(rows, key=lambda row: row.rank))
            yield f"{suite} {machine}, highest by {system_label(rows[0].name)} ({rows[0].protocol}): {named}"


def _warnings(tables: Mapping[str, Path], health: Mapping[str, Path]) -> Iterator[str]:
    odd = [f"{row.machine} ({suite})" for suite, path in health.items() for row in _rows(path, Finding, "findings")]
    if odd:
        yield f"Findings on the recordings of {', '.join(dict.fromkeys(odd))}: snakemake check"
    models = [row for folder in tables.values() for row in _rows(folder, ModelRow, "models")]
    if untrained := dict.fromkeys(ModelName.parse(row.model).model for row in models if row.trained == "no"):
        yield f"Warning: random weights in {', '.join(untrained)}: their scores show the machinery, not the method"
    noted = {
        folder / "notes.csv": sum(row.note not in ABOUT_SYSTEMS for row in _rows(folder, NoteRow, "notes"))
        for folder in tables.values()
    }
    if sum(noted.values()):
        paths = ", ".join(str(path) for path, number in noted.items() if number)
        yield f"Notes on what was reduced or left out: {sum(noted.values())} in {paths}"


def _rows(folder: Path, row_type: type[Row], table: str) -> tuple[Row, ...]:
    return read_rows(folder / f"{table}.csv", row_type, "run the workflow again")
