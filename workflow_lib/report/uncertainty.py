"""How sure a figure is: bootstrap intervals, differences between systems of one protocol, and spread over seeds."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev

from workflow_lib.evaluation.evidence_rows import DifferenceRow, Entry, MachineRow, SeedsRow, UncertaintyRow
from workflow_lib.report.content import UNTRAINED, Block, Cell, Column, Details, Table, count, entry_label, number, text
from workflow_lib.report.glossary import METRICS
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol

_SEEDS_HEAD = "Mean ± sample standard deviation"


def intervals_of(suite: SuiteTables, protocol: str) -> dict[Entry, UncertaintyRow]:
    """The bootstrap interval of every entry of a protocol that has one."""
    return {row.entry: row for row in suite.uncertainty if row.protocol == protocol}


def interval_head(rows: Iterable[UncertaintyRow | DifferenceRow]) -> str:
    """'95 % interval', with the level that the table says."""
    levels = sorted({row.level for row in rows})
    return f"{' or '.join(f'{100 * level:g}' for level in levels)} % interval" if levels else "Interval"


def interval_cell(row: UncertaintyRow | DifferenceRow | None, form: str = ".4f") -> Cell:
    """Both ends; sorts by the lower one."""
    if row is None or row.low is None or row.high is None:
        return Cell("undefined", undefined=True)
    return Cell(f"[{row.low:{form}}, {row.high:{form}}]", repr(row.low))


def interval_note(rows: Iterable[UncertaintyRow | DifferenceRow]) -> str:
    """How the intervals were made."""
    drawn = sorted({(row.replicates, row.bootstrap_seed) for row in rows})
    told = " or ".join(f"{replicates} replicates from seed {seed}" for replicates, seed in drawn)
    return f"Intervals: bootstrap over test clips within machine, domain and label, {told}." if drawn else ""


def difference_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Table of the differences between systems of one protocol, nothing where there is none to compare.

    Those between branches are in differences.csv and in the studies that ask for them: here they would bury the rest.
    """
    rows = [row for row in suite.differences if row.protocol == protocol and row.a.kind == "system"]
    return [_difference_table(suite, rows)] if rows else []


def _difference_table(suite: SuiteTables, rows: Sequence[DifferenceRow]) -> Table:
    protocol = one_protocol(row.protocol for row in rows)
    columns = (Column("System"), Column("compared with"), Column("Difference in Ω", numeric=True))
    last = (Column(interval_head(rows), numeric=True), Column("Same sign", numeric=True))
    return Table(
        caption=f"Differences between systems, suite {suite.name}, protocol {protocol}",
        columns=(*columns, *last),
        rows=tuple(_difference_row(row) for row in rows),
        protocol=protocol,
        note=(
            "Both are scored on the same resampled clips. Above 0 the first one is ahead; an interval that holds 0 "
            "leaves open which one is. Same sign: share of the replicates whose difference has the sign shown. "
            f"{interval_note(rows)} Data: differences.csv"
        ),
    )


def _difference_row(row: DifferenceRow) -> tuple[Cell, ...]:
    sign = Cell("undefined", undefined=True)
    if row.same_sign is not None:
        sign = Cell(f"{100 * row.same_sign:.1f} %", repr(row.same_sign))
    other = f"{entry_label(row.b)} (branch)" if row.b.kind == "branch" else entry_label(row.b)
    named = (text(entry_label(row.a), UNTRAINED if row.untrained else ""), text(other))
    return (*named, number(row.difference, "+.4f"), interval_cell(row, "+.4f"), sign)


def seed_blocks(suite: SuiteTables, protocol: str) -> list[Block]:
    """Mean and spread over seeds of Ω and of the machines' figures, for entries that several seeds drew."""
    rows = [row for row in suite.seeds if row.protocol == protocol]
    several = [row for row in rows if row.seeds > 1]
    if not several:
        return []
    tables = [_seeds_table(suite, rows), *(_machine_seeds(suite, row) for row in several)]
    return [Details("Spread over seeds", tuple(tables))]


def _seeds_table(suite: SuiteTables, rows: Sequence[SeedsRow]) -> Table:
    protocol = one_protocol(row.protocol for row in rows)
    best_first = sorted(rows, key=lambda row: (row.omega_mean is None, -(row.omega_mean or 0), row.kind, row.name))
    columns = (Column("System or branch"), Column(f"Ω: {_SEEDS_HEAD.lower()}", numeric=True))
    return Table(
        caption=f"Ω over seeds, suite {suite.name}, protocol {protocol}",
        columns=(*columns, Column("Seeds", numeric=True), Column("Kind")),
        rows=tuple(
            (
                text(row.name, UNTRAINED if row.untrained else ""),
                spread_cell(row.omega_mean, row.omega_sd),
                count(row.seeds),
                text(row.kind),
            )
            for row in best_first
        ),
        protocol=protocol,
        note="An entry with one seed has no spread; one without an adapted model draws none. Data: seeds.csv",
    )


def spread_cell(mean: float | None, deviation: float | None) -> Cell:
    """'0.6141 ± 0.0004'; a single seed has no deviation."""
    if mean is None:
        return Cell("undefined", undefined=True)
    return Cell(f"{mean:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}"), repr(mean))


def _machine_seeds(suite: SuiteTables, seeds: SeedsRow) -> Table:
    """Figures of one entry by machine over its seeds."""
    rows = [r for r in suite.machines if (r.protocol, r.kind, r.name) == (seeds.protocol, seeds.kind, seeds.name)]
    protocol = one_protocol(row.protocol for row in [*rows, seeds])
    machines: dict[str, list[MachineRow]] = {}
    for row in rows:
        machines.setdefault(row.machine, []).append(row)
    tag = UNTRAINED if seeds.untrained else ""
    return Table(
        caption=(
            f"{seeds.kind.capitalize()} {seeds.name} by machine, {_SEEDS_HEAD.lower()} over {seeds.seeds} seeds, "
            f"suite {suite.name}, protocol {protocol}"
        ),
        columns=(Column("Machine"), *(Column(title, numeric=True) for title in METRICS.values())),
        rows=tuple((text(machine, tag), *map(_over_seeds(found), METRICS)) for machine, found in machines.items()),
        protocol=protocol,
        note="Data: machines.csv",
    )


def _over_seeds(rows: Sequence[MachineRow]) -> Callable[[str], Cell]:
    """A function from a metric to its cell over the rows, one row for each seed."""

    def cell(metric: str) -> Cell:
        values = [getattr(row, metric) for row in rows]
        if any(value is None for value in values):
            return spread_cell(None, None)
        return spread_cell(fmean(values), stdev(values) if len(values) > 1 else None)

    return cell
