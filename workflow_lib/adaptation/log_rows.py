"""The rows of the logs of adapted models; a log itself has no columns `suite` and `model`: its path has both."""

from dataclasses import dataclass
from typing import Annotated

from workflow_lib.csv_rows import Filled, Share, Written, columns

Logged = Annotated[float, Written(".7g")]
LoggedShare = Annotated[Share, Written(".7g")]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """training.csv: an optimiser step of an adapted model; figures are means over the clips of the step."""

    suite: Filled
    model: Filled
    step: int
    epoch: int
    learning_rate: Logged
    loss: Logged
    loss_attribute: Logged
    loss_machine: Logged
    loss_domain: Logged
    loss_consistency: Logged
    # Not shares: summed up in single precision, a mean of ones may exceed 1 by a rounding error.
    accuracy_attribute: Logged
    accuracy_machine: Logged
    accuracy_domain: Logged
    clips_per_s: Logged


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """validation.csv: an adapted model on withheld normal clips after one epoch."""

    suite: Filled
    model: Filled
    epoch: int
    clips: int
    chance: LoggedShare  # share of the commonest proxy, the accuracy of always naming that one
    loss: Logged
    accuracy_attribute: LoggedShare
    accuracy_machine: LoggedShare
    accuracy_domain: LoggedShare


LOG_HEADER, VALIDATION_HEADER = (columns(row_type)[2:] for row_type in (TrainingRow, ValidationRow))
STEP_COLUMNS = LOG_HEADER[3:-1]  # what a step measures; each a mean over its clips
