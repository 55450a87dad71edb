"""Figures of the studies that have some: SVG and PNG, the protocol in title and file name, same rows, same bytes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_lib.evaluation.evidence_rows import StudyRow, ends_of
from workflow_lib.report.charts.drawing import drawn, figure_style
from workflow_lib.report.charts.plots import Change, change_marks, changes
from workflow_lib.report.charts.plots import heat_map as cells_of
from workflow_lib.report.charts.title import headed
from workflow_lib.scoring.result import one_protocol
from workflow_lib.studies.latex import header
from workflow_lib.studies.unmeasured_row import METRICS, file_stem


def draw(rows: Sequence[StudyRow]) -> dict[str, bytes]:
    """{file name: content}; nothing for the kinds that are tables only. UserError for rows of two protocols."""
    drawing = {"heat_map": heat_map, "leave_one_branch_out": removal_chart}.get(rows[0].kind)
    if drawing is None:
        return {}
    one_protocol(row.protocol for row in rows)
    name = file_stem(rows)
    figure = drawing(rows)
    return {f"{name}.{form}": drawn(figure, _title(rows), form) for form in ("svg", "png")}


@figure_style()
def heat_map(rows: Sequence[StudyRow]) -> Figure:
    """Machines by figure: ours in colour, the published number below it where the paper names one."""
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    values: dict[str, dict[str, float | None]] = {row.label: dict.fromkeys(metrics) for row in rows}
    notes: dict[str, dict[str, str]] = {row.label: {} for row in rows}
    for row in rows:
        values[row.label][row.metric] = row.number
        paper = row.published_number
        notes[row.label][row.metric] = "" if paper is None else f"paper {paper:.3f}"
    figure = cells_of(values, metrics, notes=notes, missing="none here")
    return headed(figure, _title(rows))


@figure_style()
def removal_chart(rows: Sequence[StudyRow]) -> Figure:
    """Change of Ω by removed branch: ours as bars with their interval, the paper's as diamonds."""
    shown = [row for row in rows if row.metric == "change"]
    bars = [Change(row.label, row.number, ends_of(row), row.published_number, row.untrained) for row in shown]
    return headed(changes(bars), _title(rows), change_marks(bars))


def _title(rows: Sequence[StudyRow]) -> str:
    """Title of the study with system, protocol and what our numbers were made with."""
    first = rows[0]
    several = max((row.seeds for row in rows if row.seeds), default=1)
    interval = ", interval of the first" if any(row.low is not None for row in rows) else ""
    over = f", mean over {several} seeds{interval}" if several > 1 else ""
    return f"{first.title}: {first.entry}, protocol {first.protocol}; {header(rows)}{over}"
