"""Figures of the entries: by machine, Omega, the ranking of the clips, calibration and weights by fold."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workflow_lib.evaluation.columns import Row
from workflow_lib.evaluation.labelled_entries import Entry
from workflow_lib.plan.model_name import chosen_branch, seed_of
from workflow_lib.plan.paths import NO_ONE


def metric_rows(entries: Iterable[Entry]) -> tuple[list[Row], list[Row]]:
    """Rows of machines.csv and official.csv."""
    machines, official = [], []
    for entry in entries:
        for machine, m in entry.result.metrics.items():
            machines.append((*entry.identity, machine, *map(figure, (*m.figures, m.harmonic_mean))))
        official.append((*entry.identity, len(entry.result.tables), figure(entry.result.omega)))
    return sorted(machines), sorted(official)


def figure(value: float) -> str:
    """A cell: the shortest exact form, empty where undefined."""
    return "" if np.isnan(value) else repr(float(value))


def ranking_rows(entries: Iterable[Entry]) -> Iterator[Row]:
    """All test clips, most anomalous first; in order as the entries and their machines are."""
    for entry in entries:
        for machine, table in entry.result.tables.items():
            order = sorted(range(len(table.clip)), key=lambda i: (-table.score[i], table.clip[i]))
            for rank, i in enumerate(order, 1):
                anomaly = "" if np.isnan(table.anomaly[i]) else int(table.anomaly[i])
                score = repr(float(table.score[i]))
                yield (*entry.identity, machine, rank, table.clip[i], table.domain[i], anomaly, score)


def weight_rows(paths: Iterable[str]) -> list[Row]:
    """Weights and calibration of all folds of systems, a row for each branch."""
    rows = []
    for fold, seed, held_out in map(_fold, paths):
        if chosen_branch(fold["system"]):
            continue  # a branch alone is neither calibrated nor weighted
        for branch in fold["branches"]:
            scale = fold["calibration"][branch]
            figures = (fold["weights"][branch], scale["median"], scale["iqr"], fold["selection_omega"])
            cells = ("" if f is None else figure(f) for f in figures)
            rows.append((fold["suite"], fold["protocol"], fold["system"], seed, held_out, branch, *cells))
    return sorted(rows)


def choice_rows(paths: Iterable[str]) -> list[Row]:
    """Candidates of all nested folds with their Omega on the selection machines, and which one was chosen."""
    rows = []
    for fold, seed, held_out in map(_fold, paths):
        branch_alone = chosen_branch(fold["system"])
        kind, name = ("branch", branch_alone) if branch_alone else ("system", fold["system"])
        for branch, candidates in fold["candidates"].items():
            for candidate, omega in candidates.items():
                chosen = "yes" if candidate == fold["chosen"][branch] else "no"
                head = (fold["suite"], fold["protocol"], kind, name, seed, held_out)
                rows.append((*head, branch, candidate, chosen, "" if omega is None else figure(omega)))
    return sorted(rows)


def _fold(path: str) -> tuple[dict[str, Any], str, str]:
    """What a fold's file says, its seed and its held-out machine, "" where there is none."""
    fold = json.loads(Path(path).read_text(encoding="utf-8"))
    held_out = "" if fold["held_out"] == NO_ONE else fold["held_out"]
    return fold, seed_of(Path(path).stem), held_out
