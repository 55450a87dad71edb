"""Branches ranked by pseudo-anomalies: disturbed normal clips against untouched ones, without a label."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.fusion.pseudo_weights import pseudo_auc
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.simulation.pseudo import KINDS, disturbance_kind
from workflow_lib.studies.comparison import measured
from workflow_lib.studies.lookup import EvidenceLookup
from workflow_lib.studies.unmeasured_row import first_row

ALL_KINDS = "all kinds"
INDICATION = "an indication: no real fault is in it"


def pseudo_rows(settings: Mapping[str, Any], tables: EvidenceLookup) -> list[StudyRow]:
    """AUC of each branch on all pseudo-anomalies and by kind, mean over machines; beside it its Omega, if labelled."""
    rows: list[StudyRow] = []
    for row in settings["rows"]:
        number = 1 if not rows else rows[-1].row + 1
        first = replace(first_row(settings, number, row, metric="pseudo_auc"), detail=ALL_KINDS)
        if row["absent"]:
            rows.append(first)
            continue
        found = mean_auc(settings["pseudo"][row["entry"]])
        rows.append(replace(first, value=found.pop(ALL_KINDS)).with_remark(INDICATION))
        if settings["labelled"]:
            rows.append(replace(measured(settings, number, row, tables), detail=ALL_KINDS))
        for place, (kind, value) in enumerate(found.items(), 1):
            rows.append(replace(first, row=number + place, detail=kind, value=value))
    return rows


def mean_auc(paths: Mapping[str, str]) -> dict[str, float | None]:
    """Kind -> AUC of a branch, mean over the machines that have it (None: no machine); paths: machine -> score table.

    The normal clips of a machine are the same for all kinds; the first entry is that of all kinds together.
    """
    found: dict[str, list[float]] = {ALL_KINDS: []}
    for path in paths.values():
        table = read_scores(path)
        kinds = np.array([disturbance_kind(clip) for clip in table.clip.tolist()])
        for kind in (ALL_KINDS, *(kind for kind in KINDS if kind in kinds)):
            rows = np.full(len(kinds), True) if kind == ALL_KINDS else np.isin(kinds, ("", kind))
            found.setdefault(kind, []).append(float(pseudo_auc(table.score[rows][None], table.anomaly[rows])[0]))
    return {kind: None if np.isnan(values).all() else float(np.nanmean(values)) for kind, values in found.items()}
