"""Parts of the page about labelled suites: the ranking by Ω, the figures by machine, weights and calibration."""

from collections.abc import Sequence

from workflow_lib.evaluation.evidence_rows import Entry, MachineRow, OfficialRow, UncertaintyRow
from workflow_lib.report.charts import comparison_chart, heat_map_chart
from workflow_lib.report.content import (
    UNTRAINED,
    Block,
    Cell,
    Column,
    Notice,
    Table,
    count,
    entry_label,
    entry_title,
    number,
    text,
)
from workflow_lib.report.entry_order import by_omega
from workflow_lib.report.glossary import METRICS
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.report.uncertainty import (
    difference_blocks,
    interval_cell,
    interval_head,
    interval_note,
    intervals_of,
    seed_blocks,
)
from workflow_lib.scoring.result import one_protocol


def tag_of(suite: SuiteTables, kind: str, name: str) -> str:
    """'untrained' where a model with random weights stands behind the name, else nothing."""
    return UNTRAINED if (kind, name) in suite.untrained else ""


def ranking_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Table and chart of Ω for one protocol, with a warning for every undefined figure."""
    rows = by_omega(row for row in suite.official if row.protocol == protocol)
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
    """Systems and branches of one protocol in the given order."""
    protocol = one_protocol(row.protocol for row in rows)
    intervals = intervals_of(suite, protocol)
    interval = interval_head(intervals.values())
    columns = ("Place", "System or branch", "Ω", interval, "Kind", "Seed", "Machines")
    return Table(
        caption=f"Ranking by Ω, suite {suite.name}, protocol {protocol}",
        columns=tuple(Column(title, title in ("Place", "Machines", "Ω", interval)) for title in columns),
        rows=tuple(
            _omega_row(suite, place, row, intervals.get(row.entry))
            for place, row in zip(_places(rows), rows, strict=True)
        ),
        protocol=protocol,
        head=1,
        ordered_by=columns.index("Ω"),
        note=(
            f"The place is by Ω within this table only. {interval_note(intervals.values())} "
            "Data: official.csv, uncertainty.csv"
        ),
    )


def _places(rows: Sequence[OfficialRow]) -> list[int | None]:
    """The place of each row, the same for equal Ω; None for an undefined one."""
    known = [row.omega for row in rows if row.omega is not None]
    return [None if row.omega is None else 1 + sum(omega > row.omega for omega in known) for row in rows]


def _omega_row(
    suite: SuiteTables, place: int | None, row: OfficialRow, interval: UncertaintyRow | None
) -> tuple[Cell, ...]:
    return (
        count(place),
        text(row.name, tag_of(suite, row.kind, row.name)),
        number(row.omega),
        interval_cell(interval),
        text(row.kind),
        text(row.seed),
        count(row.machines),
    )


def _best_branch_remark(rows: Sequence[OfficialRow]) -> list[Block]:
    """Says so when blending did not pay: the paper's lesson is that it often does not."""
    best = rows[0]
    systems = [row for row in rows if row.kind == "system" and row.omega is not None]
    if best.omega is None or best.kind == "system" or not systems or systems[0].omega == best.omega:
        return []
    told = f"The branch {entry_label(best.entry)} ({best.omega:.4f}) stands above the best system, "
    told += f"{entry_label(systems[0].entry)} ({systems[0].omega:.4f})."
    return [Notice("note", "A single branch is ahead of every system", (told,))]


def _undefined_notice(suite: SuiteTables, protocol: str) -> list[Block]:
    lines = [
        f"{METRICS[metric]} of {machine}: {_told(names)}"
        for metric in METRICS
        for machine, names in _undefined(suite, protocol, metric).items()
    ]
    names = [entry_label(row.entry) for row in suite.official if row.protocol == protocol and row.omega is None]
    lines += [f"Ω: {_told(names)}"] if names else []
    why = "A figure needs labels and normal and anomalous test clips, the AUCs normal ones of their domain; "
    why += "here they are missing."
    return [Notice("undefined", f"Undefined under protocol {protocol}", (*lines, why))] if lines else []


def _undefined(suite: SuiteTables, protocol: str, metric: str) -> dict[str, list[str]]:
    """{machine: the entries whose figure is undefined}."""
    found: dict[str, list[str]] = {}
    for row in suite.machines:
        if row.protocol == protocol and getattr(row, metric) is None:
            found.setdefault(row.machine, []).append(entry_label(row.entry))
    return found


def _told(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def machine_blocks(suite: SuiteTables, protocol: str, entry: Entry, *, drawn: bool) -> list[Block]:
    """Table of one entry by machine and, where asked for, the same as a heat map."""
    rows = [row for row in suite.machines if row.protocol == protocol and row.entry == entry]
    if not rows:
        return []
    table = machine_table(suite, rows)
    return [table, heat_map_chart(suite, protocol, entry, rows)] if drawn else [table]


def machine_table(suite: SuiteTables, rows: Sequence[MachineRow]) -> Table:
    """Source AUC, target AUC, pAUC and harmonic mean of one entry, a row for each machine."""
    protocol = one_protocol(row.protocol for row in rows)
    tag = tag_of(suite, rows[0].kind, rows[0].name)
    return Table(
        caption=f"{entry_title(rows[0].entry)} by machine, suite {suite.name}, protocol {protocol}",
        columns=(Column("Machine"), *(Column(title, numeric=True) for title in METRICS.values())),
        rows=tuple((text(row.machine, tag), *(number(getattr(row, metric)) for metric in METRICS)) for row in rows),
        protocol=protocol,
        note="0.5 is guessing, 1 is perfect. Data: machines.csv",
    )
