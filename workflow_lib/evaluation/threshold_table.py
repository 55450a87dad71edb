"""thresholds.csv: the decision threshold of each branch and system on each machine, from its normal training clips."""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from workflow_lib.csv_rows import cells, write_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import ThresholdRow
from workflow_lib.evaluation.labelled_entries import identity_of
from workflow_lib.fusion.fold_file import StoredFold, label_free_fold, read_fold
from workflow_lib.scoring.score_file import read_normal_scores
from workflow_lib.scoring.thresholds import Threshold, decision_threshold

OWN_SCORES = "normal scores of {} are of clips that its network was trained on"  # no self-exclusion there


def write_thresholds(
    path: Path, evaluations: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Write the thresholds of a suite.

    evaluations: the plan's, as plain values; settings: method and quantile; config: models and branches.
    """
    autoencoders = {name for name, model in config["models"].items() if model["kind"] == "autoencoder"}
    seen = {name for name, branch in config["branches"].items() if branch.get("model") in autoencoders}
    write_rows(path, ThresholdRow, sorted(_rows(evaluations, settings, seen), key=cells))


def _rows(
    evaluations: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], seen: Set[str]
) -> Iterator[ThresholdRow]:
    for evaluation in evaluations:
        for machine, paths in evaluation["normal"].items():
            fold = read_fold(evaluation["folds"][machine]) if machine in evaluation["folds"] else None
            if settings_of_system := evaluation.get("label_free"):
                fold = label_free_fold(settings_of_system)
            threshold = machine_threshold(paths, fold, machine, settings)
            own = [branch for branch in _used(paths, fold) if branch in seen]
            known = OWN_SCORES.format(", ".join(own)) if own and not math.isnan(threshold.value) else ""
            note = "; ".join(filter(None, (threshold.note, known)))
            how = (settings["method"], settings["quantile"], threshold.value, threshold.normal_clips, note)
            yield ThresholdRow(*identity_of(evaluation), machine, *how)


def machine_threshold(
    paths: Mapping[str, str], fold: StoredFold | None, machine: str, settings: Mapping[str, Any]
) -> Threshold:
    """Threshold of one machine from normal scores of its branches (candidate -> file), fused as its own fold says.

    Without a fold there is one branch, which keeps its own scores.
    """
    tables = {branch: read_normal_scores(paths[branch]) for branch in _used(paths, fold)}
    without = [branch for branch, table in tables.items() if not len(table.clip)]
    if without or not tables:
        which = f" of branch {', '.join(without)}" if without else ""
        return Threshold(float("nan"), 0, f"no normal scores{which}")
    try:
        table = next(iter(tables.values())) if fold is None else fold.apply(tables, machine, tables)
    except UserError as error:
        raise UserError(f"normal scores of {error}") from None
    return decision_threshold(table.score, settings["method"], settings["quantile"])


def _used(paths: Mapping[str, str], fold: StoredFold | None) -> list[str]:
    """The branches behind a machine's scores: in nested_lomo the candidates that its fold chose."""
    return list(paths) if fold is None else list(dict.fromkeys(c.candidate for c in fold.choices.values()))
