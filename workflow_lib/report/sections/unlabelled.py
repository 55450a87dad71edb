"""What needs no labels: the most anomalous clips and the distribution of the scores."""

from collections.abc import Callable, Mapping, Sequence

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow
from workflow_lib.report.charts.roc import rocs_of
from workflow_lib.report.page.cells import Cell, count, entry_title, number, text
from workflow_lib.report.page.content import Block, Table, protocol_table
from workflow_lib.report.sections.captions import distribution_chart, roc_chart
from workflow_lib.report.sections.decisions import thresholds_of
from workflow_lib.report.sections.entry_order import Rankings
from workflow_lib.report.suite_tables import SuiteTables

TOP_CLIPS = 20


def top_clip_tables(suite: SuiteTables, machines: Mapping[str, Sequence[RankingRow]]) -> list[Block]:
    """The most anomalous clips of every machine that has no labels, a table for each."""
    return [_top_table(suite, rows) for rows in machines.values() if all(row.anomaly is None for row in rows)]


def _top_table(suite: SuiteTables, rows: Sequence[RankingRow]) -> Table:
    first, total = rows[0], len(rows)
    tag = suite.tag(first.kind, first.name)
    cells: dict[str, Callable[[RankingRow], Cell]] = {
        "Place": lambda row: count(row.rank),
        "Clip": lambda row: text(row.clip, tag),
        "Anomaly score": lambda row: number(row.score, ".6g"),
    }
    extent = f"All {total} clips" if total <= TOP_CLIPS else f"The first {TOP_CLIPS} of {total} clips"
    return protocol_table(
        *(f"{first.machine}: most anomalous clips by {entry_title(first.entry)}", suite.name, rows[:TOP_CLIPS], cells),
        head=1,
        note=f"{extent}; ranking.csv has all of them.",
    )


def score_charts(suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings) -> list[Block]:
    """The spread of an entry's scores with the decision thresholds and, where labelled, its ROC curves."""
    machines = rankings.get((protocol, entry))
    if not machines:
        return []
    thresholds = {machine: row.threshold for machine, row in thresholds_of(suite, protocol, entry).items()}
    curves = {machine: found for machine, rows in machines.items() if (found := rocs_of(rows))}
    rocs = [roc_chart(suite, protocol, entry, curves)] if curves else []
    return [distribution_chart(suite, protocol, entry, machines, thresholds), *rocs]
