"""One line of each table of a suite as a typed row; the parser of each cell stands beside its column."""

from dataclasses import dataclass
from typing import NamedTuple

from workflow_lib.report.cells import (
    any_text,
    column,
    filled,
    finite,
    flag,
    known,
    one_of,
    share,
    share_known,
    whole,
    whole_known,
    yes,
)


class Entry(NamedTuple):
    """What is ranked: one branch or system with one seed; an empty seed means that nothing in it was drawn."""

    kind: str
    name: str
    seed: str


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The columns that every number carries: whose it is and under which protocol."""

    suite: str = column(filled)
    protocol: str = column(filled)
    kind: str = column(one_of("branch", "system"))
    name: str = column(filled)
    seed: str = column(any_text)
    untrained: bool = column(yes)

    @property
    def entry(self) -> Entry:
        return Entry(self.kind, self.name, self.seed)


@dataclass(frozen=True, slots=True)
class MachineRow(ScoredRow):
    """One line of machines.csv; figures between 0 and 1, None when undefined."""

    machine: str = column(filled)
    source_auc: float | None = column(share_known)
    target_auc: float | None = column(share_known)
    pauc: float | None = column(share_known)
    harmonic_mean: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class OfficialRow(ScoredRow):
    """One line of official.csv: the official score over all machines."""

    machines: int = column(whole)
    omega: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class RankingRow(ScoredRow):
    """One line of ranking.csv: a test clip and its place, 1 being the most anomalous."""

    machine: str = column(filled)
    rank: int = column(whole)
    clip: str = column(filled)
    domain: str = column(any_text)
    anomaly: bool | None = column(flag)
    score: float = column(finite)


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One line of weights.csv: weight and calibration of a branch in one fold; held_out is empty without folds."""

    suite: str = column(filled)
    protocol: str = column(filled)
    system: str = column(filled)
    seed: str = column(any_text)
    held_out: str = column(any_text)
    branch: str = column(filled)
    weight: float | None = column(share_known)
    median: float | None = column(known)
    iqr: float | None = column(known)
    selection_omega: float | None = column(share_known)


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One line of choices.csv: a candidate of a branch in one nested fold, and whether it was chosen."""

    suite: str = column(filled)
    protocol: str = column(filled)
    kind: str = column(one_of("branch", "system"))
    name: str = column(filled)
    seed: str = column(any_text)
    held_out: str = column(any_text)
    branch: str = column(filled)
    candidate: str = column(filled)
    chosen: bool = column(yes)
    selection_omega: float | None = column(share_known)

    @property
    def entry(self) -> Entry:
        return Entry(self.kind, self.name, self.seed)


@dataclass(frozen=True, slots=True)
class ClipsRow:
    """One line of clips.csv: how many clips of one sort a machine has; their format, None without recordings."""

    suite: str = column(filled)
    machine: str = column(filled)
    split: str = column(one_of("train", "test"))
    domain: str = column(any_text)
    label: str = column(any_text)
    clips: int = column(whole)
    channels: int | None = column(whole_known)
    sample_rate: int | None = column(whole_known)
    seconds_min: float | None = column(known)
    seconds_max: float | None = column(known)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of models.csv; branches are the names of the branches that use the model."""

    suite: str = column(filled)
    model: str = column(filled)
    kind: str = column(any_text)
    trained: str = column(one_of("yes", "no", "unknown"))
    description: str = column(any_text)
    weights_digest: str = column(any_text)
    branches: tuple[str, ...] = column(lambda cell: tuple(cell.split()))
    licence: str = column(any_text)


@dataclass(frozen=True, slots=True)
class NoteRow:
    """One line of notes.csv: what the data or the configuration changed; `branch` may also be a system."""

    suite: str = column(filled)
    branch: str = column(any_text)
    model: str = column(any_text)
    machine: str = column(any_text)
    note: str = column(filled)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One line of training.csv: an optimiser step of an adapted model; figures are means over the clips of the step."""

    suite: str = column(filled)
    model: str = column(filled)
    step: int = column(whole)
    epoch: int = column(whole)
    learning_rate: float = column(finite)
    loss: float = column(finite)
    loss_attribute: float = column(finite)
    loss_machine: float = column(finite)
    loss_domain: float = column(finite)
    loss_consistency: float = column(finite)
    # No shares: summed up in single precision, a mean of ones may pass 1 by a hair.
    accuracy_attribute: float = column(finite)
    accuracy_machine: float = column(finite)
    accuracy_domain: float = column(finite)
    clips_per_s: float = column(finite)


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """One line of validation.csv: an adapted model on withheld normal clips after one epoch."""

    suite: str = column(filled)
    model: str = column(filled)
    epoch: int = column(whole)
    clips: int = column(whole)
    chance: float = column(share)
    loss: float = column(finite)
    accuracy_attribute: float = column(share)
    accuracy_machine: float = column(share)
    accuracy_domain: float = column(share)


@dataclass(frozen=True, slots=True)
class UncertaintyRow(ScoredRow):
    """One line of uncertainty.csv: the bootstrap interval of an official score."""

    omega: float | None = column(share_known)
    low: float | None = column(share_known)
    high: float | None = column(share_known)
    level: float = column(share)
    replicates: int = column(whole)
    bootstrap_seed: str = column(any_text)


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One line of differences.csv: official score of `a` minus that of `b`, both of one protocol, with its interval."""

    suite: str = column(filled)
    protocol: str = column(filled)
    kind_a: str = column(one_of("branch", "system"))
    name_a: str = column(filled)
    seed_a: str = column(any_text)
    kind_b: str = column(one_of("branch", "system"))
    name_b: str = column(filled)
    seed_b: str = column(any_text)
    untrained: bool = column(yes)
    difference: float | None = column(known)
    low: float | None = column(known)
    high: float | None = column(known)
    level: float = column(share)
    same_sign: float | None = column(share_known)
    replicates: int = column(whole)
    bootstrap_seed: str = column(any_text)

    @property
    def a(self) -> Entry:
        return Entry(self.kind_a, self.name_a, self.seed_a)

    @property
    def b(self) -> Entry:
        return Entry(self.kind_b, self.name_b, self.seed_b)


@dataclass(frozen=True, slots=True)
class SeedsRow:
    """One line of seeds.csv: mean and sample standard deviation over seeds; omega_sd is None for a single seed."""

    suite: str = column(filled)
    protocol: str = column(filled)
    kind: str = column(one_of("branch", "system"))
    name: str = column(filled)
    untrained: bool = column(yes)
    seeds: int = column(whole)
    omega_mean: float | None = column(share_known)
    omega_sd: float | None = column(known)


@dataclass(frozen=True, slots=True)
class ThresholdRow(ScoredRow):
    """One line of thresholds.csv: above which score a clip is called anomalous; None, with a note, where unknown."""

    machine: str = column(filled)
    method: str = column(any_text)
    quantile: float | None = column(known)
    threshold: float | None = column(known)
    normal_clips: int | None = column(whole_known)
    note: str = column(any_text)
