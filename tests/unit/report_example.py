"""Example tables of suites as the evaluation writes them: figures computed from scores, nothing made up by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workflow_lib.csv_rows import cells, columns
from workflow_lib.evaluation.bootstrap import Resampling
from workflow_lib.evaluation.evidence_rows import TABLES
from workflow_lib.evaluation.figures import metric_rows, ranking_rows
from workflow_lib.evaluation.labelled_entries import LabelledEntry
from workflow_lib.evaluation.uncertainty import seed_rows, uncertainty_rows
from workflow_lib.files import write_csv
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_table import ScoreTable

HEADERS = {table: columns(row_type) for table, row_type in TABLES.items()}


@dataclass(frozen=True)
class Scores:
    """Scores of the test clips of one machine; anomaly and domain are None where there are no labels."""

    clips: Sequence[str]
    score: np.ndarray
    anomaly: np.ndarray | None = None
    domain: np.ndarray | None = None

    def table(self) -> ScoreTable:
        """The scores as the library holds them."""
        clips = len(self.clips)
        domain = np.full(clips, "") if self.domain is None else self.domain
        anomaly = np.full(clips, np.nan) if self.anomaly is None else self.anomaly
        return ScoreTable(np.array(self.clips), domain, anomaly, self.score)


@dataclass
class Example:
    """Rows of all tables of one suite, filled step by step and written at the end."""

    suite: str
    rows: dict[str, list[list[object]]] = field(default_factory=lambda: {table: [] for table in HEADERS})
    judged: list[LabelledEntry] = field(default_factory=list)  # entries that have labels

    def add(self, table: str, *cells: object) -> None:
        self.rows[table].append([self.suite, *("" if cell is None else cell for cell in cells)])

    def entry(
        self, protocol: str, kind: str, name: str, tables: Mapping[str, Scores], seed: str = "", untrained: str = "no"
    ) -> None:
        """Adds all rows of one branch or system but its weights."""
        scored = {machine: scores.table() for machine, scores in sorted(tables.items())}
        entry = LabelledEntry(self.suite, untrained == "yes", Result(kind, name, protocol, seed, scored))
        self.rows["ranking"] += map(list, map(cells, ranking_rows([entry])))
        for machine in scored:
            self.add("thresholds", protocol, kind, name, seed, untrained, machine, "quantile", 0.9, THRESHOLD, 100, "")
        if all(scores.anomaly is not None for scores in tables.values()):
            self.judged = sorted([*self.judged, entry], key=lambda one: one.identity)
            found = [*metric_rows(self.judged), *uncertainty_rows(self.judged, RESAMPLING)[:2], seed_rows(self.judged)]
            for table, rows in zip(("machines", "official", "uncertainty", "differences", "seeds"), found, strict=True):
                self.rows[table] = list(map(list, map(cells, rows)))

    def weights(self, protocol: str, system: str, folds: Mapping[str, Mapping[str, float]], seed: str = "") -> None:
        for held_out, weights in folds.items():
            for place, (branch, weight) in enumerate(sorted(weights.items())):
                scale = (9.25 + place, 1.375 + place / 8)
                self.add("weights", protocol, system, seed, held_out, branch, weight, *scale, 0.5875, None)

    def clips(self, machine: str, **counts: int) -> None:
        """Adds clip counts; the names are split_domain_label, such as train_source_normal or test__."""
        for name, clips in counts.items():
            self.add("clips", machine, *name.split("_"), clips, 2, 16000, 10.0, 12.0)

    def training(self, model: str, steps: int = 6, epochs: int = 2, *, level: float = 1.0, withheld: int = 0) -> None:
        """Adds the log of an adapted model whose loss falls from about 20 towards `level`; withheld clips where any."""
        random = np.random.default_rng([steps, *model.encode()])
        for step in range(steps):
            attribute = level + 19 * np.exp(-6 * step / steps) * random.uniform(0.9, 1.1)
            terms = (attribute, 0.5, 0.25, 0.125)
            right = (step / steps, 0.5, 0.75)
            epoch = step * epochs // steps + 1
            self.add("training", model, step + 1, epoch, 5e-5, attribute + 0.25, *terms, *right, 10.0 + epoch)
        for epoch in range(1, epochs + 1 if withheld else 1):
            right = (0.9 - 0.5 / epoch - level / 100, 0.875, 0.75)
            self.add("validation", model, epoch, withheld, 0.125, level + 3 / epoch, *right)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table, rows in self.rows.items():
            write_csv(folder / f"{table}.csv", HEADERS[table], rows)
        return folder


THRESHOLD = 4.33  # the 0.9 quantile of normal scores, which are drawn from a gamma distribution: see drawn_scores
RESAMPLING = Resampling(replicates=20)


def drawn_scores(machine: str, seed: int, gain: float, labelled: bool = True, per_group: int = 25) -> Scores:
    """Normal and anomalous clips of two domains with overlapping scores; `gain` sets how far they lie apart."""
    random = np.random.default_rng([seed, len(machine), *machine.encode()])
    domain = np.repeat(["source", "target"], 2 * per_group)
    anomaly = np.tile(np.repeat([0, 1], per_group), 2)
    spread, severity = random.gamma(9.0, 1 / 3, 4 * per_group), random.random(4 * per_group)
    score = spread + gain * anomaly * severity + 0.4 * (domain == "target")
    if not labelled:
        return Scores([f"section_00_{place:04d}.wav" for place in range(4 * per_group)], score)
    kinds = zip(domain, np.array(["normal", "anomaly"])[anomaly], strict=True)
    clips = [
        f"section_00_{place}_test_{kind}_{number:04d}_noAttribute.wav" for number, (place, kind) in enumerate(kinds)
    ]
    return Scores(clips, score, anomaly, domain)


MACHINES = ("ToyCarEmu", "bearingEmu", "fan")
ODD = "<b>fan & co</b>"


PROTOCOLS = ("complete_dev", "cross_fitted")


def labelled_example(
    suite: str = "demo",
    machines: Sequence[str] = MACHINES,
    protocols: Sequence[str] = PROTOCOLS,
    untrained: bool = False,
    seeds: Sequence[str] = ("13711",),
) -> Example:
    """A labelled suite: two branches and two systems under two protocols; `untrained` is about the branch eat."""
    example, flag = Example(suite), "yes" if untrained else "no"
    for offset, protocol in enumerate(protocols):
        for kind, name, gain, random, factor in (
            ("branch", "ae", 1.2, "no", 10),
            ("branch", "eat", 0.8, flag, 10),
            ("system", "NearMah", 1.2, "no", 7),
            ("system", "Dual", 1.6, flag, 7),
        ):
            for place, seed in enumerate(seeds if name in ("eat", "Dual") else [""]):
                drawn = factor * len(name) + offset + 100 * place
                tables = {machine: drawn_scores(machine, drawn, gain) for machine in machines}
                example.entry(protocol, kind, name, tables, seed=seed, untrained=random)
        folds = machines if protocol == "cross_fitted" else [""]
        example.weights(protocol, "Dual", {held: {"ae": 0.7, "eat": 0.3} for held in folds}, seed="13711")
        example.weights(protocol, "NearMah", {held: {"ae": 1.0} for held in folds})
    for machine in machines:
        example.clips(
            machine, train_source_normal=90, train_target_normal=10, test_source_normal=25, test_target_anomaly=25
        )
        example.add("notes", "eat", "eat", machine, "PCA 768 -> 89 components: 90 normal training clips")
    network = ("640-128-8-128-640, one per machine", "ab" * 32, "ae", "trained here")
    example.add("models", "autoencoder", "autoencoder", "yes", *network)
    weights = ("EAT, 4 blocks of 64 dimensions", "cd" * 32, "eat", "MIT")
    example.add("models", "eat", "frozen", "no" if untrained else "yes", *weights)
    return example


def small_example(**changes: object) -> Example:
    """One machine, one protocol, trained models unless said otherwise."""
    return labelled_example(**{"machines": ["fan"], "protocols": ["cross_fitted"], **changes})


def bare_example(suite: str = "demo", machine: str = "fan") -> Example:
    """The smallest example: one branch, one machine, one protocol."""
    example = Example(suite)
    example.entry("complete_dev", "branch", "ae", {machine: drawn_scores(machine, 3, 1.0)})
    return example


def adapted_models(machines: Sequence[str] = MACHINES, seeds: Sequence[int] = (13711, 2026)) -> list[str]:
    """Names of the adapted models of a suite, sorted as in its tables: one on all machines, one without each."""
    scopes = ["full", *(f"without-{machine}" for machine in machines)]
    return sorted(f"dualmic@{scope}-seed{seed}" for scope in scopes for seed in seeds)


def unlabelled_example(suite: str = "plant", machines: Sequence[str] = ("pump", "blower")) -> Example:
    """A suite without test labels: ranked under weights taken over from elsewhere."""
    example = Example(suite)
    for name, gain in (("NearMah", 1.2), ("Dual", 0.6)):
        tables = {machine: drawn_scores(machine, len(name), gain, labelled=False) for machine in machines}
        example.entry("complete_dev", "system", name, tables)
    example.weights("complete_dev", "Dual", {"": {"ae": 0.7, "eat": 0.3}})
    for machine in machines:
        example.clips(machine, train_source_normal=100, test__=100)
    example.add("models", "autoencoder", "autoencoder", "yes", "one per machine", "ab" * 32, "ae", "trained here")
    return example
