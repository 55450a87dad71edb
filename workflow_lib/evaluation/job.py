"""All tables of a suite, written into one folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_lib.csv_rows import cells, write_rows
from workflow_lib.evaluation.evidence_rows import TABLES, TrainingRow, ValidationRow
from workflow_lib.evaluation.figures import choice_rows, metric_rows, ranking_rows, weight_rows
from workflow_lib.evaluation.inputs import Evidence
from workflow_lib.evaluation.labelled_entries import read_entries
from workflow_lib.evaluation.provenance import clip_rows, log_rows, model_rows, note_rows, scored_clip_rows
from workflow_lib.evaluation.uncertainty import seed_rows, uncertainty_rows


def write_tables(evidence: Evidence, folder: Path) -> None:
    """Write all tables of a suite into a new folder."""
    folder.mkdir(parents=True)
    entries, labels = read_entries(evidence.evaluations)
    judged = entries if evidence.labelled else []
    machines, official = metric_rows(judged)
    uncertainty, differences, not_compared = uncertainty_rows(judged, evidence.bootstrap)
    rows: dict[str, Iterable[Any]] = {
        "machines": machines,
        "official": official,
        "uncertainty": uncertainty,
        "differences": differences,
        "seeds": seed_rows(judged),
        "ranking": ranking_rows(entries),
        "weights": weight_rows(evidence.folds, evidence.evaluations),
        "choices": choice_rows(evidence.folds),
        "clips": clip_rows(evidence) if evidence.manifests else scored_clip_rows(evidence.suite, labels),
        "models": model_rows(evidence),
        "notes": sorted([*note_rows(evidence), *not_compared], key=cells),
        "training": log_rows(evidence, "training_log.csv", TrainingRow),
        "validation": log_rows(evidence, "validation.csv", ValidationRow),
    }
    for name, lines in rows.items():
        write_rows(folder / f"{name}.csv", TABLES[name], lines)
