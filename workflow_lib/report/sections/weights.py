"""The fusion weights and the calibration of every fold of a system, and the candidates that nested folds chose."""

from collections.abc import Callable, Sequence
from functools import partial

from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import (
    EQUAL_WEIGHTS,
    FIXED_WEIGHTS,
    NORMAL_CALIBRATION,
    PSEUDO_WEIGHTS,
    ChoiceRow,
    Entry,
    WeightRow,
)
from workflow_lib.report.page.cells import UNKNOWN, Cell, entry_title, number, text
from workflow_lib.report.page.content import Block, Details, Table, protocol_table, table
from workflow_lib.report.sections.captions import calibration_chart
from workflow_lib.report.suite_tables import SuiteTables

_CHOSEN_NOTE = "“Ω where chosen” is the score on the machines that chose the weights, not on the one held out."
_CALIBRATED_NOTE = (
    "“Ω where calibrated” is the score on the machines that gave the calibration, not on the one held out."
)
_SHRINK_NOTE = "Shrink: share of equal weights in the weights shown, the rest is the grid's choice."


def weight_blocks(suite: SuiteTables, protocol: str, system: str, seed: str) -> list[Block]:
    """Weights and calibration of one system, a row for each fold."""
    rows = [row for row in suite.weights if (row.protocol, row.system, row.seed) == (protocol, system, seed)]
    if not rows:
        return []
    if system in suite.normal_calibration:
        return [_weight_table(suite, rows)]
    blocks: list[Block] = [*calibration_chart(suite, rows), _calibration_table(suite, rows)]
    return [
        _weight_table(suite, rows),
        Details("Calibration of the branches", tuple(blocks), suite.tag("system", system)),
    ]


def choice_blocks(suite: SuiteTables, protocol: str, entry: Entry) -> list[Block]:
    """Which candidate of each branch every nested fold chose, nothing where none was declared."""
    found = [row for row in suite.choices if (row.protocol, row.entry) == (protocol, entry)]
    if not found:
        return []
    cells: dict[str, Callable[[list[ChoiceRow]], Cell]] = {
        "Held out": lambda rows: text(rows[0].held_out or "none", suite.tag(entry.kind, entry.name)),
        "Branch": lambda rows: text(rows[0].branch),
        "Chosen": lambda rows: text(", ".join(row.candidate for row in rows if row.chosen)),
        "Ω where chosen": lambda rows: _omega(next((row for row in rows if row.chosen), None)),
        "Others": lambda rows: text(
            ", ".join(f"{row.candidate} ({number(row.selection_omega).text})" for row in rows if not row.chosen)
        ),
    }
    caption = f"{entry_title(entry)}: chosen candidates, suite {suite.name}, protocol {protocol}"
    note = (
        "Each fold chooses among the candidates that the branch declares, by Ω on the machines that were not held "
        "out. Data: choices.csv"
    )
    folds = grouped(found, lambda row: (row.held_out, row.branch)).values()
    return [table(caption, folds, cells, protocol=protocol, note=note)]


def _omega(row: WeightRow | ChoiceRow | None) -> Cell:
    return number(row.selection_omega if row else None, missing=UNKNOWN)


def _weight_table(suite: SuiteTables, rows: Sequence[WeightRow]) -> Table:
    first = rows[0]
    given, notes = _given(suite, first.system)
    omega = "Ω where calibrated" if given else "Ω where chosen"
    shown = any(row.selection_omega is not None for row in rows) or first.system not in suite.normal_calibration
    whose = "Machine" if first.system in suite.pseudo_weights else "Held out"
    shrink = any(row.shrink is not None for row in rows)
    cells: dict[str, Callable[[list[WeightRow]], Cell]] = {
        whose: lambda fold: text(fold[0].held_out or "none", suite.tag("system", first.system)),
        **{branch: partial(_weight, branch) for branch in dict.fromkeys(row.branch for row in rows)},
        **({"Shrink": lambda fold: number(fold[0].shrink, ".2f", missing=UNKNOWN)} if shrink else {}),
        **({omega: lambda fold: _omega(fold[0])} if shown else {}),
    }
    notes = [*notes, *([_SHRINK_NOTE] if shrink else [])]
    title = f"{entry_title(Entry('system', first.system, first.seed))}: fusion weights"
    return table(
        f"{title}, suite {suite.name}, protocol {first.protocol}",
        grouped(rows, lambda row: row.held_out).values(),
        cells,
        protocol=first.protocol,
        note=" ".join([*notes, "Data: weights.csv"]),
    )


def _given(suite: SuiteTables, system: str) -> tuple[bool, list[str]]:
    """Whether no machine chose the weights of a system, and what its table says of weights and calibration."""
    own = [f"{NORMAL_CALIBRATION.capitalize()}."] if system in suite.normal_calibration else []
    given = {FIXED_WEIGHTS: suite.fixed_weights, EQUAL_WEIGHTS: suite.equal_weights}
    for note, names in {**given, PSEUDO_WEIGHTS: suite.pseudo_weights}.items():
        if system in names:
            return True, [f"{note.capitalize()}.", *(own or [_CALIBRATED_NOTE])]
    return False, [_CHOSEN_NOTE, *own]


def _weight(branch: str, fold: Sequence[WeightRow]) -> Cell:
    return next((number(row.weight, ".2f", tint=True) for row in fold if row.branch == branch), UNKNOWN)


def _calibration_table(suite: SuiteTables, rows: Sequence[WeightRow]) -> Table:
    title = entry_title(Entry("system", rows[0].system, rows[0].seed))
    cells: dict[str, Callable[[WeightRow], Cell]] = {
        "Branch": lambda row: text(row.branch, suite.tag("branch", row.branch)),
        "Held out": lambda row: text(row.held_out or "none"),
        "Median": lambda row: number(row.median, ".6g"),
        "IQR": lambda row: number(row.iqr, ".6g"),
    }
    return protocol_table(
        *(f"{title}: calibration", suite.name, sorted(rows, key=lambda row: row.branch), cells),
        note="Both come from the scores of the machines that were not held out. Data: weights.csv",
    )
