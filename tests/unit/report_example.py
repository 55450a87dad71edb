"""Example tables of suites as the evaluation writes them: figures computed from scores, nothing made up by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from workflow_lib.csv_rows import columns
from workflow_lib.evaluation.evidence_rows import TABLES
from workflow_lib.files import write_csv
from workflow_lib.metrics import machine_metrics, official_score

HEADERS = {table: columns(row_type) for table, row_type in TABLES.items()}


@dataclass(frozen=True)
class Scores:
    """Scores of the test clips of one machine; anomaly and domain are None where there are no labels."""

    clips: Sequence[str]
    score: np.ndarray
    anomaly: np.ndarray | None = None
    domain: np.ndarray | None = None


@dataclass
class Example:
    """Rows of all tables of one suite, filled step by step and written at the end."""

    suite: str
    rows: dict[str, list[list[object]]] = field(default_factory=lambda: {table: [] for table in HEADERS})
    # {protocol: {(kind, name, seed, untrained): Ω of the replicates}}, of entries that have labels
    replicates: dict[str, dict[tuple[str, ...], np.ndarray]] = field(default_factory=dict)

    def add(self, table: str, *cells: object) -> None:
        self.rows[table].append([self.suite, *("" if cell is None else cell for cell in cells)])

    def entry(
        self, protocol: str, kind: str, name: str, tables: Mapping[str, Scores], seed: str = "", untrained: str = "no"
    ) -> None:
        """Adds all rows of one branch or system but its weights."""
        who = (protocol, kind, name, seed, untrained)
        figures: list[float | None] = []
        for machine, scores in sorted(tables.items()):
            _add_ranking(self, who, machine, scores)
            self.add("thresholds", *who, machine, "quantile", 0.9, THRESHOLD, 100, "")
            if scores.anomaly is not None:
                three = machine_figures(scores)
                figures += three
                self.add("machines", *who, machine, *three, harmonic(three))
        if figures:
            self.add("official", *who, len(figures) // 3, harmonic(figures))
            _add_evidence(self, who, tables, harmonic(figures))

    def weights(self, protocol: str, system: str, folds: Mapping[str, Mapping[str, float]], seed: str = "") -> None:
        for held_out, weights in folds.items():
            for place, (branch, weight) in enumerate(sorted(weights.items())):
                self.add(
                    "weights", protocol, system, seed, held_out, branch, weight, 9.25 + place, 1.375 + place / 8, 0.5875
                )

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
LEVEL, REPLICATES, BOOTSTRAP_SEED = 0.95, 20, 13711


def _add_evidence(example: Example, who: tuple[str, ...], tables: Mapping[str, Scores], omega: float | None) -> None:
    """Adds the interval of an entry, its differences to the systems (or best branch) before it, and its seeds."""
    protocol, kind, name, _, untrained = who
    told = (LEVEL, REPLICATES, BOOTSTRAP_SEED)
    drawn = np.array([bootstrapped(tables, place) for place in range(REPLICATES)])
    ends = (None, None) if omega is None else np.quantile(drawn, [0.025, 0.975]).tolist()
    example.add("uncertainty", *who, omega, *ends, *told)
    others = example.replicates.setdefault(protocol, {})
    best = max((float(np.median(o)) for key, o in others.items() if key[0] == "branch"), default=None)
    for other, values in others.items() if kind == "system" and omega is not None else ():
        if other[0] == "system" or float(np.median(values)) == best:
            flag = "yes" if "yes" in (untrained, other[-1]) else "no"
            example.add("differences", protocol, *who[1:4], *other[:3], flag, *_compared(drawn - values))
    others[who[1:]] = drawn
    _add_seeds(example, protocol, kind, name, untrained)


def _add_seeds(example: Example, protocol: str, kind: str, name: str, untrained: str) -> None:
    """The line of an entry over the seeds that it has so far, in place of its line before."""
    omegas = [row[7] for row in example.rows["official"] if row[1:4] == [protocol, kind, name]]
    example.rows["seeds"] = [row for row in example.rows["seeds"] if row[1:4] != [protocol, kind, name]]
    known = "" not in omegas
    deviation = float(np.std(omegas, ddof=1)) if known and len(omegas) > 1 else None
    mean = float(np.mean(omegas)) if known else None
    example.add("seeds", protocol, kind, name, untrained, len(omegas), mean, deviation)


def _compared(differences: np.ndarray) -> list[float]:
    """Median, interval with its level, share of the replicates that have the sign of the median, and how they came."""
    middle = float(np.median(differences))
    same = float(np.mean(np.sign(differences) == np.sign(middle)))
    ends = np.quantile(differences, [0.025, 0.975]).tolist()
    return [middle, *ends, LEVEL, same, REPLICATES, BOOTSTRAP_SEED]


def bootstrapped(tables: Mapping[str, Scores], replicate: int) -> float:
    """Ω of clips drawn anew within machine, domain and label."""
    return official_score([_resampled(scores, replicate, machine) for machine, scores in sorted(tables.items())])


def _resampled(scores: Scores, replicate: int, machine: str):
    random = np.random.default_rng([replicate, *machine.encode()])
    groups = [f"{domain}{label}" for domain, label in zip(scores.domain, scores.anomaly, strict=True)]
    places = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    drawn = np.concatenate([random.choice(members, len(members)) for members in places])
    return machine_metrics(scores.score[drawn], scores.anomaly[drawn], scores.domain[drawn])


def _add_ranking(example: Example, who: tuple[str, ...], machine: str, scores: Scores) -> None:
    for rank, place in enumerate(np.argsort(-scores.score, kind="stable"), start=1):
        domain = None if scores.domain is None else scores.domain[place]
        anomaly = None if scores.anomaly is None else int(scores.anomaly[place])
        example.add("ranking", *who, machine, rank, scores.clips[place], domain, anomaly, float(scores.score[place]))


def machine_figures(scores: Scores) -> list[float | None]:
    """Source AUC, target AUC and pAUC; None where a class is missing."""
    normal = scores.anomaly == 0
    kept = [~normal | (scores.domain == domain) for domain in ("source", "target")]
    return [*(_auc(scores, keep) for keep in kept), _auc(scores, np.full(len(normal), True), max_fpr=0.1)]


def _auc(scores: Scores, keep: np.ndarray, max_fpr: float | None = None) -> float | None:
    if len(set(scores.anomaly[keep])) < 2:
        return None
    return float(roc_auc_score(scores.anomaly[keep], scores.score[keep], max_fpr=max_fpr))


def harmonic(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return len(known) / sum(1 / value for value in known) if len(known) == len(values) else None


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
        for name, gain, random in (("ae", 1.2, "no"), ("eat", 0.8, flag)):
            for place, seed in enumerate(seeds if name == "eat" else [""]):
                drawn = 10 * len(name) + offset + 100 * place
                tables = {machine: drawn_scores(machine, drawn, gain) for machine in machines}
                example.entry(protocol, "branch", name, tables, seed=seed, untrained=random)
        for name, gain, random in (("NearMah", 1.2, "no"), ("Dual", 1.6, flag)):
            for place, seed in enumerate(seeds if name == "Dual" else [""]):
                drawn = 7 * len(name) + offset + 100 * place
                tables = {machine: drawn_scores(machine, drawn, gain) for machine in machines}
                example.entry(protocol, "system", name, tables, seed=seed, untrained=random)
        folds = machines if protocol == "cross_fitted" else [""]
        example.weights(protocol, "Dual", {held: {"ae": 0.7, "eat": 0.3} for held in folds}, seed="13711")
        example.weights(protocol, "NearMah", {held: {"ae": 1.0} for held in folds})
    for machine in machines:
        example.clips(
            machine, train_source_normal=90, train_target_normal=10, test_source_normal=25, test_target_anomaly=25
        )
        example.add("notes", "eat", "eat", machine, "PCA 768 -> 89 components: 90 normal training clips")
    example.add(
        "models",
        "autoencoder",
        "autoencoder",
        "yes",
        "640-128-8-128-640, one per machine",
        "ab" * 32,
        "ae",
        "trained here",
    )
    example.add(
        "models",
        "eat",
        "frozen",
        "no" if untrained else "yes",
        "EAT, 4 blocks of 64 dimensions",
        "cd" * 32,
        "eat",
        "MIT",
    )
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
