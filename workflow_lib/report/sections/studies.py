"""Studies: the paper's tables and figures with this run's values and the published ones."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from workflow_lib.csv_rows import grouped, read_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.report.page.cells import UNKNOWN, UNTRAINED, Cell, count, interval, number, spread, text
from workflow_lib.report.page.content import Block, Chart, Prose, Section, Table, table
from workflow_lib.report.page.glossary import METRICS
from workflow_lib.scoring.result import one_protocol

_TITLES = {"omega": "Ω", **METRICS, "change": "Change of Ω", "pseudo_auc": "AUC, pseudo-anomalies"}
_READING = (
    "Tables and figures of the paper, made again by this run, with the value that the paper publishes beside ours. "
    "The paper's values were measured on its development set with trained models; where ours come from another suite "
    "or from untrained models, the row says so, and the two are then not to be compared."
)


def studies_section(folders: Iterable[Path]) -> list[Section]:
    """One section with all studies, nothing where there is none; each folder has a table of its own name."""
    parts = [_study(Path(folder)) for folder in folders]
    return [Section("studies", "Studies: the paper beside this run", (Prose(_READING), *parts))] if parts else []


def _study(folder: Path) -> Section:
    remake = f"remove {folder} and make it again"
    path = next(iter(sorted(folder.glob(f"{folder.name}*.csv"))), folder / f"{folder.name}.csv")
    rows = read_rows(path, StudyRow, remake)
    for line, row in enumerate(rows, 2):
        for name in ("value", "published") if row.metric != "text" else ():
            if isinstance(cell := getattr(row, name), str):
                raise UserError(f"{path}, line {line}: {name} is {cell!r}, but must be a finite number; {remake}")
    if not rows:
        return Section(f"study-{folder.name}", folder.name, (Prose("The study has no rows."),))
    suite, first = rows[0].suite, rows[0]
    # Rows of two protocols never share a table.
    blocks: list[Block] = [_table(scope) for scope in grouped(rows, lambda row: row.protocol).values()]
    blocks += _drawn(rows, path.with_suffix(".svg"))
    return Section(f"study-{suite}-{first.study}", first.title, tuple(blocks), code=f"{first.study}, suite {suite}")


def _table(rows: Sequence[StudyRow]) -> Table:
    words, heads = rows[0].metric == "text", dict.fromkeys(map(_head, rows))
    figures: dict[str, Callable[[list[StudyRow]], Cell]] = {}
    for head in heads:
        found = [row for row in rows if _head(row) == head]
        figures[head] = partial(_cell, head, _ours)
        if any(row.low is not None for row in found):
            figures[f"{head}, interval"] = partial(_cell, head, _interval)
        if any(row.published is not None for row in found) or len(heads) == 1:
            figures[f"{head}, paper"] = partial(_cell, head, _paper)
    cells: dict[str, Callable[[list[StudyRow]], Cell]] = {
        "Row": lambda line: text(line[0].label, UNTRAINED if any(row.untrained for row in line) else ""),
        "Detail": lambda line: text(line[0].detail),
        **figures,
        "Seeds": lambda line: count(line[0].seeds),
        "Ours is": lambda line: text(" ".join(word for word in (line[0].entry_kind, line[0].entry) if word)),
        "Remark": lambda line: text("; ".join(dict.fromkeys(row.remark for row in line if row.remark))),
    }
    left_out = {"Detail"} if words or not any(row.detail for row in rows) else set()
    left_out |= {"Seeds"} if words else set()
    return table(
        # Roles are words, which belong to no protocol.
        f"{rows[0].title}, suite {rows[0].suite}" + (f", protocol {rows[0].protocol}" if rows[0].protocol else ""),
        grouped(rows, lambda row: row.row).values(),
        {title: cell for title, cell in cells.items() if title not in left_out},
        protocol=rows[0].protocol or None,
        note=f"Data: studies/{rows[0].study}/, as CSV and LaTeX.",
    )


def _head(row: StudyRow) -> str:
    """The column of a figure; the columns of words are called after what they are about."""
    return _TITLES[row.metric] if row.metric != "text" else row.detail.capitalize() or "Text"


def _cell(head: str, shown: Callable[[StudyRow], Cell], line: Sequence[StudyRow]) -> Cell:
    """A figure in a line of the table; a dash where the line does not have it."""
    return next((shown(row) for row in line if _head(row) == head), UNKNOWN)


def _form(row: StudyRow) -> str:
    return "+.4f" if row.metric == "change" else ".4f"


def _ours(row: StudyRow) -> Cell:
    return text(str(row.value or "")) if row.metric == "text" else spread(row.number, row.sd, _form(row), UNKNOWN)


def _interval(row: StudyRow) -> Cell:
    return interval(row, _form(row), UNKNOWN)


def _paper(row: StudyRow) -> Cell:
    if row.metric == "text":
        return text(str(row.published or ""))
    return number(row.published_number, _form(row), missing=UNKNOWN)


def _drawn(rows: Sequence[StudyRow], drawing: Path) -> list[Chart]:
    """The figure that the study drew (the paper's Figures 3a and 3b); nothing where none of its values is known."""
    changes = [row for row in rows if row.metric == "change"]
    shown = {"leave_one_branch_out": changes, "heat_map": rows}.get(rows[0].kind, ())
    if all(row.number is None for row in shown):
        return []
    untrained = " (untrained)" if any(row.untrained for row in shown) else ""
    first = next(row for row in shown if row.number is not None)
    protocol = one_protocol(row.protocol for row in shown)
    entry = f"{first.entry_kind} {first.entry}{untrained}"
    title = f"{first.title}: {entry}, suite {first.suite}, protocol {protocol}"
    if rows[0].kind == "heat_map":
        caption = f"{title}. Teal is better than guessing (0.5), orange worse."
        description = f"Heat map of {title}. The numbers are in the table above."
    else:
        caption = (
            f"{title}. Bars: ours, with the interval where there is one; hollow diamonds: the paper. "
            "Left of 0, the system is worse without the branch."
        )
        bars = "; ".join(f"{row.label} {'unknown' if row.number is None else f'{row.number:+.4f}'}" for row in changes)
        description = f"Bar chart: {title}: {bars}."
    name = f"study-{first.suite}-{first.study}-{protocol}"
    return [Chart(name, title, caption, description, drawing, protocol)]
