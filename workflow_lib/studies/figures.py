"""Figures of the studies that have some: SVG and PNG, the protocol in title and file name, same rows, same bytes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_lib.report.drawing import figure_style, to_png, to_svg
from workflow_lib.report.figures import Change, change_marks, changes
from workflow_lib.report.figures import heat_map as cells_of
from workflow_lib.report.title import headed
from workflow_lib.scoring.result import one_protocol
from workflow_lib.studies.latex import header
from workflow_lib.studies.study_row import METRICS, StudyRow, file_stem


def draw(rows: Sequence[StudyRow]) -> dict[str, bytes]:
    """{file name: content}; nothing for the kinds that are tables only. UserError for rows of two protocols."""
    drawing = {"heat_map": heat_map, "leave_one_branch_out": removal_chart}.get(rows[0].kind)
    if drawing is None:
        return {}
    one_protocol(row.protocol for row in rows)
    name = file_stem(rows)
    figure = drawing(rows)
    return {f"{name}.svg": to_svg(figure, _title(rows)).encode("utf-8"), f"{name}.png": to_png(figure, _title(rows))}


@figure_style()
def heat_map(rows: Sequence[StudyRow]) -> Figure:
    """Machines by figure: ours in colour, the published number below it where the paper names one."""
    machines: dict[str, dict[str, StudyRow]] = {}
    for row in rows:
        machines.setdefault(row.label, {})[row.metric] = row
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    values = [{metric: _value(cells.get(metric)) for metric in metrics} for cells in machines.values()]
    notes = [{metric: _note(cells.get(metric)) for metric in metrics} for cells in machines.values()]
    figure = cells_of(list(machines), values, metrics, notes=notes, missing="none here")
    return headed(figure, _title(rows))


@figure_style()
def removal_chart(rows: Sequence[StudyRow]) -> Figure:
    """Change of Ω by removed branch: ours as bars with their interval, the paper's as diamonds."""
    bars = [_change(row) for row in rows if row.metric == "change"]
    return headed(changes(bars), _title(rows), change_marks(bars))


def _change(row: StudyRow) -> Change:
    interval = None if row.low == "" or row.high == "" else (row.low, row.high)
    return Change(row.label, _value(row), interval, _known(row.published), row.untrained == "yes")


def _value(row: StudyRow | None) -> float | None:
    return None if row is None else _known(row.value)


def _known(value: float | str) -> float | None:
    return None if value == "" else value


def _note(row: StudyRow | None) -> str:
    return "" if row is None or row.published == "" else f"paper {row.published:.3f}"


def _title(rows: Sequence[StudyRow]) -> str:
    """Title of the study with system, protocol and what our numbers were made with."""
    first = rows[0]
    several = max((int(row.seeds) for row in rows if row.seeds), default=1)
    interval = ", interval of the first" if any(row.low != "" for row in rows) else ""
    over = f", mean over {several} seeds{interval}" if several > 1 else ""
    return f"{first.title}: {first.entry}, protocol {first.protocol}; {header(rows)}{over}"
