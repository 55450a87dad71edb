"""One row of each table of evidence as a dataclass: its fields are the columns of the table, in order."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, NamedTuple, get_args

from workflow_lib.adaptation.log_rows import TrainingRow, ValidationRow
from workflow_lib.csv_rows import Filled, Share, Written, one_of

# The notes on systems of several branches that other machines choose less for.
FIXED_WEIGHTS = "weights fixed by the configuration, not chosen"
EQUAL_WEIGHTS = "equal weights, not chosen"
PSEUDO_WEIGHTS = "each machine's own pseudo-anomalies weight the branches: an indication, no real fault is in them"
NORMAL_CALIBRATION = "each machine is calibrated by its own normal training clips"
ABOUT_SYSTEMS = (FIXED_WEIGHTS, EQUAL_WEIGHTS, PSEUDO_WEIGHTS, NORMAL_CALIBRATION)  # nothing is reduced in them
EntryKind = Annotated[str, one_of("branch", "system")]
Seconds = Annotated[float, Written(".3f")]


class Entry(NamedTuple):
    """One branch or system with one seed; an empty seed means that nothing in it depends on a seed."""

    kind: str
    name: str
    seed: str


@dataclass(frozen=True, slots=True)
class NamedRow:
    """The columns of everything that is about a branch or system under one protocol."""

    suite: Filled
    protocol: Filled
    kind: EntryKind
    name: Filled
    seed: str

    @property
    def entry(self) -> Entry:
        """The branch or system with its seed."""
        return Entry(self.kind, self.name, self.seed)


@dataclass(frozen=True, slots=True)
class EntryRow(NamedRow):
    """The columns that identify every figure."""

    untrained: bool  # a model with random weights takes part


@dataclass(frozen=True, slots=True)
class MachineRow(EntryRow):
    """machines.csv: figures of one machine, between 0 and 1; None where undefined."""

    machine: Filled
    source_auc: Share | None
    target_auc: Share | None
    pauc: Share | None
    harmonic_mean: Share | None


@dataclass(frozen=True, slots=True)
class OfficialRow(EntryRow):
    """official.csv: the official score Omega over all machines; None where undefined."""

    machines: int
    omega: Share | None


@dataclass(frozen=True, slots=True)
class UncertaintyRow(EntryRow):
    """uncertainty.csv: Omega with its bootstrap interval."""

    omega: Share | None
    low: Share | None
    high: Share | None
    level: Share
    replicates: int
    bootstrap_seed: int


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """differences.csv: Omega of `a` minus that of `b` under one protocol, with its paired interval."""

    suite: Filled
    protocol: Filled
    kind_a: EntryKind
    name_a: Filled
    seed_a: str
    kind_b: EntryKind
    name_b: Filled
    seed_b: str
    untrained: bool  # either of them
    difference: float | None
    low: float | None
    high: float | None
    level: Share
    same_sign: Share | None  # of the replicates whose difference has the sign of the observed one
    replicates: int
    bootstrap_seed: int

    @property
    def a(self) -> Entry:
        """The first of the pair."""
        return Entry(self.kind_a, self.name_a, self.seed_a)

    @property
    def b(self) -> Entry:
        """The second of the pair."""
        return Entry(self.kind_b, self.name_b, self.seed_b)


@dataclass(frozen=True, slots=True)
class SeedsRow:
    """seeds.csv: Omega over the seeds of adapted models, as mean and sample standard deviation (None for one seed)."""

    suite: Filled
    protocol: Filled
    kind: EntryKind
    name: Filled
    untrained: bool
    seeds: int
    omega_mean: Share | None
    omega_sd: float | None


@dataclass(frozen=True, slots=True)
class RankingRow(EntryRow):
    """ranking.csv: a test clip and its place, 1 being the most anomalous."""

    machine: Filled
    rank: int
    clip: Filled
    domain: str
    anomaly: bool | None
    score: float


@dataclass(frozen=True, slots=True)
class ThresholdRow(EntryRow):
    """thresholds.csv: above which score a clip is called anomalous; None, with a note, where unknown."""

    machine: Filled
    method: str
    quantile: float | None
    threshold: float | None
    normal_clips: int | None
    note: str


@dataclass(frozen=True, slots=True)
class WeightRow:
    """weights.csv: weight and calibration of a branch in one fold of a system; held_out is empty without folds.

    Where each machine's pseudo-anomalies weight its branches, held_out is that machine. median and iqr are empty where
    each machine is calibrated by its own normal training clips.
    """

    suite: Filled
    protocol: Filled
    system: Filled
    seed: str
    held_out: str
    branch: Filled
    weight: Share | None
    median: float | None
    iqr: float | None
    selection_omega: Share | None  # on the machines that chose the weights
    shrink: Share | None  # share of equal weights in those of the grid; None where nothing was shrunk


@dataclass(frozen=True, slots=True)
class ChoiceRow(NamedRow):
    """choices.csv: a candidate of a branch in one nested fold, and whether the fold chose it."""

    held_out: str
    branch: Filled
    candidate: Filled
    chosen: bool
    selection_omega: Share | None


@dataclass(frozen=True, slots=True)
class ClipsRow:
    """clips.csv: how many clips of one split, domain and label a machine has; their format, None without recordings."""

    suite: Filled
    machine: Filled
    split: Annotated[str, one_of("train", "test")]
    domain: str
    label: str
    clips: int
    channels: int | None
    sample_rate: int | None  # Hz
    seconds_min: Seconds | None
    seconds_max: Seconds | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """models.csv: a model behind branches of the suite, with what it was trained on and the licence of its weights."""

    suite: Filled
    model: Filled
    kind: str
    trained: Annotated[str, one_of("yes", "no", "unknown")]
    description: str
    weights_digest: str  # first digits of SHA-256
    branches: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True)
class NoteRow:
    """notes.csv: what was reduced, left out or fixed; `branch` may also be a system."""

    suite: Filled
    branch: str
    model: str
    machine: str
    note: Filled


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One figure of a study, or text, of this run (`value`) beside the paper's; None where there is none.

    `remark` says why a value is missing or not comparable; `row` counts the lines of the study from 1.
    """

    study: Filled
    kind: Annotated[str, one_of("roles", "comparison", "scopes", "heat_map", "leave_one_branch_out", "pseudo")]
    title: Filled
    row: int
    label: Filled
    detail: str
    metric: Annotated[str, one_of("omega", "source_auc", "target_auc", "pauc", "change", "pseudo_auc", "text")]
    suite: Filled
    protocol: str
    entry_kind: str
    entry: str
    seeds: int | None = None
    value: float | str | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    same_sign: float | None = None  # of a change: fraction of replicates with its sign
    published: float | str | None = None
    untrained: bool = False  # a model with random weights takes part in `value`
    remark: str = ""

    @property
    def number(self) -> float | None:
        """Our figure; None for text and where there is none."""
        return None if isinstance(self.value, str) else self.value

    @property
    def published_number(self) -> float | None:
        """The paper's figure; None for text and where there is none."""
        return None if isinstance(self.published, str) else self.published

    def with_remark(self, text: str) -> "StudyRow":
        """The same row with one more remark; an empty one changes nothing."""
        return replace(self, remark="; ".join(filter(None, (self.remark, text))))


def ends_of(row: UncertaintyRow | DifferenceRow | StudyRow) -> tuple[float, float] | None:
    """Both ends of the interval of a row; None where it has none."""
    return None if row.low is None or row.high is None else (row.low, row.high)


@dataclass(frozen=True)
class EvidenceTables:
    """The tables of a suite; each is the file <name of the field>.csv."""

    machines: tuple[MachineRow, ...]
    official: tuple[OfficialRow, ...]
    uncertainty: tuple[UncertaintyRow, ...]
    differences: tuple[DifferenceRow, ...]
    seeds: tuple[SeedsRow, ...]
    ranking: tuple[RankingRow, ...]
    weights: tuple[WeightRow, ...]
    choices: tuple[ChoiceRow, ...]
    clips: tuple[ClipsRow, ...]
    models: tuple[ModelRow, ...]
    notes: tuple[NoteRow, ...]
    training: tuple[TrainingRow, ...]
    validation: tuple[ValidationRow, ...]
    thresholds: tuple[ThresholdRow, ...]


TABLES: dict[str, type[Any]] = {table.name: get_args(table.type)[0] for table in fields(EvidenceTables)}
