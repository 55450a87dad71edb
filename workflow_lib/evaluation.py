"""Score tables of a suite become the tables of evidence; every row carries its protocol. No torch.

Each function makes one table; `write_tables` writes them all into a folder. Columns stand in `HEADERS`.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from workflow_lib.errors import UserError
from workflow_lib.manifest import Clip, read_manifest
from workflow_lib.metrics import official_score
from workflow_lib.published.licence import licence_of
from workflow_lib.score_table import ScoreTable
from workflow_lib.tables import read_scores, write_csv

IDENTITY = ("suite", "protocol", "kind", "name", "seed", "untrained")
HEADERS = {
    "machines": (*IDENTITY, "machine", "source_auc", "target_auc", "pauc", "harmonic_mean"),
    "official": (*IDENTITY, "machines", "omega"),
    "ranking": (*IDENTITY, "machine", "rank", "clip", "domain", "anomaly", "score"),
    "weights": (
        "suite",
        "protocol",
        "system",
        "seed",
        "held_out",
        "branch",
        "weight",
        "median",
        "iqr",
        "selection_omega",
    ),
    "clips": (
        "suite",
        "machine",
        "split",
        "domain",
        "label",
        "clips",
        "channels",
        "sample_rate",
        "seconds_min",
        "seconds_max",
    ),
    "models": ("suite", "model", "kind", "trained", "description", "weights_digest", "branches", "licence"),
    "notes": ("suite", "branch", "model", "machine", "note"),
    "training": (
        "suite",
        "model",
        "step",
        "epoch",
        "learning_rate",
        "loss",
        "loss_attribute",
        "loss_machine",
        "loss_domain",
        "loss_consistency",
        "accuracy_attribute",
        "accuracy_machine",
        "accuracy_domain",
        "clips_per_s",
    ),
    "validation": (
        "suite",
        "model",
        "epoch",
        "clips",
        "chance",
        "loss",
        "accuracy_attribute",
        "accuracy_machine",
        "accuracy_domain",
    ),
}
FIXED_WEIGHTS = "weights fixed by the configuration, not chosen"
WORDS = {0.0: "normal", 1.0: "anomaly"}
VALUES = {"normal": 0.0, "anomaly": 1.0, "": float("nan")}
Row = tuple[object, ...]
Scored = Sequence[tuple[Mapping[str, Any], Mapping[str, ScoreTable]]]  # evaluations with their tables by machine
Labels = dict[str, dict[str, tuple[str, str]]]  # machine: {clip: (domain, label)}, "" where no table knows


@dataclass(frozen=True)
class Evidence:
    """All that the tables of a suite are made of; paths are those of the jobs before."""

    suite: str
    labelled: bool
    evaluations: Sequence[Mapping[str, Any]]  # plan.evaluation_rows
    config: Mapping[str, Any]  # models, branches, systems
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    folds: Sequence[str]
    manifests: Sequence[str]
    adapters: Sequence[str] = ()  # folders of the adapted models


def write_tables(evidence: Evidence, folder: Path) -> None:
    """Write all tables of a suite into a new folder."""
    folder.mkdir(parents=True)
    scored = [
        (e, {m: read_scores(path) for m, path in sorted(e["tables"].items())})
        for e in sorted(evidence.evaluations, key=_identity)
    ]
    labels = _known_labels(scored)
    scored = [(e, {m: _filled(table, labels[m]) for m, table in tables.items()}) for e, tables in scored]
    machines, official = _metric_rows(evidence, scored)
    rows = {
        "machines": machines,
        "official": official,
        "ranking": _ranking_rows(scored),
        "weights": _weight_rows(evidence.folds),
        "clips": _clip_rows(evidence) if evidence.manifests else _scored_clip_rows(evidence.suite, labels),
        "models": _model_rows(evidence),
        "notes": _note_rows(evidence),
        "training": _log_rows(evidence, "training_log.csv", "training"),
        "validation": _log_rows(evidence, "validation.csv", "validation"),
    }
    for name, lines in rows.items():
        write_csv(folder / f"{name}.csv", HEADERS[name], lines)


def _identity(evaluation: Mapping[str, Any]) -> Row:
    seed = evaluation["seed"].removeprefix("seed") if evaluation["seed"] != "noseed" else ""
    untrained = "yes" if evaluation["untrained"] else "no"
    return (evaluation["suite"], evaluation["protocol"], evaluation["kind"], evaluation["name"], seed, untrained)


def _known_labels(scored: Scored) -> Labels:
    """What all tables of a machine together know of its clips; UserError where two contradict each other."""
    found: Labels = {}
    for evaluation, tables in scored:
        for machine, table in tables.items():
            labels, path = found.setdefault(machine, {}), evaluation["tables"][machine]
            columns = (column.tolist() for column in (table.clip, table.domain, table.anomaly))
            for clip, domain, anomaly in zip(*columns, strict=True):
                known, new = labels.get(clip, ("", "")), (domain, WORDS.get(anomaly, ""))
                labels[clip] = (_agreed(known[0], new[0], path, clip), _agreed(known[1], new[1], path, clip))
    return found


def _agreed(known: str, new: str, path: str, clip: str) -> str:
    if known and new and known != new:
        told = f"{clip} is {new} here, but {known} in another table of this machine: correct the one that is wrong"
        raise UserError(f"{path}: {told}")
    return known or new


def _filled(table: ScoreTable, labels: Mapping[str, tuple[str, str]]) -> ScoreTable:
    """The table with the domains and labels that it lacks and other tables of its machine know."""
    if not (np.isnan(table.anomaly) | (table.domain == "")).any():
        return table
    known = [labels[clip] for clip in table.clip.tolist()]
    domain, anomaly = [domain for domain, _ in known], [VALUES[label] for _, label in known]
    return ScoreTable(table.clip, np.array(domain), np.array(anomaly), table.score)


def _metric_rows(evidence: Evidence, scored: Scored) -> tuple[list[Row], list[Row]]:
    machines, official = [], []
    for evaluation, tables in scored if evidence.labelled else ():
        metrics = {machine: table.defined_metrics() for machine, table in tables.items()}
        for machine, m in metrics.items():
            figures = (m.source_auc, m.target_auc, m.pauc, m.harmonic_mean)
            machines.append((*_identity(evaluation), machine, *map(_figure, figures)))
        official.append((*_identity(evaluation), len(metrics), _figure(official_score(list(metrics.values())))))
    return sorted(machines), sorted(official)


def _figure(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def _ranking_rows(scored: Scored) -> Iterator[Row]:
    """All test clips, most anomalous first; in order as the evaluations and their machines are."""
    for evaluation, tables in scored:
        for machine, table in tables.items():
            order = sorted(range(len(table.clip)), key=lambda i: (-table.score[i], table.clip[i]))
            for rank, i in enumerate(order, 1):
                anomaly = "" if np.isnan(table.anomaly[i]) else int(table.anomaly[i])
                score = repr(float(table.score[i]))
                yield (*_identity(evaluation), machine, rank, table.clip[i], table.domain[i], anomaly, score)


def _weight_rows(paths: Iterable[str]) -> list[Row]:
    rows = []
    for path in paths:
        fold = json.loads(Path(path).read_text(encoding="utf-8"))
        seed = Path(path).parent.name
        head = (fold["suite"], fold["protocol"], fold["system"], "" if seed == "noseed" else seed.removeprefix("seed"))
        held_out = "" if fold["held_out"] == "none" else fold["held_out"]
        for branch in fold["branches"]:
            scale = fold["calibration"][branch]
            figures = (fold["weights"][branch], scale["median"], scale["iqr"], fold["selection_omega"])
            rows.append((*head, held_out, branch, *("" if f is None else _figure(f) for f in figures)))
    return sorted(rows)


def _clip_rows(evidence: Evidence) -> Iterator[Row]:
    """Clips by sort and format: where a machine mixes formats, each has its own row."""
    clips = sorted((clip for path in evidence.manifests for clip in read_manifest(path)), key=_cell)
    for (machine, split, domain, label, channels, sample_rate), group in groupby(clips, key=_cell):
        seconds = [clip.frames / clip.sample_rate for clip in group]
        lengths = (f"{min(seconds):.3f}", f"{max(seconds):.3f}")
        yield (evidence.suite, machine, split, domain, label, len(seconds), channels, sample_rate, *lengths)


def _cell(clip: Clip) -> tuple[str, str, str, str, int, int]:
    return clip.machine, clip.split, clip.domain or "", clip.label or "", clip.channels, clip.sample_rate


def _scored_clip_rows(suite: str, labels: Labels) -> Iterator[Row]:
    """Test clips of a suite without recordings, by what the score tables know; their format is unknown."""
    for machine, clips in sorted(labels.items()):
        for sort, count in sorted(Counter(clips.values()).items()):
            yield (suite, machine, "test", *sort, count, "", "", "", "")


def _model_rows(evidence: Evidence) -> list[Row]:
    """One row for each model behind the branches of the suite, with its weights' digest where there is one for all."""
    facts = _facts(evidence.notes)
    used: dict[str, list[str]] = {}
    for branch, model, _machine, _fact in facts:
        used.setdefault(model, []).append(branch)
    rows = []
    for model, branches in sorted(used.items()):
        provenance = [fact["provenance"] for _, m, _, fact in facts if m == model]
        settings = evidence.config["models"].get(model.split("@")[0], {"kind": "external"})
        trained = {p.get("trained", "unknown") for p in provenance}
        digests = {p.get("weights_digest", "")[:16] for p in provenance}
        digest = digests.pop() if len(digests) == 1 else "one per machine"
        state = trained.pop() if len(trained) == 1 else "unknown"
        names = " ".join(sorted(set(branches)))
        licence = licence_of(model, evidence.config["models"])
        rows.append((evidence.suite, model, settings["kind"], state, _describe(settings), digest, names, licence))
    return rows


def _describe(settings: Mapping[str, Any]) -> str:
    """The settings of a model in one line."""
    shown = {key: value for key, value in settings.items() if key != "kind" and value != {}}
    return "; ".join(f"{key} {value}" for key, value in shown.items()) or "score tables made elsewhere"


def _note_rows(evidence: Evidence) -> list[Row]:
    rows = [
        (evidence.suite, branch, model, machine, note)
        for branch, model, machine, fact in _facts(evidence.notes)
        for note in fact["notes"]
    ]
    rows += [(evidence.suite, name, "", "", f"left out: {reason}") for name, reason in evidence.left_out]
    systems = {evaluation["name"] for evaluation in evidence.evaluations if evaluation["kind"] == "system"}
    fixed = [name for name in systems if evidence.config["systems"][name].get("weights")]
    return sorted(rows + [(evidence.suite, name, "", "", FIXED_WEIGHTS) for name in fixed])


def _log_rows(evidence: Evidence, file_name: str, table: str) -> Iterator[Row]:
    """The logs of all adapted models, one behind the other, in the columns of the table."""
    for folder in sorted(map(Path, evidence.adapters)):
        with (folder / file_name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield (evidence.suite, folder.name, *(row[column] for column in HEADERS[table][2:]))


def _facts(paths: Sequence[str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(branch, model, machine, facts) from the notes beside the score tables: .../<branch>/<model>/<machine>.json."""
    places = [(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem, path) for path in paths]
    return [(*place, json.loads(Path(path).read_text(encoding="utf-8"))) for *place, path in places]
