"""Figures of labelled suites: the ranking by Ω and the figures by machine."""

from collections.abc import Callable, Sequence
from functools import partial

from workflow_lib.config.twins import system_label
from workflow_lib.errors import and_more
from workflow_lib.evaluation.evidence_rows import Entry, MachineRow, OfficialRow
from workflow_lib.report.page.cells import Cell, count, entry_label, entry_title, interval, number, text
from workflow_lib.report.page.content import Block, Notice, Table, protocol_table
from workflow_lib.report.page.glossary import METRICS
from workflow_lib.report.sections.captions import comparison_chart, heat_map_chart
from workflow_lib.report.sections.entry_order import by_omega, official_of
from workflow_lib.report.sections.uncertainty import (
    difference_blocks,
    interval_head,
    interval_note,
    intervals_of,
    seed_blocks,
)
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol


def ranking_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Table and chart of Ω for one protocol, with a warning for every undefined figure."""
    rows = official_of(suite, protocol)
    if not rows:
        return []
    return [
        *_undefined_notice(suite, protocol),
        *_best_branch_remark(rows),
        omega_table(suite, rows),
        comparison_chart(suite, protocol, rows),
        *difference_blocks(suite, protocol),
        *seed_blocks(suite, protocol),
    ]


def omega_table(suite: SuiteTables, rows: Sequence[OfficialRow]) -> Table:
    """Systems and branches of one protocol in the given order; UserError for rows of two protocols."""
    intervals = intervals_of(suite, one_protocol(row.protocol for row in rows))
    known = [(suite.is_untrained(row), -row.omega) for row in rows if row.omega is not None]
    cells: dict[str, Callable[[OfficialRow], Cell]] = {
        "Place": lambda row: count(_place(suite, row, known)),
        "System or branch": lambda row: text(system_label(row.name), suite.tag(row.kind, row.name)),
        "Ω": lambda row: number(row.omega),
        interval_head(intervals.values()): lambda row: interval(intervals.get(row.entry), ".4f"),
        "Kind": lambda row: text(row.kind),
        "Seed": lambda row: text(row.seed),
        "Machines": lambda row: count(row.machines),
    }
    last = " Untrained ones come after all others." if len({suite.is_untrained(row) for row in rows}) == 2 else ""
    about = f"The place is by Ω within this table only.{last} {interval_note(intervals.values())} "
    return protocol_table(
        *("Ranking by Ω", suite.name, rows, cells),
        head=1,
        ordered_by="Place" if last else "Ω",
        note=f"{about}Data: official.csv, uncertainty.csv",
    )


def _place(suite: SuiteTables, row: OfficialRow, known: Sequence[tuple[bool, float]]) -> int | None:
    """1 and how many entries are better; `known` are (untrained, -Ω) of all that have an Ω."""
    return None if row.omega is None else 1 + sum(other < (suite.is_untrained(row), -row.omega) for other in known)


def _best_branch_remark(rows: Sequence[OfficialRow]) -> list[Block]:
    """Says so when blending did not pay: the paper's lesson is that it often does not."""
    best = rows[0]
    systems = by_omega(row for row in rows if row.kind == "system" and row.omega is not None)
    if best.omega is None or best.kind == "system" or not systems or (systems[0].omega or 0.0) >= best.omega:
        return []
    line = f"The branch {entry_label(best.entry)} ({best.omega:.4f}) stands above the best system, "
    line += f"{entry_label(systems[0].entry)} ({systems[0].omega:.4f})."
    return [Notice("note", "A single branch is ahead of every system", (line,))]


def _undefined_notice(suite: SuiteTables, protocol: str) -> list[Block]:
    found: dict[str, list[str]] = {}
    for metric in METRICS:
        for row in suite.machines:
            if row.protocol == protocol and getattr(row, metric) is None:
                found.setdefault(f"{METRICS[metric]} of {row.machine}", []).append(entry_label(row.entry))
    for total in suite.official:
        if total.protocol == protocol and total.omega is None:
            found.setdefault("Ω", []).append(entry_label(total.entry))
    # Three names, or two and how many more: a fourth would be replaced by words as long.
    lines = [f"{what}: {and_more(names, shown=3 if len(names) <= 3 else 2)}" for what, names in found.items()]
    why = "A figure needs labels and normal and anomalous test clips, the AUCs normal ones of their domain; "
    why += "here they are missing."
    return [Notice("undefined", f"Undefined under protocol {protocol}", (*lines, why))] if lines else []


def machine_blocks(suite: SuiteTables, protocol: str, entry: Entry, *, drawn: bool) -> list[Block]:
    """Table of one entry by machine and, where asked for, the same as a heat map."""
    rows = [row for row in suite.machines if row.protocol == protocol and row.entry == entry]
    if not rows:
        return []
    table = machine_table(suite, rows)
    return [table, heat_map_chart(suite, protocol, entry, rows)] if drawn else [table]


def machine_table(suite: SuiteTables, rows: Sequence[MachineRow]) -> Table:
    """Source AUC, target AUC, pAUC and harmonic mean of one entry, a row for each machine."""
    tag = suite.tag(rows[0].kind, rows[0].name)
    figures: dict[str, Callable[[MachineRow], Cell]] = {
        title: partial(_figure, metric) for metric, title in METRICS.items()
    }
    return protocol_table(
        *(f"{entry_title(rows[0].entry)} by machine", suite.name, rows),
        {"Machine": lambda row: text(row.machine, tag), **figures},
        note="0.5 is guessing, 1 is perfect. Data: machines.csv",
    )


def _figure(metric: str, row: MachineRow) -> Cell:
    return number(getattr(row, metric))
