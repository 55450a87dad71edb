"""Adapted models with their training: what training.csv, validation.csv and models.csv hold of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import TrainingRow, ValidationRow
from workflow_lib.plan.model_name import ModelName
from workflow_lib.report.page.glossary import UNTRAINED_BASE
from workflow_lib.report.suite_tables import SuiteTables


@dataclass(frozen=True)
class Run:
    """One adapted model: its steps, and a row for each epoch that was tried on withheld clips."""

    model: str
    family: str  # the model of the configuration that it is an instance of
    seed: str
    held_out: tuple[str, ...] | None  # () saw all machines; None: its name does not tell
    untrained: bool  # on top of random weights
    steps: tuple[TrainingRow, ...]
    validation: tuple[ValidationRow, ...]

    @property
    def scope(self) -> str:
        """What sets the model apart from others with its seed: `full`, `without fan`."""
        if self.held_out is None:
            return self.model
        return f"without {'+'.join(self.held_out)}" if self.held_out else "full"

    @property
    def group(self) -> str:
        """'dualmic, seed 13711': the models that are compared with each other."""
        return f"{self.family}, seed {self.seed}" if self.seed else self.family

    @property
    def first_loss(self) -> float:
        """Mean loss of the first tenth of the steps."""
        return fmean(row.loss for row in self.steps[: self._tenth])

    @property
    def last_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        return fmean(row.loss for row in self.steps[-self._tenth :])

    @property
    def _tenth(self) -> int:
        return max(1, len(self.steps) // 10)


def runs_of(suite: SuiteTables) -> tuple[Run, ...]:
    """All adapted models of a suite that left a training log, in the order of the table."""
    validation = grouped(suite.validation, lambda row: row.model)
    states = {row.model: row.trained for row in suite.models}
    runs = []
    for model, steps in grouped(suite.training, lambda row: row.model).items():
        name, tried = ModelName.parse(model), sorted(validation.get(model, []), key=lambda row: row.epoch)
        held_out = name.held_out if name.seed else None
        in_order, untrained = sorted(steps, key=lambda row: row.step), _on_random_weights(model, states)
        runs.append(Run(model, name.model, name.seed, held_out, untrained, tuple(in_order), tuple(tried)))
    return tuple(runs)


def _on_random_weights(model: str, states: Mapping[str, str]) -> bool:
    """As models.csv says; a model that scored nothing is not in it, but shares its base with those of its family."""
    if model in states:
        return states[model] == "no"
    family = ModelName.parse(model).model
    return any(state == "no" for other, state in states.items() if ModelName.parse(other).model == family)


def caveat(runs: Sequence[Run]) -> str:
    """Which of the runs started from random weights, in brackets; nothing where none did."""
    if not any(run.untrained for run in runs):
        return ""
    return f" ({UNTRAINED_BASE})" if all(run.untrained for run in runs) else f" (some: {UNTRAINED_BASE})"
