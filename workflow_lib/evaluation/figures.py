"""Figures of the entries: by machine, Omega, the ranking of the clips, calibration and weights by fold."""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any

from workflow_lib.csv_rows import cells
from workflow_lib.evaluation.evidence_rows import ChoiceRow, MachineRow, OfficialRow, RankingRow, WeightRow
from workflow_lib.evaluation.labelled_entries import LabelledEntry
from workflow_lib.fusion.fold_file import label_free_fold
from workflow_lib.plan.model_name import chosen_branch, seed_of
from workflow_lib.plan.paths import NO_ONE


def metric_rows(entries: Iterable[LabelledEntry]) -> tuple[list[MachineRow], list[OfficialRow]]:
    """Rows of machines.csv and official.csv, sorted."""
    machines, official = [], []
    for entry in entries:
        for machine, m in entry.result.metrics.items():
            machines.append(MachineRow(*entry.identity, machine, *m.figures, m.harmonic_mean))
        official.append(OfficialRow(*entry.identity, len(entry.result.tables), entry.result.omega))
    return sorted(machines, key=cells), sorted(official, key=cells)


def ranking_rows(entries: Iterable[LabelledEntry]) -> Iterator[RankingRow]:
    """All test clips, most anomalous first; in order as the entries and their machines are."""
    for entry in entries:
        for machine, table in entry.result.tables.items():
            columns = (column.tolist() for column in (table.clip, table.domain, table.anomaly, table.score))
            clips = sorted(zip(*columns, strict=True), key=lambda clip: (-clip[3], clip[0]))
            for rank, (clip, domain, label, score) in enumerate(clips, 1):
                anomaly = None if isnan(label) else bool(label)
                yield RankingRow(*entry.identity, machine, rank, clip, domain, anomaly, score)


def weight_rows(paths: Iterable[str], evaluations: Iterable[Mapping[str, Any]] = ()) -> list[WeightRow]:
    """Weights and calibration of all folds of systems, a row for each branch; of systems without folds the weights."""
    rows = []
    for entry in evaluations:
        if settings := entry.get("label_free"):
            head = (entry["suite"], entry["protocol"], entry["name"], entry["seed"], "")
            weights = label_free_fold(settings).fusion.weights
            rows += [WeightRow(*head, branch, weight, None, None, None, None) for branch, weight in weights.items()]
    for fold, seed, held_out in map(_fold, paths):
        if chosen_branch(fold["system"]):
            continue  # a branch alone is neither calibrated nor weighted
        for branch in fold["branches"]:
            scale, shrink = fold["calibration"].get(branch, {}), fold.get("shrink", {})
            calibration, weight = (scale.get("median"), scale.get("iqr")), fold["weights"][branch]
            figures = (weight, *calibration, fold["selection_omega"], shrink.get("share"))
            rows.append(WeightRow(fold["suite"], fold["protocol"], fold["system"], seed, held_out, branch, *figures))
    return sorted(rows, key=cells)


def choice_rows(paths: Iterable[str]) -> list[ChoiceRow]:
    """Candidates of all nested folds with their Omega on the selection machines, and which one was chosen."""
    rows = []
    for fold, seed, held_out in map(_fold, paths):
        branch_alone = chosen_branch(fold["system"])
        kind, name = ("branch", branch_alone) if branch_alone else ("system", fold["system"])
        head = (fold["suite"], fold["protocol"], kind, name, seed, held_out)
        for branch, candidates in fold["candidates"].items():
            for candidate, omega in candidates.items():
                rows.append(ChoiceRow(*head, branch, candidate, candidate == fold["chosen"][branch], omega))
    return sorted(rows, key=cells)


def _fold(path: str) -> tuple[dict[str, Any], str, str]:
    """What a fold's file says, its seed and its held-out machine, "" where there is none."""
    fold = json.loads(Path(path).read_text(encoding="utf-8"))
    held_out = "" if fold["held_out"] == NO_ONE else fold["held_out"]
    return fold, seed_of(Path(path).stem), held_out
