"""The page's parts about single machines: scores, ROC, decision threshold, and the clips that are most wrong."""

from collections.abc import Sequence

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow, ThresholdRow
from workflow_lib.report.charts import machine_chart
from workflow_lib.report.clips import Shelf
from workflow_lib.report.content import (
    UNTRAINED,
    Block,
    Cell,
    Column,
    Details,
    Prose,
    Recordings,
    Table,
    count,
    entry_title,
    number,
    text,
)
from workflow_lib.report.decisions import method_of, thresholds_of
from workflow_lib.report.entry_order import Rankings, wrong_clips
from workflow_lib.report.glossary import METRICS
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol

_HEARING = (
    "Spectrograms of near and far share one colour scale. Both sounds were made louder by one factor, so far stays as "
    "much quieter than near as it is. A clip that is shown further up on the page is linked to, not repeated."
)


def machine_parts(
    suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings, shelf: Shelf, wrong: int
) -> list[Block]:
    """A fold for each machine of one entry; `wrong`: clips of each kind that are shown as most wrong."""
    machines = rankings.get((protocol, entry), {})
    thresholds = thresholds_of(suite, protocol, entry)
    hearing = f" {_HEARING}" if wrong and shelf.filled else ""
    heading = [Prose(f"Machine by machine, {entry_title(entry)}, protocol {protocol}.{hearing}")] if machines else []
    return [
        *heading,
        *(_part(suite, rows, thresholds.get(machine), shelf, wrong) for machine, rows in machines.items()),
    ]


def _part(
    suite: SuiteTables, rows: Sequence[RankingRow], threshold: ThresholdRow | None, shelf: Shelf, wrong: int
) -> Details:
    first = rows[0]
    value = threshold.threshold if threshold else None
    tag = UNTRAINED if (first.kind, first.name) in suite.untrained else ""
    blocks: list[Block] = [
        machine_chart(suite, first.protocol, first.entry, rows, value),
        Prose(_threshold_told(threshold)),
    ]
    if wrong:
        chosen = wrong_clips(rows, wrong)
        blocks.append(_wrong_table(suite, chosen, value, shelf, tag))
        if clips := shelf.take(chosen):
            blocks.append(Recordings(clips))
    return Details(f"{first.machine}{_figures_told(suite, first)}", tuple(blocks), tag)


def _threshold_told(row: ThresholdRow | None) -> str:
    if row is None or row.threshold is None:
        reason = (row.note if row else "") or "thresholds.csv has none"
        return f"No decision threshold is drawn: {reason}."
    clips = "normal training clips" if row.normal_clips is None else f"{row.normal_clips} normal training clips"
    return f"Decision threshold {row.threshold:.5g}, set on the scores of {clips} ({method_of(row)})."


def _figures_told(suite: SuiteTables, first: RankingRow) -> str:
    """' · Source AUC 0.61 · …' where the machine was evaluated."""
    key = (first.protocol, first.entry, first.machine)
    for row in suite.machines:
        if (row.protocol, row.entry, row.machine) == key:
            figures = [(METRICS[metric], getattr(row, metric)) for metric in METRICS if metric != "harmonic_mean"]
            told = [f"{title} {'undefined' if value is None else f'{value:.3f}'}" for title, value in figures]
            return f" · {' · '.join(told)}"
    return ""


def _wrong_table(
    suite: SuiteTables, wrong: Sequence[tuple[str, RankingRow]], threshold: float | None, shelf: Shelf, tag: str
) -> Table:
    rows = [row for _, row in wrong]
    protocol = one_protocol(row.protocol for row in rows)
    told = "clips that are most wrong" if rows[0].anomaly is not None else "clips with the highest scores"
    scope = f"suite {suite.name}, protocol {protocol}"
    return Table(
        caption=f"{rows[0].machine}: {told}, {entry_title(rows[0].entry)}, {scope}",
        columns=(
            Column("Clip"),
            Column("Why"),
            Column("Domain"),
            Column("Place", numeric=True),
            Column("Anomaly score", numeric=True),
            Column("Called"),
        ),
        rows=tuple(
            (
                Cell(row.clip, tag=tag, link=shelf.anchor(row)),
                text(why),
                text(row.domain),
                count(row.rank),
                number(row.score, ".5g"),
                text(_called(row, threshold)),
            )
            for why, row in wrong
        ),
        protocol=protocol,
        note="Place 1 is the most anomalous of the machine's test clips. Called: at the threshold. Data: ranking.csv",
    )


def _called(row: RankingRow, threshold: float | None) -> str:
    if threshold is None:
        return ""
    return "anomaly" if row.score > threshold else "normal"
