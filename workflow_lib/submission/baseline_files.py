"""The files that the official autoencoder baseline writes for one machine: scores, decisions and figures.

Names, order of the rows, line ends and the letters of the numbers are the baseline's (the golden data, section 6), so
that programs made for its results read ours. No torch.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hmean
from sklearn.metrics import confusion_matrix, roc_auc_score

from workflow_lib.errors import UserError, and_more
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.thresholds import Threshold

Score = Literal["MSE", "MAHALA"]
DATA_SET = "DCASE2026T2"  # what the baseline of 2026 puts before the name of a machine
MAX_FPR = 0.1
LEAST = np.finfo(float).eps  # the baseline's floor of values in harmonic means
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


def baseline_folder(score: Score, evaluation: bool) -> str:
    """Where the baseline puts the files of one score."""
    return f"results/{'eval' if evaluation else 'dev'}_data/baseline_{score}"


def baseline_files(scores: MachineScores) -> dict[str, bytes]:
    """File name -> content: scores, decisions, and figures where the labels of all clips are known.

    A score is rounded to single precision, in which the baseline has it. Without a threshold (its fit failed) there are
    no decisions and no figures. UserError for clips without the section in their names.
    """
    values = scores.table.score.astype(np.float32).astype(np.float64)
    decisions = None if math.isnan(scores.threshold.value) else scores.threshold.decide(values)
    sections = _sections(scores)
    files = {}
    for section, rows in sections.items():
        clips = scores.table.clip[rows]
        files[_name("anomaly_score", scores, section)] = _lines(
            zip(clips, map(repr, values[rows].tolist()), strict=True)
        )
        if decisions is not None:
            decided = zip(clips, map(str, decisions[rows].tolist()), strict=True)
            files[_name("decision_result", scores, section)] = _lines(decided)
    if decisions is not None and not np.isnan(scores.table.anomaly).any():
        files[_name("result", scores, None)] = _result(scores.table, values, decisions, sections)
    return files


def write_baseline_files(folder: Path, scores: MachineScores, score: Score) -> None:
    """Write the files of one machine below the results folder that the baseline would have."""
    for name, content in baseline_files(scores).items():
        path = folder / baseline_folder(score, scores.evaluation) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _sections(scores: MachineScores) -> dict[str, NDArray[np.intp]]:
    """Section -> its rows in the baseline's order: by name, in a development set the anomalies behind the normals."""
    found = [SECTION.match(clip) for clip in scores.table.clip]
    unknown = [clip for clip, match in zip(scores.table.clip, found, strict=True) if not match]
    if unknown:
        raise UserError(
            f"{scores.machine}: the baseline names files by section, but {and_more(unknown, 1)} does not begin with "
            "section_<number>_: its files are for recordings named as the challenge does"
        )
    names = [match[1] for match in found]
    last = np.zeros(len(names)) if scores.evaluation else np.nan_to_num(scores.table.anomaly)
    order = np.lexsort((scores.table.clip, last, names))
    return {name: np.array([row for row in order if names[row] == name]) for name in sorted(set(names))}


def _name(what: str, scores: MachineScores, section: str | None) -> str:
    suffix = "_Eval" if scores.evaluation else ""
    whole = f"{what}_{DATA_SET}{scores.machine}_{'' if section is None else f'section_{section}_'}test"
    return f"{whole}_seed{scores.seed}_id(0_){suffix}{'_roc' if section is None else ''}.csv"


def _lines(rows: Iterator[tuple[str, ...]] | Sequence[Sequence[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode()


def _result(
    table: ScoreTable, values: NDArray[np.float64], decisions: NDArray[np.int64], sections: dict[str, NDArray[np.intp]]
) -> bytes:
    both = all((table.domain == domain).any() for domain in DOMAINS)
    kinds = ("AUC (source)", "AUC (target)", "pAUC", "pAUC (source)", "pAUC (target)") if both else ("AUC", "pAUC")
    domains = [f" ({domain})" for domain in DOMAINS] if both else [""]
    header = [*kinds, *(f"{figure}{domain}" for figure in FIGURES for domain in domains)]
    figures = _two_domains if both else _one_domain
    columns = (values, table.anomaly, table.domain, decisions)
    rows = {section: figures(*(column[of] for column in columns)) for section, of in sections.items()}
    all_rows = np.array(list(rows.values()))
    rows["arithmetic mean"] = list(all_rows.mean(axis=0))
    rows["harmonic mean"] = list(hmean(np.maximum(all_rows, LEAST), axis=0))
    lines = [["section", *header], *([name, *map(_number, row)] for name, row in rows.items()), []]
    return _lines(lines)


def _two_domains(
    values: NDArray[np.float64], anomaly: NDArray[np.float64], domain: NDArray[np.str_], decisions: NDArray[np.int64]
) -> list[float]:
    """The baseline's figures: the AUC of a domain sets its normals against the anomalies of both."""
    of = [domain == name for name in DOMAINS]
    area = [_auc(anomaly[mask | (anomaly == 1)], values[mask | (anomaly == 1)]) for mask in of]
    partial = [_auc(anomaly[mask], values[mask], MAX_FPR) for mask in (np.ones(len(domain), bool), *of)]
    decided = [_decided(anomaly[mask], decisions[mask]) for mask in of]
    return [*area, *partial, *(figures[kind] for kind in range(len(FIGURES)) for figures in decided)]


def _one_domain(
    values: NDArray[np.float64], anomaly: NDArray[np.float64], domain: NDArray[np.str_], decisions: NDArray[np.int64]
) -> list[float]:
    return [_auc(anomaly, values), _auc(anomaly, values, MAX_FPR), *_decided(anomaly, decisions)]


def _auc(anomaly: NDArray[np.float64], values: NDArray[np.float64], max_fpr: float | None = None) -> float:
    """scikit-learn's own area, rounding included; NaN where normal or anomalous clips are missing."""
    return float(roc_auc_score(anomaly, values, max_fpr=max_fpr)) if len(set(anomaly)) == 2 else float("nan")


def _decided(anomaly: NDArray[np.float64], decisions: NDArray[np.int64]) -> tuple[float, float, float]:
    """Precision, recall and F1 score, each denominator at least LEAST; NaN where a section has no clip of a domain."""
    if not len(anomaly):
        return (float("nan"),) * 3
    _, false_alarms, missed, found = (
        int(count) for count in confusion_matrix(anomaly, decisions, labels=[0, 1]).ravel()
    )
    precision, recall = found / max(found + false_alarms, LEAST), found / max(found + missed, LEAST)
    return precision, recall, 2.0 * precision * recall / max(precision + recall, LEAST)


def _number(value: float) -> str:
    return repr(float(value))
