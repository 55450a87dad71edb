"""The files that the official autoencoder baseline writes: scores, decisions and figures of each machine.

Names, order of the rows, line ends and the format of the numbers are the baseline's (the golden data, section 6), so
that programs written for its results can read ours. No torch.
"""

import csv
import logging
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hmean
from sklearn.metrics import confusion_matrix, roc_auc_score

from workflow_lib.embedding.store import open_store, read_residuals
from workflow_lib.errors import UserError, and_more
from workflow_lib.files import write_csv
from workflow_lib.metrics import MAX_FPR
from workflow_lib.scoring.mahalanobis import score_residuals
from workflow_lib.scoring.score_table import ScoreTable, stored_scores
from workflow_lib.scoring.thresholds import Threshold, baseline_threshold

log = logging.getLogger(__name__)
Score = Literal["MSE", "MAHALA"]
KINDS: dict[Score, str] = {"MSE": "mse", "MAHALA": "mahalanobis"}  # the baseline's words and ours
HEADER = ("machine", "score", "threshold", "batches", "note")  # of thresholds.csv
DATA_SET = "DCASE2026T2"  # the prefix of machine names in the baseline of 2026
LEAST = float(np.finfo(float).eps)  # the baseline's floor of values in harmonic means
SECTION = re.compile(r"section_(\d+)_")
DOMAINS = ("source", "target")
FIGURES = ("precision", "recall", "F1 score")


@dataclass(frozen=True)
class MachineScores:
    """Scores of one machine's test clips by one of the baseline's two scores."""

    machine: str
    seed: int  # of the training
    table: ScoreTable
    threshold: Threshold
    evaluation: bool = False  # of an evaluation set: other folders, names and order


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
        batches = list(csv.DictReader(Path(values).read_text(encoding="utf-8").splitlines()))
        with open_store(store) as (opened, clips):
            measured = read_residuals(opened)
        # Mahalanobis as the baseline reads it.
        values_of = {"MSE": measured["mse"], "MAHALA": score_residuals(measured, "official")[0]}
        for score, kind in KINDS.items():
            table = stored_scores(clips, clips.split == "test", values_of[score])
            threshold = baseline_threshold([float(row["value"]) for row in batches if row["score"] == kind])
            of_score = folder / baseline_folder(score, evaluation)
            of_score.mkdir(parents=True, exist_ok=True)
            for name, content in baseline_files(MachineScores(machine, seed, table, threshold, evaluation)).items():
                (of_score / name).write_bytes(content)
            cell = "" if np.isnan(threshold.value) else repr(threshold.value)
            rows.append((machine, kind, cell, threshold.normal_clips, threshold.note))
            if threshold.note:
                log.info("%s, %s: %s", machine, kind, threshold.note)
    write_csv(folder / "thresholds.csv", HEADER, rows)


def baseline_folder(score: Score, evaluation: bool) -> str:
    """Folder of the baseline's files of one score."""
    return f"results/{'eval' if evaluation else 'dev'}_data/baseline_{score}"


def baseline_files(scores: MachineScores) -> dict[str, bytes]:
    """File name -> content: scores, decisions, and figures where the labels of all clips are known.

    Scores are rounded to single precision, as the baseline's are. Without a threshold (its fit failed) there are no
    decisions and no figures. UserError for clips without the section in their names.
    """
    values = scores.table.score.astype(np.float32).astype(np.float64)
    decisions = None if math.isnan(scores.threshold.value) else scores.threshold.decide(values)
    sections = _sections(scores)
    files = {}
    for section, rows in sections.items():
        clips = scores.table.clip[rows]
        scored = zip(clips, map(repr, values[rows].tolist()), strict=True)
        files[_name("anomaly_score", scores, section)] = csv_lines(scored)
        if decisions is not None:
            decided = zip(clips, map(str, decisions[rows].tolist()), strict=True)
            files[_name("decision_result", scores, section)] = csv_lines(decided)
    if decisions is not None and not np.isnan(scores.table.anomaly).any():
        files[_name("result", scores, None)] = _result(scores.table, values, decisions, sections)
    return files


def _sections(scores: MachineScores) -> dict[str, NDArray[np.intp]]:
    """Section -> its rows in the baseline's order: by name, in a development set the anomalies after the normals."""
    sections = {clip: match[1] for clip in scores.table.clip.tolist() if (match := SECTION.match(clip))}
    unknown = [clip for clip in scores.table.clip.tolist() if clip not in sections]
    if unknown:
        raise UserError(
            f"{scores.machine}: the baseline names files by section, but {and_more(unknown, shown=1)} does not begin "
            "with section_<number>_: its files are for recordings named as in the challenge"
        )
    names = np.array(list(sections.values()))
    last = np.zeros(len(names)) if scores.evaluation else np.nan_to_num(scores.table.anomaly)
    order = np.lexsort((scores.table.clip, last, names))
    return {name: order[names[order] == name] for name in np.unique(names).tolist()}


def _name(what: str, scores: MachineScores, section: str | None) -> str:
    suffix = "_Eval" if scores.evaluation else ""
    whole = f"{what}_{DATA_SET}{scores.machine}_{'' if section is None else f'section_{section}_'}test"
    return f"{whole}_seed{scores.seed}_id(0_){suffix}{'_roc' if section is None else ''}.csv"


def csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells; no clip name has a comma or quote that CSV would have to escape (dataset/clip_name.py)."""
    return "".join(",".join(row) + "\n" for row in rows).encode()


def _result(
    table: ScoreTable, values: NDArray[np.float64], decisions: NDArray[np.int64], sections: dict[str, NDArray[np.intp]]
) -> bytes:
    domains = list(DOMAINS) if all((table.domain == domain).any() for domain in DOMAINS) else []
    suffixes = [f" ({domain})" for domain in domains]
    header = [*(f"AUC{suffix}" for suffix in suffixes or [""]), "pAUC", *(f"pAUC{suffix}" for suffix in suffixes)]
    header += [f"{figure}{suffix}" for figure in FIGURES for suffix in suffixes or [""]]
    rows = {
        section: _figures(values[of], table.anomaly[of], decisions[of], [table.domain[of] == d for d in domains])
        for section, of in sections.items()
    }
    all_rows = np.array(list(rows.values()))
    rows["arithmetic mean"] = all_rows.mean(axis=0).tolist()
    rows["harmonic mean"] = hmean(np.maximum(all_rows, LEAST), axis=0).tolist()
    return csv_lines([["section", *header], *([name, *map(repr, row)] for name, row in rows.items()), []])


def _figures(
    values: NDArray[np.float64],
    anomaly: NDArray[np.float64],
    decisions: NDArray[np.int64],
    domains: Sequence[NDArray[np.bool_]],
) -> list[float]:
    """The baseline's figures of a section; the AUC of a domain sets its normals against the anomalies of both.

    domains: mask (n,) of each domain, or nothing where the machine has one domain only.
    """
    everything = np.ones(len(values), bool)
    of = domains or [everything]
    area = [_auc(anomaly[mask | (anomaly == 1)], values[mask | (anomaly == 1)]) for mask in of]
    partial = [_auc(anomaly[mask], values[mask], MAX_FPR) for mask in (everything, *domains)]
    decided = [_decided(anomaly[mask], decisions[mask]) for mask in of]
    return [*area, *partial, *(figures[kind] for kind in range(len(FIGURES)) for figures in decided)]


def _auc(anomaly: NDArray[np.float64], values: NDArray[np.float64], max_fpr: float | None = None) -> float:
    """scikit-learn's own area, rounding included; NaN where normal or anomalous clips are missing."""
    return float(roc_auc_score(anomaly, values, max_fpr=max_fpr)) if len(set(anomaly)) == 2 else float("nan")


def _decided(anomaly: NDArray[np.float64], decisions: NDArray[np.int64]) -> tuple[float, float, float]:
    """Precision, recall and F1 score, each denominator at least LEAST; NaN where a section has no clip of a domain."""
    if not len(anomaly):
        return math.nan, math.nan, math.nan
    _, false_alarms, missed, found = confusion_matrix(anomaly, decisions, labels=[0, 1]).ravel().tolist()
    precision, recall = found / max(found + false_alarms, LEAST), found / max(found + missed, LEAST)
    return precision, recall, 2.0 * precision * recall / max(precision + recall, LEAST)
