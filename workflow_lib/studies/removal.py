"""Leave one branch out: what removing each branch of a system changes (Figure 3a)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workflow_lib.fusion import cross_fit
from workflow_lib.studies.comparison import filled
from workflow_lib.studies.rows import StudyRow, first_row
from workflow_lib.studies.tables import Figure, SuiteTables, spread
from workflow_lib.tables import read_scores

Changes = Mapping[str, list[tuple[float, float]]]  # branch -> (Ω without it, change of Ω), one for each seed


def removal_rows(settings: Mapping[str, Any], tables: SuiteTables) -> list[StudyRow]:
    """Ω of the whole system, then for each branch Ω without it and the change; mean and deviation over seeds."""
    (whole,), removal = settings["rows"], settings["removal"]
    rows = [first_row(settings, 1, whole)]
    changes: Changes = {}
    if not whole["absent"]:
        figure = tables.omega(whole["protocol"], whole["kind"], whole["entry"], "", settings["seeds"])
        rows, changes = [filled(rows[0], figure)], _changes(removal)
    for number, branch in enumerate(removal["branches"], 2):
        rows += _branch_rows(settings, number, {**whole, **branch}, changes.get(branch["branch"]), rows[0])
    return rows


def _branch_rows(
    settings: Mapping[str, Any],
    number: int,
    branch: Mapping[str, Any],
    changes: list[tuple[float, float]] | None,
    whole: StudyRow,
) -> list[StudyRow]:
    first = first_row(settings, number, {**branch, "detail": f"without {branch['branch']}"}, metric="change")
    if changes is None:
        reason = "" if branch["absent"] else f"not part of this run: {whole.entry} has no branch {branch['branch']}"
        return [first.with_remark(reason)]
    without, change = (Figure(*spread(values), seeds=len(values)) for values in zip(*changes, strict=True))
    rows = replace(first, metric="omega", published=""), first
    filled_rows = (filled(row, figure) for row, figure in zip(rows, (without, change), strict=True))
    return [replace(row, untrained=whole.untrained) for row in filled_rows]


def _changes(removal: Mapping[str, Any]) -> Changes:
    found: dict[str, list[tuple[float, float]]] = {}
    for machines in removal["tables"].values():
        tables = {m: {b: read_scores(path) for b, path in paths.items()} for m, paths in machines.items()}
        system = removal["system"]
        options = {"step": system.get("step", 0.1), "search": system.get("search", "grid")}
        whole = cross_fit(tables, system["branches"], **options).score
        for branch in system["branches"]:
            rest = [other for other in system["branches"] if other != branch]
            without = cross_fit(tables, rest, **options).score
            found.setdefault(branch, []).append((without, without - whole))
    return found
