"""Part of the page about adapted models: how each of them learned."""

from collections.abc import Sequence

from workflow_lib.report.charts import training_chart
from workflow_lib.report.content import DASH, Block, Cell, Column, Details, Prose, Table, count, number, text
from workflow_lib.report.glossary import UNTRAINED_BASE
from workflow_lib.report.runs import Run, caveat, runs_of
from workflow_lib.report.suite_tables import SuiteTables

_READING = (
    "Adapted models were trained further on normal clips. The loss is what every step brings down (equation 1 of the "
    "paper): how badly the model tells attribute classes (machine, domain and attributes together), machines and "
    "domains apart by their sound, and how far the near and the far microphone disagree. A falling loss shows that "
    "the model learned this task, not how well it finds anomalies."
)
_WITHHELD = (
    "Withheld clips are normal training clips that were kept out of training. A model that names their attribute "
    "class learned the sounds, not the clips by heart. Chance is what always naming the commonest class gets right."
)
_NOT_WITHHELD = "No clips were withheld, so it stays open whether a model learned the sounds or the clips by heart."
_HEADS = ("Attribute accuracy", "Machine accuracy", "Domain accuracy")


def training_blocks(suite: SuiteTables) -> list[Block]:
    """Curves and a table of all adapted models of a suite, nothing where none left a log."""
    runs = runs_of(suite)
    if not runs:
        return []
    prose = Prose(f"{_READING} {_WITHHELD if any(run.validation for run in runs) else _NOT_WITHHELD}")
    tag = UNTRAINED_BASE if all(run.untrained for run in runs) else ""
    blocks = (prose, training_chart(suite, runs), _training_table(suite, runs))
    return [Details("Training of adapted models", blocks, tag)]


def _training_table(suite: SuiteTables, runs: Sequence[Run]) -> Table:
    counted = ("Steps", "Epochs", "First loss", "Last loss", "Withheld clips", *_HEADS, "Chance", "Clips per second")
    columns = (Column("Model"), Column("Seed"), Column("Held out"), *(Column(title, numeric=True) for title in counted))
    return Table(
        caption=f"Training of adapted models, suite {suite.name}{caveat(runs)}",
        columns=columns,
        rows=tuple(_training_row(run) for run in runs),
        note=(
            "First and last loss: mean over the first and the last tenth of the steps. Accuracies: on the withheld "
            "clips after the last epoch; chance is that of the attribute head. Clips per second: in the last epoch. "
            "Data: training.csv, validation.csv"
        ),
    )


def _training_row(run: Run) -> tuple[Cell, ...]:
    last = run.steps[-1]
    held_out = DASH if run.held_out is None else ", ".join(run.held_out) or "none"
    return (
        text(run.model, UNTRAINED_BASE if run.untrained else ""),
        text(run.seed),
        text(held_out),
        count(len(run.steps)),
        count(last.epoch),
        number(run.first_loss),
        number(run.last_loss),
        *_validation_cells(run),
        number(last.clips_per_s, ".1f"),
    )


def _validation_cells(run: Run) -> tuple[Cell, ...]:
    """Clips, accuracies and chance after the last epoch; dashes where nothing was withheld."""
    if not run.validation:
        return (Cell(DASH),) * (len(_HEADS) + 2)
    row = run.validation[-1]
    figures = (row.accuracy_attribute, row.accuracy_machine, row.accuracy_domain, row.chance)
    return (count(row.clips), *(number(figure, ".3f") for figure in figures))
