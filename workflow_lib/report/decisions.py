"""Decisions at the threshold: which clips would be called anomalous, and how often that is right."""

from collections.abc import Mapping, Sequence

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow, ThresholdRow
from workflow_lib.report.content import (
    DASH,
    UNTRAINED,
    Block,
    Cell,
    Column,
    Notice,
    Table,
    count,
    entry_title,
    number,
    text,
)
from workflow_lib.report.entry_order import Rankings
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol

Machines = Mapping[str, Sequence[RankingRow]]
_NOTE = (
    "A clip is called anomalous if its score lies above the threshold, which comes from the scores of normal training "
    "clips alone. Found: anomalous clips that are called so. Precision: how many of the clips that are called "
    "anomalous are; recall: how many of the anomalous ones are found; F1: their harmonic mean. Data: thresholds.csv, "
    "ranking.csv"
)
_UNLABELLED_NOTE = (
    "A clip is called anomalous if its score lies above the threshold, which comes from the scores of normal training "
    "clips alone. Data: thresholds.csv, ranking.csv"
)


def thresholds_of(suite: SuiteTables, protocol: str, entry: Entry) -> dict[str, ThresholdRow]:
    """{machine: its line of thresholds.csv} of one entry."""
    return {row.machine: row for row in suite.thresholds if (row.protocol, row.entry) == (protocol, entry)}


def method_of(row: ThresholdRow) -> str:
    """'quantile 0.9' of the scores themselves, 'gamma, quantile 0.9' of a distribution fitted to them."""
    if row.quantile is None:
        return row.method
    return f"quantile {row.quantile:g}" if row.method == "quantile" else f"{row.method}, quantile {row.quantile:g}"


def values_of(thresholds: Mapping[str, ThresholdRow]) -> dict[str, float | None]:
    """{machine: threshold} for drawing."""
    return {machine: row.threshold for machine, row in thresholds.items()}


def decision_blocks(suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings) -> list[Block]:
    """Decisions of one entry by machine, and why a machine has no threshold."""
    machines, thresholds = rankings.get((protocol, entry), {}), thresholds_of(suite, protocol, entry)
    if not machines:
        return []
    missing = {machine: _reason(thresholds.get(machine)) for machine in machines}
    lines = [f"{machine}: {reason}" for machine, reason in missing.items() if reason]
    title = f"No decision threshold: {entry_title(entry)}, protocol {protocol}"
    notice = [Notice("note", title, tuple(lines))] if lines else []
    kept = {machine: rows for machine, rows in machines.items() if not missing[machine]}
    return [*notice, _table(suite, protocol, entry, kept, thresholds)] if kept else notice


def _reason(row: ThresholdRow | None) -> str:
    """Why there is no threshold; nothing where there is one."""
    if row is None:
        return "thresholds.csv has no line for it"
    return "" if row.threshold is not None else row.note or "it was not made, and thresholds.csv does not say why"


def _table(
    suite: SuiteTables, protocol: str, entry: Entry, machines: Machines, thresholds: Mapping[str, ThresholdRow]
) -> Table:
    protocol = one_protocol([protocol, *(row.protocol for row in thresholds.values())])
    labelled = all(row.anomaly is not None for rows in machines.values() for row in rows)
    titles = ["Threshold", "Normal clips", *(_LABELLED if labelled else ("Called anomalous", "Test clips"))]
    tag = UNTRAINED if (entry.kind, entry.name) in suite.untrained else ""
    lines = [_line(machine, rows, thresholds[machine], tag, labelled) for machine, rows in machines.items()]
    return Table(
        caption=f"{entry_title(entry)}: decisions at the threshold, suite {suite.name}, protocol {protocol}",
        columns=(Column("Machine"), Column("Set by"), *(Column(title, numeric=True) for title in titles)),
        rows=tuple(lines),
        protocol=protocol,
        note=_NOTE if labelled else _UNLABELLED_NOTE,
    )


_LABELLED = ("Found", "False alarms, source", "False alarms, target", "Precision", "Recall", "F1")


def _line(
    machine: str, rows: Sequence[RankingRow], threshold: ThresholdRow, tag: str, labelled: bool
) -> tuple[Cell, ...]:
    head = (text(machine, tag), text(method_of(threshold)), number(threshold.threshold, ".5g"))
    told = _rates(rows, threshold.threshold) if labelled else _called(rows, threshold.threshold)
    return (*head, count(threshold.normal_clips), *told)


def _called(rows: Sequence[RankingRow], threshold: float) -> tuple[Cell, ...]:
    return (count(sum(row.score > threshold for row in rows)), count(len(rows)))


def _rates(rows: Sequence[RankingRow], threshold: float) -> tuple[Cell, ...]:
    """Hits, false alarms by domain, precision, recall and F1; undefined where nothing could be counted."""
    anomalies = [row for row in rows if row.anomaly]
    hits = sum(row.score > threshold for row in anomalies)
    alarms = [_of([row for row in rows if row.domain == name and not row.anomaly], threshold) for name in _DOMAINS]
    called = sum(row.score > threshold for row in rows)
    precision = hits / called if called else None
    recall = hits / len(anomalies) if anomalies else None
    # Of two undefined figures nothing is said; where only the precision is, no anomaly was found and F1 is 0.
    f1 = 2 * hits / (called + len(anomalies)) if anomalies else None
    return (_of(anomalies, threshold), *alarms, *(number(value, ".3f") for value in (precision, recall, f1)))


_DOMAINS = ("source", "target")


def _of(rows: Sequence[RankingRow], threshold: float) -> Cell:
    """'3 of 25', sorted by the share."""
    if not rows:
        return Cell(DASH)
    above = sum(row.score > threshold for row in rows)
    return Cell(f"{above} of {len(rows)}", repr(above / len(rows)))
