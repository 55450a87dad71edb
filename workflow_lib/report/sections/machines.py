"""Single machines: scores, ROC, decision threshold, and the clips that are most wrong."""

from collections.abc import Callable, Sequence

from workflow_lib.evaluation.evidence_rows import Entry, RankingRow, ThresholdRow
from workflow_lib.report.page.cells import Cell, count, entry_title, number, text
from workflow_lib.report.page.content import Block, Details, Players, Prose, Table, protocol_table
from workflow_lib.report.page.glossary import METRICS
from workflow_lib.report.sections.captions import machine_chart
from workflow_lib.report.sections.clip_gallery import ClipGallery
from workflow_lib.report.sections.decisions import method_of, thresholds_of
from workflow_lib.report.sections.entry_order import Rankings, wrong_clips
from workflow_lib.report.suite_tables import SuiteTables

_HEARING = (
    "Spectrograms of near and far share one colour scale. Both sounds were made louder by one factor, so far stays as "
    "much quieter than near as it is. A clip that is shown further up on the page is linked to, not repeated."
)


def machine_parts(
    suite: SuiteTables, protocol: str, entry: Entry, rankings: Rankings, gallery: ClipGallery, wrong: int
) -> list[Block]:
    """A fold for each machine of one entry; `wrong`: clips of each kind that are shown as most wrong."""
    machines = rankings.get((protocol, entry), {})
    thresholds = thresholds_of(suite, protocol, entry)
    hearing = f" {_HEARING}" if wrong and gallery.filled else ""
    heading = [Prose(f"Machine by machine, {entry_title(entry)}, protocol {protocol}.{hearing}")] if machines else []
    return [
        *heading,
        *(_part(suite, rows, thresholds.get(machine), gallery, wrong) for machine, rows in machines.items()),
    ]


def _part(
    suite: SuiteTables, rows: Sequence[RankingRow], threshold: ThresholdRow | None, gallery: ClipGallery, wrong: int
) -> Details:
    first = rows[0]
    value = threshold.threshold if threshold else None
    tag = suite.tag(first.kind, first.name)
    blocks: list[Block] = [
        machine_chart(suite, first.protocol, first.entry, rows, value),
        Prose(_threshold_text(threshold)),
    ]
    if wrong:
        chosen = wrong_clips(rows, wrong)
        blocks.append(_wrong_table(suite, chosen, value, gallery, tag))
        if clips := gallery.take(chosen):
            blocks.append(Players(clips))
    return Details(f"{first.machine}{_figures_text(suite, first)}", tuple(blocks), tag)


def _threshold_text(row: ThresholdRow | None) -> str:
    if row is None or row.threshold is None:
        reason = (row.note if row else "") or "thresholds.csv has none"
        return f"No decision threshold is drawn: {reason}."
    clips = "normal training clips" if row.normal_clips is None else f"{row.normal_clips} normal training clips"
    return f"Decision threshold {row.threshold:.5g}, set on the scores of {clips} ({method_of(row)})."


def _figures_text(suite: SuiteTables, first: RankingRow) -> str:
    """' · Source AUC 0.61 · …' where the machine was evaluated."""
    key = (first.protocol, first.entry, first.machine)
    for row in suite.machines:
        if (row.protocol, row.entry, row.machine) == key:
            shown = {title: number(getattr(row, metric), ".3f").text for metric, title in METRICS.items()}
            return "".join(f" · {title} {figure}" for title, figure in shown.items() if title != "Harmonic mean")
    return ""


def _wrong_table(
    suite: SuiteTables,
    wrong: Sequence[tuple[str, RankingRow]],
    threshold: float | None,
    gallery: ClipGallery,
    tag: str,
) -> Table:
    first, why = wrong[0][1], {row: reason for reason, row in wrong}
    cells: dict[str, Callable[[RankingRow], Cell]] = {
        "Clip": lambda row: Cell(row.clip, tag=tag, link=gallery.anchor(row)),
        "Why": lambda row: text(why[row]),
        "Domain": lambda row: text(row.domain),
        "Place": lambda row: count(row.rank),
        "Anomaly score": lambda row: number(row.score, ".5g"),
        "Called": lambda row: text("" if threshold is None else "anomaly" if row.score > threshold else "normal"),
    }
    what = "clips that are most wrong" if first.anomaly is not None else "clips with the highest scores"
    return protocol_table(
        *(f"{first.machine}: {what}, {entry_title(first.entry)}", suite.name, [row for _, row in wrong], cells),
        note="Place 1 is the most anomalous of the machine's test clips. Called: at the threshold. Data: ranking.csv",
    )
