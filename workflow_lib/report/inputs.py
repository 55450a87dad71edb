"""Parts of the page about what went in: clips, models with their training, and the notes taken on the way."""

from collections.abc import Sequence

from workflow_lib.evaluation.evidence_rows import FIXED_WEIGHTS, ClipsRow, NoteRow
from workflow_lib.report.content import DASH, UNTRAINED, Block, Cell, Column, Prose, Section, Table, count, text
from workflow_lib.report.suite_tables import SuiteTables
from workflow_lib.report.training import training_blocks

_TRAINED = {"yes": "yes", "no": "no: random weights", "unknown": "unknown"}


def material(suite: SuiteTables, key: str) -> Section:
    """The section with the clips, the models with their training, and the notes of a suite."""
    blocks = (_clips_table(suite), _models_table(suite), *training_blocks(suite), *_notes(suite))
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


def _sort_order(row: ClipsRow) -> tuple[bool, bool, str, bool]:
    """Training first, then source before target before unknown, normal before anomaly."""
    return (row.split != "train", row.domain == "", row.domain, row.label != "normal")


def _clips_table(suite: SuiteTables) -> Table:
    machines: dict[str, list[ClipsRow]] = {}
    for row in suite.clips:
        machines.setdefault(row.machine, []).append(row)
    heads = list(dict.fromkeys(_sort_of(row) for row in sorted(suite.clips, key=_sort_order)))
    numeric = (*(Column(head, numeric=True) for head in heads), Column("Channels"), Column("Rate"), Column("Length"))
    return Table(
        caption=f"Clips of {suite.name}, by machine",
        columns=(Column("Machine"), *numeric),
        rows=tuple(_clips_row(machine, rows, heads) for machine, rows in machines.items()),
        note="Data: clips.csv",
    )


def _clips_row(machine: str, rows: Sequence[ClipsRow], heads: Sequence[str]) -> tuple[Cell, ...]:
    counts = [sum(row.clips for row in rows if _sort_of(row) == head) for head in heads]
    channels = " or ".join(str(value) for value in sorted({row.channels for row in rows} - {None}))
    rate = " or ".join(f"{value / 1000:g} kHz" for value in sorted({row.sample_rate for row in rows} - {None}))
    return (text(machine), *map(count, counts), text(channels), text(rate), text(_length(rows)))


def _length(rows: Sequence[ClipsRow]) -> str:
    shortest = [row.seconds_min for row in rows if row.seconds_min is not None]
    longest = [row.seconds_max for row in rows if row.seconds_max is not None]
    if not shortest or not longest:
        return DASH
    low, high = f"{min(shortest):g}", f"{max(longest):g}"
    return f"{low} s" if low == high else f"{low} {DASH} {high} s"


def _models_table(suite: SuiteTables) -> Table:
    columns = ("Model", "Kind", "Trained", "Licence of weights", "Description", "Used by branches", "Weights (SHA-256)")
    return Table(
        caption=f"Models of {suite.name}",
        columns=tuple(Column(title) for title in columns),
        rows=tuple(
            (
                text(row.model, UNTRAINED if row.trained == "no" else ""),
                text(row.kind),
                text(_TRAINED[row.trained]),
                text(row.licence),
                text(row.description),
                text(", ".join(row.branches)),
                _digest(row.weights_digest),
            )
            for row in suite.models
        ),
        note="Data: models.csv",
    )


def _digest(digest: str) -> Cell:
    """The first twelve characters tell weights apart; the whole stays beside them."""
    return Cell(digest if len(digest) <= 12 else f"{digest[:12]}…", digest) if digest else Cell(DASH)


def _notes(suite: SuiteTables) -> list[Block]:
    if not suite.notes:
        return [Prose("No notes: nothing was reduced, left out or fixed.")]
    groups: dict[tuple[str, str, str], list[NoteRow]] = {}
    for row in suite.notes:
        groups.setdefault((row.note, row.branch, row.model), []).append(row)
    return [
        Table(
            caption=f"Notes on {suite.name}: what was reduced, left out or fixed",
            columns=tuple(Column(title) for title in ("Note", "Branch or system", "Model", "Machines")),
            rows=tuple(_note_row(suite, rows) for rows in groups.values()),
            note="Data: notes.csv",
        )
    ]


def _note_row(suite: SuiteTables, rows: Sequence[NoteRow]) -> tuple[Cell, ...]:
    first = rows[0]
    random = {model.model for model in suite.models if model.trained == "no"}
    kind = "system" if first.note == FIXED_WEIGHTS else "branch"
    tag = UNTRAINED if (kind, first.branch) in suite.untrained or first.model in random else ""
    machines = ", ".join(row.machine for row in rows if row.machine)
    return (text(first.note, tag), text(first.branch), text(first.model), text(machines))
