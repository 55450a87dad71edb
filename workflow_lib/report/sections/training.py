"""Part of the page about adapted models: how each of them learned."""

from collections.abc import Callable, Sequence

from workflow_lib.report.page.cells import UNKNOWN, Cell, count, number, text
from workflow_lib.report.page.content import Block, Details, Prose, Table, table
from workflow_lib.report.page.glossary import UNTRAINED_BASE
from workflow_lib.report.sections.adapted_models import Run, caveat, runs_of
from workflow_lib.report.sections.captions import training_chart
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


def untrained_training(suite: SuiteTables) -> bool:
    """Whether all adapted models that left a log started from random weights."""
    return all(run.untrained for run in runs_of(suite))


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
    cells: dict[str, Callable[[Run], Cell]] = {
        "Model": lambda run: text(run.model, UNTRAINED_BASE if run.untrained else ""),
        "Seed": lambda run: text(run.seed),
        "Held out": lambda run: text("" if run.held_out is None else ", ".join(run.held_out) or "none"),
        "Steps": lambda run: count(len(run.steps)),
        "Epochs": lambda run: count(run.steps[-1].epoch),
        "First loss": lambda run: number(run.first_loss),
        "Last loss": lambda run: number(run.last_loss),
        "Withheld clips": lambda run: count(run.validation[-1].clips if run.validation else None),
        "Attribute accuracy": lambda run: _withheld(run, "accuracy_attribute"),
        "Machine accuracy": lambda run: _withheld(run, "accuracy_machine"),
        "Domain accuracy": lambda run: _withheld(run, "accuracy_domain"),
        "Chance": lambda run: _withheld(run, "chance"),
        "Clips per second": lambda run: number(run.steps[-1].clips_per_s, ".1f"),
    }
    note = (
        "First and last loss: mean over the first and the last tenth of the steps. Accuracies: on the withheld "
        "clips after the last epoch; chance is that of the attribute head. Clips per second: in the last epoch. "
        "Data: training.csv, validation.csv"
    )
    caption = f"Training of adapted models, suite {suite.name}{caveat(runs)}"
    return table(caption, runs, cells, note=note)


def _withheld(run: Run, figure: str) -> Cell:
    """A figure on the withheld clips after the last epoch; a dash where nothing was withheld."""
    return number(getattr(run.validation[-1], figure), ".3f") if run.validation else UNKNOWN
