"""Figures of the studies that have some: SVG and PNG, the protocol in title and file name, same rows, same bytes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from workflow_lib.protocols import one_protocol
from workflow_lib.report.drawing import ACCENT, ANOMALY, FAINT, INK, MUTED, PAPER, UNKNOWN, figure_style, to_png, to_svg
from workflow_lib.report.figures import draw_heat_cells
from workflow_lib.studies.latex import header
from workflow_lib.studies.rows import METRICS, StudyRow

_WIDTH_IN = 7.0


def draw(rows: Sequence[StudyRow]) -> dict[str, bytes]:
    """{file name: content}; nothing for the kinds that are tables only. UserError for rows of two protocols."""
    drawing = {"heat_map": heat_map, "leave_one_branch_out": removal_chart}.get(rows[0].kind)
    if drawing is None:
        return {}
    name = f"{rows[0].study}-{one_protocol(row.protocol for row in rows)}"
    figure = drawing(rows)
    return {f"{name}.svg": to_svg(figure).encode("utf-8"), f"{name}.png": to_png(figure)}


@figure_style()
def heat_map(rows: Sequence[StudyRow]) -> Figure:
    """Machines by figure: ours in colour, the published number below it where the paper names one."""
    machines = list(dict.fromkeys(row.label for row in rows))
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    figure = Figure(figsize=(0.78 * _WIDTH_IN, 1.0 + 0.42 * len(machines)), layout="constrained")
    axes = figure.add_subplot()
    cells = {(row.label, row.metric): row for row in rows}
    values = [[_value(cells.get((machine, metric))) for metric in metrics] for machine in machines]
    notes = [[_note(cells.get((machine, metric))) for metric in metrics] for machine in machines]
    draw_heat_cells(axes, values, notes, missing="none here")
    axes.set_xticks([place + 0.5 for place in range(len(metrics))], [METRICS[metric] for metric in metrics])
    axes.set_yticks([place + 0.5 for place in range(len(machines))], machines)
    figure.suptitle(_title(rows), x=0.01, ha="left", size=9)
    return figure


@figure_style()
def removal_chart(rows: Sequence[StudyRow]) -> Figure:
    """Change of Ω by removed branch: ours as bars with the deviation over seeds, the paper's as diamonds."""
    changes = [row for row in rows if row.metric == "change"]
    figure = Figure(figsize=(0.8 * _WIDTH_IN, 1.25 + 0.36 * len(changes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=MUTED, linewidth=0.9)
    for place, row in enumerate(changes):
        _change_line(axes, place, row)
    axes.set(ylim=(len(changes) - 0.4, -0.6), xlabel="change of Ω (bar: ours; hollow diamond: paper)")
    axes.margins(x=0.2)
    axes.set_yticks(range(len(changes)), [f"without {row.label}" for row in changes])
    figure.suptitle(_title(rows), x=0.01, ha="left", size=9)
    return figure


def _change_line(axes: object, place: int, row: StudyRow) -> None:
    axes.axhline(place, color=FAINT, linewidth=0.6, zorder=0)
    if row.value == "":
        axes.annotate("not part of this run", (0, place), (4, -9), textcoords="offset points", color=MUTED, size=7)
    else:
        colour = UNKNOWN if row.untrained == "yes" else ACCENT
        spread = {} if row.sd == "" else {"xerr": row.sd, "ecolor": INK, "capsize": 2}
        axes.barh(place, row.value, height=0.5, color=colour, **spread)
        side = 4 if row.value >= 0 else -4
        at = {"ha": "left" if side > 0 else "right", "va": "center", "size": 8}
        axes.annotate(f"{row.value:+.4f}", (row.value, place), (side, 0), textcoords="offset points", **at)
    if row.published != "":
        axes.plot(row.published, place, "D", markersize=6, color=ANOMALY, markerfacecolor=PAPER, zorder=3)


def _value(row: StudyRow | None) -> float | None:
    return None if row is None or row.value == "" else row.value


def _note(row: StudyRow | None) -> str:
    return "" if row is None or row.published == "" else f"paper {row.published:.3f}"


def _title(rows: Sequence[StudyRow]) -> str:
    """Title of the study with system, protocol and what our numbers were made with, two lines."""
    first = rows[0]
    return f"{first.title}\n{first.entry}, protocol {first.protocol}; {header(rows)}"
