"""Parts of the page that need no labels: the most anomalous clips and how the scores spread."""

from collections.abc import Mapping, Sequence

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow
from workflow_lib.report.charts import distribution_chart, roc_chart
from workflow_lib.report.content import Block, Cell, Column, Table, count, entry_title, number, text
from workflow_lib.report.decisions import thresholds_of, values_of
from workflow_lib.report.entry_order import Rankings
from workflow_lib.report.ranking import tag_of
from workflow_lib.report.roc import rocs_of
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol

TOP_CLIPS = 20


def top_clip_tables(suite: SuiteTables, machines: Mapping[str, Sequence[RankingRow]]) -> list[Block]:
    """The most anomalous clips of every machine that has no labels, a table for each."""
    return [_top_table(suite, rows) for rows in machines.values() if all(row.anomaly is None for row in rows)]


def _top_table(suite: SuiteTables, rows: Sequence[RankingRow]) -> Table:
    protocol, first = one_protocol(row.protocol for row in rows), rows[0]
    shown = rows[:TOP_CLIPS]
    tag = tag_of(suite, first.kind, first.name)
    scope = f"suite {suite.name}, protocol {protocol}"
    extent = f"All {len(rows)} clips" if len(rows) <= TOP_CLIPS else f"The first {TOP_CLIPS} of {len(rows)} clips"
    return Table(
        caption=f"{first.machine}: most anomalous clips by {entry_title(first.entry)}, {scope}",
        columns=(Column("Place", numeric=True), Column("Clip"), Column("Anomaly score", numeric=True)),
        rows=tuple(_top_row(row, tag) for row in shown),
        protocol=protocol,
        head=1,
        note=f"{extent}; ranking.csv has all of them.",
    )


def _top_row(row: RankingRow, tag: str) -> tuple[Cell, ...]:
    return (count(row.rank), text(row.clip, tag), number(row.score, ".6g"))


def score_charts(suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings) -> list[Block]:
    """The spread of an entry's scores with the decision thresholds and, where labelled, its ROC curves."""
    machines = rankings.get((protocol, entry))
    if not machines:
        return []
    thresholds = values_of(thresholds_of(suite, protocol, entry))
    curves = {machine: found for machine, rows in machines.items() if (found := rocs_of(rows))}
    rocs = [roc_chart(suite, protocol, entry, curves)] if curves else []
    return [distribution_chart(suite, protocol, entry, machines, thresholds), *rocs]
