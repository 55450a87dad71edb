"""A study as files: one CSV, one LaTeX table, and the figures of the kinds that have some. No torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workflow_lib.csv_rows import write_rows
from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.studies.comparison import comparison_rows, scope_rows
from workflow_lib.studies.figures import draw
from workflow_lib.studies.heat_map import heat_map_rows
from workflow_lib.studies.latex import latex_table
from workflow_lib.studies.lookup import EvidenceLookup
from workflow_lib.studies.pseudo_ranking import pseudo_rows
from workflow_lib.studies.removal import removal_rows
from workflow_lib.studies.roles import role_rows
from workflow_lib.studies.unmeasured_row import file_stem

BUILDERS: dict[str, Callable[[Mapping[str, Any], EvidenceLookup], list[StudyRow]]] = {
    "roles": role_rows,
    "comparison": comparison_rows,
    "scopes": scope_rows,
    "heat_map": heat_map_rows,
    "leave_one_branch_out": removal_rows,
    "pseudo": pseudo_rows,
}


def make_study(settings: Mapping[str, Any], tables: str | Path, folder: Path) -> None:
    """Write a study into a new folder; `settings` as `Studies.settings` gives them, `tables` those of its suite."""
    folder.mkdir(parents=True)
    rows = [_foreign(row, settings) for row in BUILDERS[settings["kind"]](settings, EvidenceLookup(Path(tables)))]
    name = file_stem(rows)
    write_rows(folder / f"{name}.csv", StudyRow, rows)
    (folder / f"{name}.tex").write_text(latex_table(rows), encoding="utf-8")
    for file_name, content in draw(rows).items():
        (folder / file_name).write_bytes(content)


def _foreign(row: StudyRow, settings: Mapping[str, Any]) -> StudyRow:
    """Says that a published number is of another suite than ours, or of more machines."""
    theirs = settings["published_suite"]
    if row.metric == "text" or row.value is None:
        return row
    other = row.published is not None and theirs != row.suite
    row = row.with_remark(f"published: suite {theirs}") if other else row
    return row.with_remark(settings["fewer_machines"]) if row.metric in ("omega", "change") else row
