"""Decisions at the threshold: which clips would be called anomalous, and how often that is right."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow, ThresholdRow
from workflow_lib.report.page.cells import UNKNOWN, Cell, count, entry_title, measured, number, text
from workflow_lib.report.page.content import Block, Notice, Table, table
from workflow_lib.report.sections.entry_order import Rankings
from workflow_lib.report.suite_tables import SuiteTables

Machines = Mapping[str, Sequence[RankingRow]]
_CALLED = (
    "A clip is called anomalous if its score lies above the threshold, which comes from the scores of normal training "
    "clips alone."
)
_FIGURES = (
    "Found: anomalous clips that are called so. Precision: how many of the clips that are called "
    "anomalous are; recall: how many of the anomalous ones are found; F1: their harmonic mean."
)


def thresholds_of(suite: SuiteTables, protocol: str, entry: Entry) -> dict[str, ThresholdRow]:
    """{machine: its line of thresholds.csv} of one entry."""
    return {row.machine: row for row in suite.thresholds if (row.protocol, row.entry) == (protocol, entry)}


def method_of(row: ThresholdRow) -> str:
    """'quantile 0.9' of the scores themselves, 'gamma, quantile 0.9' of a distribution fitted to them."""
    if row.quantile is None:
        return row.method
    return f"quantile {row.quantile:g}" if row.method == "quantile" else f"{row.method}, quantile {row.quantile:g}"


def decision_blocks(suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings) -> list[Block]:
    """Decisions of one entry by machine, and why a machine has no threshold."""
    machines, thresholds = rankings.get((protocol, entry), {}), thresholds_of(suite, protocol, entry)
    if not machines:
        return []
    missing = {machine: _reason(thresholds.get(machine)) for machine in machines}
    lines = [f"{machine}: {reason}" for machine, reason in missing.items() if reason]
    title = f"No decision threshold: {entry_title(entry)}, protocol {protocol}"
    notice: list[Block] = [Notice("note", title, tuple(lines))] if lines else []
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
    labelled = all(row.anomaly is not None for rows in machines.values() for row in rows)
    tag = suite.tag(entry.kind, entry.name)
    cells: dict[str, Callable[[_Decisions], Cell]] = {
        "Machine": lambda at: text(at.threshold.machine, tag),
        "Set by": lambda at: text(method_of(at.threshold)),
        "Threshold": lambda at: number(at.threshold.threshold, ".5g"),
        "Normal clips": lambda at: count(at.threshold.normal_clips),
        **(_LABELLED if labelled else _UNLABELLED),
    }
    return table(
        f"{entry_title(entry)}: decisions at the threshold, suite {suite.name}, protocol {protocol}",
        [_Decisions(thresholds[machine], rows) for machine, rows in machines.items()],
        cells,
        protocol=protocol,
        note=f"{_CALLED}{f' {_FIGURES}' if labelled else ''} Data: thresholds.csv, ranking.csv",
    )


@dataclass(frozen=True)
class _Decisions:
    """The test clips of one machine and its threshold, which is known."""

    threshold: ThresholdRow
    rows: Sequence[RankingRow]

    def called(self, rows: Iterable[RankingRow]) -> int:
        """How many of the rows score above the threshold."""
        return sum(row.score > (self.threshold.threshold or 0.0) for row in rows)

    @property
    def anomalies(self) -> list[RankingRow]:
        return [row for row in self.rows if row.anomaly]

    def share(self, rows: Sequence[RankingRow]) -> Cell:
        """'3 of 25', sorted by the share."""
        called = self.called(rows)
        return measured(f"{called} of {len(rows)}", called / len(rows)) if rows else UNKNOWN

    def alarms(self, domain: str) -> Cell:
        """False alarms of a domain."""
        return self.share([row for row in self.rows if row.domain == domain and not row.anomaly])

    def rate(self, of: int) -> Cell:
        """Anomalous clips that are found, as a share of so many; undefined of none."""
        return number(self.called(self.anomalies) / of if of else None, ".3f")

    @property
    def f1(self) -> Cell:
        """Where precision alone is undefined, no anomaly was found and F1 is 0."""
        found, total = self.called(self.anomalies), len(self.anomalies)
        return number(2 * found / (self.called(self.rows) + total) if total else None, ".3f")


_LABELLED: dict[str, Callable[[_Decisions], Cell]] = {
    "Found": lambda at: at.share(at.anomalies),
    "False alarms, source": lambda at: at.alarms("source"),
    "False alarms, target": lambda at: at.alarms("target"),
    "Precision": lambda at: at.rate(at.called(at.rows)),
    "Recall": lambda at: at.rate(len(at.anomalies)),
    "F1": lambda at: at.f1,
}
_UNLABELLED: dict[str, Callable[[_Decisions], Cell]] = {
    "Called anomalous": lambda at: count(at.called(at.rows)),
    "Test clips": lambda at: count(len(at.rows)),
}
