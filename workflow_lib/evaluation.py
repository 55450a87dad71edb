"""Score tables of a suite become the tables of evidence; every row carries its protocol. No torch.

Each function makes one table; `write_tables` writes them all into a folder. Columns stand in `HEADERS`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from workflow_lib.manifest import Clip, read_manifest
from workflow_lib.metrics import MachineMetrics, machine_metrics, official_score
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
    "models": ("suite", "model", "kind", "trained", "description", "weights_digest", "branches"),
    "notes": ("suite", "branch", "model", "machine", "note"),
}
Row = tuple[object, ...]


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


def write_tables(evidence: Evidence, folder: Path) -> None:
    """Write all tables of a suite into a new folder."""
    folder.mkdir(parents=True)
    scored = [(e, {m: read_scores(path) for m, path in sorted(e["tables"].items())}) for e in evidence.evaluations]
    machines, official = _metric_rows(evidence, scored)
    rows = {
        "machines": machines,
        "official": official,
        "ranking": _ranking_rows(scored),
        "weights": _weight_rows(evidence.folds),
        "clips": _clip_rows(evidence),
        "models": _model_rows(evidence),
        "notes": _note_rows(evidence),
    }
    for name, lines in rows.items():
        write_csv(folder / f"{name}.csv", HEADERS[name], lines)


def _identity(evaluation: Mapping[str, Any]) -> Row:
    seed = evaluation["seed"].removeprefix("seed") if evaluation["seed"] != "noseed" else ""
    untrained = "yes" if evaluation["untrained"] else "no"
    return (evaluation["suite"], evaluation["protocol"], evaluation["kind"], evaluation["name"], seed, untrained)


def _metric_rows(
    evidence: Evidence, scored: Sequence[tuple[Mapping[str, Any], Mapping[str, ScoreTable]]]
) -> tuple[list[Row], list[Row]]:
    machines, official = [], []
    for evaluation, tables in scored if evidence.labelled else ():
        metrics = {machine: machine_metrics(t.score, t.anomaly, t.domain) for machine, t in tables.items()}
        for machine, m in metrics.items():
            figures = (m.source_auc, m.target_auc, m.pauc, m.harmonic_mean)
            machines.append((*_identity(evaluation), machine, *map(_figure, figures)))
        official.append((*_identity(evaluation), len(metrics), _figure(_omega(list(metrics.values())))))
    return sorted(machines), sorted(official)


def _omega(metrics: list[MachineMetrics]) -> float:
    """Official score, or NaN where one of its figures is undefined."""
    defined = all(np.isfinite((m.source_auc, m.target_auc, m.pauc)).all() for m in metrics)
    return official_score(metrics) if defined else float("nan")


def _figure(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def _ranking_rows(scored: Sequence[tuple[Mapping[str, Any], Mapping[str, ScoreTable]]]) -> Iterator[Row]:
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
            rows.append((*head, held_out, branch, *("" if f is None else repr(float(f)) for f in figures)))
    return sorted(rows)


def _clip_rows(evidence: Evidence) -> Iterator[Row]:
    for path in evidence.manifests:
        clips = sorted(read_manifest(path), key=_cell)
        for cell, group in groupby(clips, key=_cell):
            members = list(group)
            seconds = [clip.frames / clip.sample_rate for clip in members]
            rates = "/".join(str(rate) for rate in sorted({clip.sample_rate for clip in members}))
            channels = "/".join(str(count) for count in sorted({clip.channels for clip in members}))
            lengths = (f"{min(seconds):.3f}", f"{max(seconds):.3f}")
            yield (evidence.suite, *cell, len(members), channels, rates, *lengths)


def _cell(clip: Clip) -> tuple[str, str, str, str]:
    return clip.machine, clip.split, clip.domain or "", clip.label or ""


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
        rows.append((evidence.suite, model, settings["kind"], state, _describe(settings), digest, names))
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
    return sorted(rows) + [(evidence.suite, name, "", "", f"left out: {reason}") for name, reason in evidence.left_out]


def _facts(paths: Sequence[str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(branch, model, machine, facts) from the notes beside the score tables: .../<branch>/<model>/<machine>.json."""
    places = [(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem, path) for path in paths]
    return [(*place, json.loads(Path(path).read_text(encoding="utf-8"))) for *place, path in places]
