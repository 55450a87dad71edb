"""The part of the page about studies: the paper's tables and figures, its published values beside ours."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from workflow_lib.csv_rows import read_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.report.page.content import (
    DASH,
    UNTRAINED,
    Cell,
    Chart,
    Column,
    Prose,
    Section,
    Table,
    count,
    number,
    text,
)
from workflow_lib.report.page.glossary import METRICS
from workflow_lib.scoring.result import one_protocol

_TITLES = {"omega": "Ω", **METRICS, "change": "Change of Ω"}
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
    protocols = dict.fromkeys(row.protocol for row in rows)  # rows of two protocols never share a table
    tables = [_table([row for row in rows if row.protocol == protocol]) for protocol in protocols]
    blocks = (*tables, *_drawn(rows, path.with_suffix(".svg")))
    return Section(f"study-{suite}-{first.study}", first.title, blocks, code=f"{first.study}, suite {suite}")


def _table(rows: Sequence[StudyRow]) -> Table:
    lines: dict[int, list[StudyRow]] = {}
    for row in rows:
        lines.setdefault(row.row, []).append(row)
    columns = [_Shown(head, rows) for head in dict.fromkeys(_head(row) for row in rows)]
    words = rows[0].metric == "text"
    detailed = any(row.detail for row in rows) and not words
    # Roles are words: those of a table of figures have a protocol.
    protocol = one_protocol(row.protocol for row in rows) if rows[0].protocol else None
    scope = f", protocol {protocol}" if protocol else ""
    return Table(
        caption=f"{rows[0].title}, suite {rows[0].suite}{scope}",
        columns=(
            Column("Row"),
            *([Column("Detail")] if detailed else []),
            *(Column(title, numeric=not words) for shown in columns for title in shown.titles),
            *([] if words else [Column("Seeds", numeric=True)]),
            Column("Ours is"),
            Column("Remark"),
        ),
        rows=tuple(_line(line, columns, detailed=detailed) for line in lines.values()),
        protocol=protocol,
        note=f"Data: studies/{rows[0].study}/, as CSV and LaTeX.",
    )


def _head(row: StudyRow) -> str:
    """The column of a figure; text stands under what it is about."""
    return _TITLES[row.metric] if row.metric != "text" else row.detail.capitalize() or "Text"


class _Shown:
    """The columns of one figure: ours, its interval where any row has one, and the paper's where it gives any."""

    def __init__(self, head: str, rows: Sequence[StudyRow]) -> None:
        found = [row for row in rows if _head(row) == head]
        self.head = head
        self.bounded = any(row.low is not None for row in found)
        self.published = any(row.published is not None for row in found) or len({_head(row) for row in rows}) == 1
        interval, paper = [f"{head}, interval"] * self.bounded, [f"{head}, paper"] * self.published
        self.titles = [head, *interval, *paper]

    def cells(self, rows: Sequence[StudyRow]) -> list[Cell]:
        """Of one line of the table, whose figures are `rows`."""
        row = next((row for row in rows if _head(row) == self.head), None)
        if row is None:
            return [Cell(DASH)] * len(self.titles)
        ours, paper = _pair(row)
        return [ours, *([_interval(row)] if self.bounded else []), *([paper] if self.published else [])]


def _line(rows: Sequence[StudyRow], columns: Sequence[_Shown], *, detailed: bool) -> tuple[Cell, ...]:
    first = rows[0]
    tag = UNTRAINED if any(row.untrained for row in rows) else ""
    remarks = dict.fromkeys(row.remark for row in rows if row.remark)
    return (
        text(first.label, tag),
        *([text(first.detail)] if detailed else []),
        *(cell for shown in columns for cell in shown.cells(rows)),
        *([] if first.metric == "text" else [count(first.seeds)]),
        text(" ".join(word for word in (first.entry_kind, first.entry) if word)),
        text("; ".join(remarks)),
    )


def _interval(row: StudyRow) -> Cell:
    if row.low is None or row.high is None:
        return Cell(DASH)
    form = "+.4f" if row.metric == "change" else ".4f"
    return Cell(f"[{row.low:{form}}, {row.high:{form}}]", repr(row.low))


def _pair(row: StudyRow) -> tuple[Cell, Cell]:
    """Ours and the paper's; a dash where there is none."""
    if row.metric == "text":
        return text(str(row.value or "")), text(str(row.published or ""))
    form = "+.4f" if row.metric == "change" else ".4f"
    ours = Cell(DASH)
    if (value := row.number) is not None:
        ours = Cell(f"{value:{form}}" + ("" if row.sd is None else f" ± {row.sd:.4f}"), repr(value))
    paper = row.published_number
    return ours, Cell(DASH) if paper is None else number(paper, form)


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
