"""Parts of the page about blending: the weights and the calibration of every fold of a system."""

from collections.abc import Mapping, Sequence

from workflow_lib.evaluation.evidence_rows import FIXED_WEIGHTS, ChoiceRow, Entry, WeightRow
from workflow_lib.report.charts import calibration_chart
from workflow_lib.report.content import DASH, Block, Cell, Column, Details, Table, entry_title, number, text
from workflow_lib.report.ranking import tag_of
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.scoring.result import one_protocol

_CHOSEN_NOTE = "“Ω where chosen” is the score on the machines that chose the weights, not on the one held out."
_FIXED_NOTE = (
    f"{FIXED_WEIGHTS.capitalize()}. “Ω where calibrated” is the score on the machines that gave the calibration, "
    "not on the one held out."
)


def weight_blocks(suite: SuiteTables, protocol: str, system: str, seed: str) -> list[Block]:
    """Weights and calibration of one system, a row for each fold."""
    rows = [row for row in suite.weights if (row.protocol, row.system, row.seed) == (protocol, system, seed)]
    if not rows:
        return []
    blocks = (*calibration_chart(suite, rows), _calibration_table(suite, rows))
    return [
        _weight_table(suite, rows),
        Details("Calibration of the branches", blocks, tag_of(suite, "system", system)),
    ]


def choice_blocks(suite: SuiteTables, protocol: str, entry: Entry) -> list[Block]:
    """Which candidate of each branch every nested fold chose, nothing where none was declared."""
    rows = [row for row in suite.choices if (row.protocol, row.entry) == (protocol, entry)]
    return [_choice_table(suite, rows)] if rows else []


def _choice_table(suite: SuiteTables, rows: Sequence[ChoiceRow]) -> Table:
    protocol = one_protocol(row.protocol for row in rows)
    folds: dict[tuple[str, str], list[ChoiceRow]] = {}
    for row in rows:
        folds.setdefault((row.held_out, row.branch), []).append(row)
    return Table(
        caption=f"{entry_title(rows[0].entry)}: chosen candidates, suite {suite.name}, protocol {protocol}",
        columns=(
            Column("Held out"),
            Column("Branch"),
            Column("Chosen"),
            Column("Ω where chosen", numeric=True),
            Column("Others"),
        ),
        rows=tuple(_choice_row(suite, found) for found in folds.values()),
        protocol=protocol,
        note=(
            "Each fold chooses among the candidates that the branch declares, by Ω on the machines that were not held "
            "out. Data: choices.csv"
        ),
    )


def _choice_row(suite: SuiteTables, rows: Sequence[ChoiceRow]) -> tuple[Cell, ...]:
    """One branch in one fold; `rows` are its candidates."""
    first, chosen = rows[0], [row for row in rows if row.chosen]
    omega = chosen[0].selection_omega if chosen else None
    others = ", ".join(f"{row.candidate} ({_told(row.selection_omega)})" for row in rows if not row.chosen)
    named = ", ".join(row.candidate for row in chosen)
    tag = tag_of(suite, first.kind, first.name)
    return (
        text(first.held_out or "none", tag),
        text(first.branch),
        text(named),
        Cell(DASH) if omega is None else number(omega),
        text(others),
    )


def _told(omega: float | None) -> str:
    return "undefined" if omega is None else f"{omega:.4f}"


def _folds(rows: Sequence[WeightRow]) -> dict[str, dict[str, WeightRow]]:
    """{held-out machine: {branch: row}} in the order of the table."""
    folds: dict[str, dict[str, WeightRow]] = {}
    for row in rows:
        folds.setdefault(row.held_out, {})[row.branch] = row
    return folds


def _weight_table(suite: SuiteTables, rows: Sequence[WeightRow]) -> Table:
    protocol = one_protocol(row.protocol for row in rows)
    branches = list(dict.fromkeys(row.branch for row in rows))
    title = entry_title(Entry("system", rows[0].system, rows[0].seed))
    fixed = rows[0].system in suite.fixed_weights
    heads = [*branches, "Ω where calibrated" if fixed else "Ω where chosen"]
    return Table(
        caption=f"{title}: fusion weights, suite {suite.name}, protocol {protocol}",
        columns=(Column("Held out"), *(Column(head, numeric=True) for head in heads)),
        rows=tuple(_weight_row(suite, held, fold, branches) for held, fold in _folds(rows).items()),
        protocol=protocol,
        note=f"{_FIXED_NOTE if fixed else _CHOSEN_NOTE} Data: weights.csv",
    )


def _weight_row(suite: SuiteTables, held: str, fold: Mapping[str, WeightRow], branches: list[str]) -> tuple[Cell, ...]:
    weights = [number(fold[name].weight, ".2f", tint=True) if name in fold else Cell(DASH) for name in branches]
    first = next(iter(fold.values()))
    omega = Cell(DASH) if first.selection_omega is None else number(first.selection_omega)
    return (text(held or "none", tag_of(suite, "system", first.system)), *weights, omega)


def _calibration_table(suite: SuiteTables, rows: Sequence[WeightRow]) -> Table:
    protocol = one_protocol(row.protocol for row in rows)
    title = entry_title(Entry("system", rows[0].system, rows[0].seed))
    return Table(
        caption=f"{title}: calibration, suite {suite.name}, protocol {protocol}",
        columns=(Column("Branch"), Column("Held out"), Column("Median", numeric=True), Column("IQR", numeric=True)),
        rows=tuple(_calibration_row(suite, row) for row in sorted(rows, key=lambda row: row.branch)),
        protocol=protocol,
        note="Both come from the scores of the machines that were not held out. Data: weights.csv",
    )


def _calibration_row(suite: SuiteTables, row: WeightRow) -> tuple[Cell, ...]:
    tag = tag_of(suite, "branch", row.branch)
    return (text(row.branch, tag), text(row.held_out or "none"), number(row.median, ".6g"), number(row.iqr, ".6g"))
