"""Figures of the entries: by machine, Omega, the ranking of the clips, calibration and weights by fold."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from workflow_lib.evaluation.entries import Entry
from workflow_lib.evaluation.headers import Row


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
    """Weights and calibration of all folds, a row for each branch."""
    rows = []
    for path in paths:
        fold = json.loads(Path(path).read_text(encoding="utf-8"))
        seed = Path(path).parent.name
        head = (fold["suite"], fold["protocol"], fold["system"], "" if seed == "noseed" else seed.removeprefix("seed"))
        held_out = "" if fold["held_out"] == "none" else fold["held_out"]
        for branch in fold["branches"]:
            scale = fold["calibration"][branch]
            figures = (fold["weights"][branch], scale["median"], scale["iqr"], fold["selection_omega"])
            rows.append((*head, held_out, branch, *("" if f is None else figure(f) for f in figures)))
    return sorted(rows)
