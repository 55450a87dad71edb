"""The recordings and models behind the figures, with the training of models and the notes on what was reduced."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import (
    ABOUT_SYSTEMS,
    ClipsRow,
    ModelRow,
    NoteRow,
)
from workflow_lib.report.charts.plots import short
from workflow_lib.report.page.cells import DASH, UNTRAINED, Cell, count, length, text
from workflow_lib.report.page.content import Block, Prose, Section, Table, table
from workflow_lib.report.sections.training import training_blocks
from workflow_lib.report.suite_tables import SuiteTables

_TRAINED = {"yes": "yes", "no": "no: random weights", "unknown": "unknown"}


def material_section(suite: SuiteTables, key: str, *, training: bool) -> Section:
    """The section with the clips, the models, their training unless it is shown elsewhere, and the notes of a suite."""
    blocks = (_clips_table(suite), _models_table(suite), *(training_blocks(suite) if training else ()), _notes(suite))
    return Section(f"{key}-material", "Recordings, models and notes", blocks)


def clips_of(suite: SuiteTables, split: str) -> int | None:
    """Number of clips of a split over all machines; None where only score tables are known, and none of that split."""
    rows = [row for row in suite.clips if row.split == split]
    recorded = any(row.channels is not None for row in suite.clips)
    return sum(row.clips for row in rows) if rows or recorded else None


def machines_of(suite: SuiteTables) -> list[str]:
    """All machines of a suite, sorted."""
    named = (suite.clips, suite.ranking, suite.machines)
    return sorted({row.machine for rows in named for row in rows})


def _sort_of(row: ClipsRow) -> str:
    return " ".join(word for word in (row.split, row.domain, row.label) if word)


def _clips_table(suite: SuiteTables) -> Table:
    machines = grouped(suite.clips, lambda row: row.machine)
    # Training first, then source before target before unknown, normal before anomaly.
    order = sorted(suite.clips, key=lambda r: (r.split != "train", r.domain == "", r.domain, r.label != "normal"))
    cells: dict[str, Callable[[list[ClipsRow]], Cell]] = {
        "Machine": lambda rows: text(rows[0].machine),
        **{sort: partial(_clips_of_sort, sort) for sort in map(_sort_of, order)},
        "Channels": lambda rows: text(_either(row.channels for row in rows)),
        "Rate": lambda rows: text(_either((row.sample_rate for row in rows), 1000, " kHz")),
        "Length": _length,
    }
    caption = f"Clips of {suite.name}, by machine"
    return table(caption, machines.values(), cells, note="Data: clips.csv")


def _clips_of_sort(sort: str, rows: Sequence[ClipsRow]) -> Cell:
    return count(sum(row.clips for row in rows if _sort_of(row) == sort))


def _either(values: Iterable[int | None], scale: int = 1, unit: str = "") -> str:
    """'16 kHz or 44.1 kHz'; nothing where none is known."""
    return " or ".join(f"{value / scale:g}{unit}" for value in sorted({value for value in values if value is not None}))


def _length(rows: Sequence[ClipsRow]) -> Cell:
    seconds = [end for row in rows for end in (row.seconds_min, row.seconds_max) if end is not None]
    return length(min(seconds), max(seconds)) if seconds else Cell(DASH)


def _models_table(suite: SuiteTables) -> Table:
    cells: dict[str, Callable[[ModelRow], Cell]] = {
        "Model": lambda row: text(row.model, UNTRAINED if row.trained == "no" else ""),
        "Kind": lambda row: text(row.kind),
        "Trained": lambda row: text(_TRAINED[row.trained]),
        "Licence of weights": lambda row: text(row.licence),
        "Description": lambda row: text(row.description),
        "Used by branches": lambda row: text(", ".join(row.branches)),
        # The first twelve characters tell weights apart; the cell's value has all of them.
        "Weights (SHA-256)": lambda row: Cell(short(row.weights_digest, 13) or DASH, row.weights_digest),
    }
    rows = sorted(suite.models, key=lambda row: row.trained == "no")
    return table(f"Models of {suite.name}", rows, cells, note="Data: models.csv")


def _notes(suite: SuiteTables) -> Block:
    if not suite.notes:
        return Prose("No notes: nothing was reduced, left out or fixed.")
    groups = grouped(suite.notes, lambda row: (row.note, row.branch, row.model))
    cells: dict[str, Callable[[list[NoteRow]], Cell]] = {
        "Note": lambda rows: text(rows[0].note, _note_tag(suite, rows[0])),
        "Branch or system": lambda rows: text(rows[0].branch),
        "Model": lambda rows: text(rows[0].model),
        "Machines": lambda rows: text(", ".join(row.machine for row in rows if row.machine)),
    }
    caption = f"Notes on {suite.name}: what was reduced, left out or fixed"
    return table(caption, groups.values(), cells, note="Data: notes.csv")


def _note_tag(suite: SuiteTables, row: NoteRow) -> str:
    if any(model.model == row.model and model.trained == "no" for model in suite.models):
        return UNTRAINED
    about_system = row.note in ABOUT_SYSTEMS
    return suite.tag("system" if about_system else "branch", row.branch)
