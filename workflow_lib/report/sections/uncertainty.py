"""Bootstrap intervals, differences between systems of one protocol, and the spread over seeds."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import fmean, stdev

from workflow_lib.config.twins import system_label, twin_of
from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import DifferenceRow, Entry, MachineRow, SeedsRow, UncertaintyRow
from workflow_lib.report.page.cells import (
    UNDEFINED,
    UNTRAINED,
    Cell,
    count,
    entry_label,
    entry_title,
    interval,
    measured,
    number,
    spread,
    text,
)
from workflow_lib.report.page.content import Block, Details, Table, protocol_table, table
from workflow_lib.report.page.glossary import METRICS
from workflow_lib.report.suite_tables import SuiteTables

_SPREAD = "mean ± sample standard deviation"


def intervals_of(suite: SuiteTables, protocol: str) -> dict[Entry, UncertaintyRow]:
    """The bootstrap interval of every entry of a protocol that has one."""
    return {row.entry: row for row in suite.uncertainty if row.protocol == protocol}


def interval_head(rows: Iterable[UncertaintyRow | DifferenceRow]) -> str:
    """'95 % interval', with the level that the table says."""
    levels = sorted({row.level for row in rows})
    return f"{' or '.join(f'{100 * level:g}' for level in levels)} % interval" if levels else "Interval"


def interval_note(rows: Iterable[UncertaintyRow | DifferenceRow]) -> str:
    """How the intervals were made."""
    drawn = sorted({(row.replicates, row.bootstrap_seed) for row in rows})
    draws = " or ".join(f"{replicates} replicates from seed {seed}" for replicates, seed in drawn)
    return f"Intervals: bootstrap over test clips within machine, domain and label, {draws}." if drawn else ""


def difference_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Table of the differences between systems of one protocol, nothing where there is none to compare.

    Those between branches, and of a twin with other systems than its own, are in differences.csv and in the studies
    that ask for them: here they would bury the rest.
    """
    rows = [row for row in suite.differences if row.protocol == protocol and _is_shown(row)]
    return [_difference_table(suite, sorted(rows, key=lambda row: row.untrained))] if rows else []


def _is_shown(row: DifferenceRow) -> bool:
    between_systems = row.b.kind == "system" and (twin_of(row.name_a) or twin_of(row.name_b))
    return row.a.kind == "system" and (not between_systems or twin_of(row.name_a) == row.name_b)


def _difference_table(suite: SuiteTables, rows: Sequence[DifferenceRow]) -> Table:
    cells: dict[str, Callable[[DifferenceRow], Cell]] = {
        "System": lambda row: text(entry_label(row.a), UNTRAINED if row.untrained else ""),
        "compared with": lambda row: text(entry_label(row.b) + (" (branch)" if row.b.kind == "branch" else "")),
        "Difference in Ω": lambda row: number(row.difference, "+.4f"),
        interval_head(rows): lambda row: interval(row, "+.4f"),
        "Same sign": _same_sign,
    }
    note = (
        "Both are scored on the same resampled clips. Above 0 the first one is ahead; an interval that holds 0 "
        "leaves open which one is. Same sign: share of the replicates whose difference has the sign shown. "
        f"{interval_note(rows)} Data: differences.csv"
    )
    return protocol_table("Differences between systems", suite.name, rows, cells, note=note)


def _same_sign(row: DifferenceRow) -> Cell:
    return UNDEFINED if row.same_sign is None else measured(f"{100 * row.same_sign:.1f} %", row.same_sign)


def seed_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Mean and spread over seeds of Ω and of the machines' figures, for entries that several seeds drew."""
    rows = [row for row in suite.seeds if row.protocol == protocol]
    several = sorted((row for row in rows if row.seeds > 1), key=lambda row: row.untrained)
    if not several:
        return []
    tables = [_seeds_table(suite, rows), *(_machine_seeds(suite, row) for row in several)]
    return [Details("Spread over seeds", tuple(tables))]


def _seeds_table(suite: SuiteTables, rows: Sequence[SeedsRow]) -> Table:
    best_first = sorted(
        rows, key=lambda row: (row.untrained, row.omega_mean is None, -(row.omega_mean or 0), row.kind, row.name)
    )
    cells: dict[str, Callable[[SeedsRow], Cell]] = {
        "System or branch": lambda row: text(system_label(row.name), UNTRAINED if row.untrained else ""),
        f"Ω: {_SPREAD}": lambda row: spread(row.omega_mean, row.omega_sd),
        "Seeds": lambda row: count(row.seeds),
        "Kind": lambda row: text(row.kind),
    }
    note = "An entry with one seed has no spread; one without an adapted model draws none. Data: seeds.csv"
    return protocol_table("Ω over seeds", suite.name, best_first, cells, note=note)


def _machine_seeds(suite: SuiteTables, seeds: SeedsRow) -> Table:
    """Figures of one entry by machine over its seeds."""
    who = (seeds.protocol, seeds.kind, seeds.name)
    rows = [row for row in suite.machines if (row.protocol, row.kind, row.name) == who]
    tag = UNTRAINED if seeds.untrained else ""
    figures: dict[str, Callable[[list[MachineRow]], Cell]] = {
        title: partial(_over_seeds, metric) for metric, title in METRICS.items()
    }
    return table(
        f"{entry_title(Entry(seeds.kind, seeds.name, ''))} by machine, {_SPREAD} over {seeds.seeds} seeds, "
        f"suite {suite.name}, protocol {seeds.protocol}",
        grouped(rows, lambda row: row.machine).values(),
        {"Machine": lambda rows: text(rows[0].machine, tag), **figures},
        protocol=seeds.protocol,
        note="Data: machines.csv",
    )


def _over_seeds(metric: str, rows: Sequence[MachineRow]) -> Cell:
    """A figure over rows that differ in their seed."""
    values = [getattr(row, metric) for row in rows]
    if None in values:
        return UNDEFINED
    return spread(fmean(values), stdev(values) if len(values) > 1 else None)
