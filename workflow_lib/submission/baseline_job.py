"""The official baseline's files of a whole suite, from the residuals of one autoencoder."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workflow_lib.embedding.store import open_store, read_residuals
from workflow_lib.files import write_csv
from workflow_lib.scoring.mahalanobis import score_residuals
from workflow_lib.scoring.score_table import ScoreTable, stored_scores
from workflow_lib.scoring.thresholds import baseline_threshold
from workflow_lib.submission.baseline_files import MachineScores, Score, baseline_files, baseline_folder

log = logging.getLogger(__name__)
KINDS: dict[Score, str] = {"MSE": "mse", "MAHALA": "mahalanobis"}  # the baseline's words and ours
HEADER = ("machine", "score", "threshold", "batches", "note")


def write_baseline_suite(
    folder: Path,
    machines: Sequence[str],
    residuals: Sequence[str],
    batch_values: Sequence[str],
    *,
    seed: int,
    evaluation: bool,
) -> None:
    """Write scores, decisions and figures of all machines, and thresholds.csv, into a new folder.

    residuals: HDF5 stores, batch_values: CSV files of `train_on_machine`, both in the order of the machines.
    """
    folder.mkdir(parents=True)
    rows = []
    for machine, store, values in zip(machines, residuals, batch_values, strict=True):
        samples = _samples(values)
        for score, table in _tables(store).items():
            threshold = baseline_threshold(samples[KINDS[score]])
            of_score = folder / baseline_folder(score, evaluation)
            of_score.mkdir(parents=True, exist_ok=True)
            for name, content in baseline_files(MachineScores(machine, seed, table, threshold, evaluation)).items():
                (of_score / name).write_bytes(content)
            cell = "" if np.isnan(threshold.value) else repr(threshold.value)
            rows.append((machine, KINDS[score], cell, threshold.normal_clips, threshold.note))
            if threshold.note:
                log.info("%s, %s: %s", machine, KINDS[score], threshold.note)
    write_csv(folder / "thresholds.csv", HEADER, rows)


def _samples(path: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {score: [] for score in KINDS.values()}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["score"]].append(float(row["value"]))
    return found


def _tables(path: str) -> dict[Score, ScoreTable]:
    """Scores of the test clips of a store: mean squared error, and Mahalanobis as the baseline reads it."""
    with open_store(path) as (store, clips):
        residuals = read_residuals(store)
    mahalanobis, _ = score_residuals(residuals, "official")
    test = clips.split == "test"
    return {"MSE": stored_scores(clips, test, residuals["mse"]), "MAHALA": stored_scores(clips, test, mahalanobis)}
