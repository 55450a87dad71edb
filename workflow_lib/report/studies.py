"""The part of the page about studies: the paper's tables and figures, its published values beside ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.errors import UserError
from workflow_lib.report.cells import any_text, column, filled, known, one_of, whole
from workflow_lib.report.content import (
    DASH,
    UNTRAINED,
    Block,
    Cell,
    Column,
    Figure,
    Prose,
    Section,
    Table,
    number,
    text,
)
from workflow_lib.report.figures import Change, change_marks, changes, heat_map
from workflow_lib.report.glossary import METRICS
from workflow_lib.report.suite_tables import read_rows
from workflow_lib.report.title import headed
from workflow_lib.scoring.result import one_protocol

_TITLES = {"omega": "Ω", **METRICS, "change": "Change of Ω"}
_MEASURED = ("omega", "source_auc", "target_auc", "pauc", "change")
_READING = (
    "Tables and figures of the paper, made again by this run, with the value that the paper publishes beside ours. "
    "The paper's values were measured on its development set with trained models; where ours come from another suite "
    "or from untrained models, the row says so, and the two are then not to be compared."
)


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One line of a study's table: one shown figure, or text, of ours and of the paper; `row` counts from 1."""

    study: str = column(filled)
    kind: str = column(one_of("roles", "comparison", "scopes", "heat_map", "leave_one_branch_out"))
    title: str = column(filled)
    row: int = column(whole)
    label: str = column(filled)
    detail: str = column(any_text)
    metric: str = column(one_of(*_MEASURED, "text"))
    suite: str = column(filled)
    protocol: str = column(any_text)
    entry_kind: str = column(any_text)
    entry: str = column(any_text)
    seeds: str = column(any_text)
    value: str = column(any_text)
    sd: float | None = column(known)
    low: float | None = column(known)
    high: float | None = column(known)
    published: str = column(any_text)
    untrained: str = column(one_of("yes", "no", ""))  # nothing is known of what this run does not have
    remark: str = column(any_text)


def studies_section(folders: Iterable[Path]) -> list[Section]:
    """One section with all studies, nothing where there is none; each folder has a table of its own name."""
    parts = [_study(Path(folder)) for folder in folders]
    return [Section("studies", "Studies: the paper beside this run", (Prose(_READING), *parts))] if parts else []


def _study(folder: Path) -> Section:
    remake = f"remove {folder} and make it again"
    path = next(iter(sorted(folder.glob(f"{folder.name}*.csv"))), folder / f"{folder.name}.csv")
    rows = read_rows(path, StudyRow, remake)
    _check_numbers(path, rows, remake)
    if not rows:
        return Section(f"study-{folder.name}", folder.name, (Prose("The study has no rows."),))
    suite, first = rows[0].suite, rows[0]
    blocks = [block for scope in _scopes(rows).values() for block in _scope(scope)]
    return Section(f"study-{suite}-{first.study}", first.title, tuple(blocks), code=f"{first.study}, suite {suite}")


def _check_numbers(path: Path, rows: Sequence[StudyRow], remake: str) -> None:
    """Value and published are words in a row of text, and numbers or nothing in all others."""
    for line, row in enumerate(rows, 2):
        for name in ("value", "published") if row.metric != "text" else ():
            try:
                known(getattr(row, name))
            except ValueError as fault:
                raise UserError(f"{path}, line {line}: {name} {fault}; {remake}") from None


def _scopes(rows: Sequence[StudyRow]) -> dict[str, list[StudyRow]]:
    """Rows by protocol: those of two protocols never share a table."""
    found: dict[str, list[StudyRow]] = {}
    for row in rows:
        found.setdefault(row.protocol, []).append(row)
    return found


def _scope(rows: Sequence[StudyRow]) -> list[Block]:
    drawn = {"leave_one_branch_out": _change_chart, "heat_map": _heat_chart}.get(rows[0].kind)
    return [_table(rows), *(drawn(rows) if drawn else [])]


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
        self.published = any(row.published for row in found) or len({_head(row) for row in rows}) == 1
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
    tag = UNTRAINED if any(row.untrained == "yes" for row in rows) else ""
    remarks = dict.fromkeys(row.remark for row in rows if row.remark)
    return (
        text(first.label, tag),
        *([text(first.detail)] if detailed else []),
        *(cell for shown in columns for cell in shown.cells(rows)),
        *([] if first.metric == "text" else [Cell(first.seeds or DASH, first.seeds)]),
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
        return text(row.value), text(row.published)
    form = "+.4f" if row.metric == "change" else ".4f"
    ours = Cell(DASH)
    if (value := known(row.value)) is not None:
        ours = Cell(f"{value:{form}}" + ("" if row.sd is None else f" ± {row.sd:.4f}"), repr(value))
    paper = known(row.published)
    return ours, Cell(DASH) if paper is None else number(paper, form)


def _named(rows: Sequence[StudyRow]) -> str:
    untrained = " (untrained)" if any(row.untrained == "yes" for row in rows) else ""
    whose = next(row for row in rows if row.value)
    entry = f"{whose.entry_kind} {whose.entry}{untrained}"
    return f"{whose.title}: {entry}, suite {whose.suite}, protocol {one_protocol(row.protocol for row in rows)}"


def _change_chart(rows: Sequence[StudyRow]) -> list[Figure]:
    """What removing each branch does (the paper's Figure 3a); nothing where no change is known."""
    found = [row for row in rows if row.metric == "change"]
    bars = [_change(row) for row in found]
    if all(bar.value is None for bar in bars):
        return []
    told = "; ".join(f"{bar.label} {'unknown' if bar.value is None else f'{bar.value:+.4f}'}" for bar in bars)
    return [
        Figure(
            name=f"study-{rows[0].suite}-{rows[0].study}-{rows[0].protocol}",
            title=_named(found),
            caption=(
                f"{_named(found)}. Bars: ours, with the interval where there is one; hollow diamonds: the paper. "
                "Left of 0, the system is worse without the branch."
            ),
            description=f"Bar chart: {_named(found)}: {told}.",
            drawing=headed(changes(bars), _named(found), change_marks(bars)),
            protocol=found[0].protocol,
        )
    ]


def _change(row: StudyRow) -> Change:
    ends = (row.low, row.high) if row.low is not None and row.high is not None else None
    return Change(row.label, known(row.value), ends, known(row.published), row.untrained == "yes")


def _heat_chart(rows: Sequence[StudyRow]) -> list[Figure]:
    """Figures by machine (the paper's Figure 3b); nothing where none is known."""
    machines: dict[str, dict[str, float | None]] = {}
    notes: dict[str, dict[str, str]] = {}
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    for row in rows:
        machines.setdefault(row.label, dict.fromkeys(metrics))[row.metric] = known(row.value)
        paper = known(row.published)
        notes.setdefault(row.label, {})[row.metric] = "" if paper is None else f"paper {paper:.3f}"
    if not any(value is not None for figures in machines.values() for value in figures.values()):
        return []
    below = list(notes.values())
    cells = heat_map(list(machines), list(machines.values()), metrics, notes=below, missing="none here")
    return [
        Figure(
            name=f"study-{rows[0].suite}-{rows[0].study}-{rows[0].protocol}",
            title=_named(rows),
            caption=f"{_named(rows)}. Teal is better than guessing (0.5), orange worse.",
            description=f"Heat map of {_named(rows)}. The numbers are in the table above.",
            drawing=headed(cells, _named(rows)),
            protocol=rows[0].protocol,
        )
    ]
