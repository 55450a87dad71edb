"""`search: pseudo`: weights by how well each branch tells a machine's pseudo-anomalies from untouched normal clips."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from workflow_lib.fusion.cross_fit import Fusion, label_free_fusion
from workflow_lib.metrics import column_metrics
from workflow_lib.scoring.score_table import align_branches

log = logging.getLogger(__name__)

NO_BETTER = "no branch finds the pseudo-anomalies better than chance: equal weights"


@dataclass(frozen=True)
class PseudoWeights:
    """Weights (sum 1) and AUC of branches on one machine's pseudo-anomalies; note: why weights are equal, or ""."""

    weights: dict[str, float]
    auc: dict[str, float]
    normal_clips: int
    disturbed_clips: int
    note: str = ""

    def fusion(self, protocol: str = "complete_dev") -> Fusion:
        """The machine's fusion: its own normal training clips calibrate, no other machine and no test clip is read."""
        return replace(label_free_fusion(list(self.weights), self.weights, protocol), search="pseudo")


def pseudo_auc(scores: ArrayLike, anomaly: ArrayLike) -> NDArray[np.float64]:
    """AUC of several scores (b, n) of clips with labels (n,), both domains together: (b,); NaN without both labels."""
    columns = np.asarray(scores, dtype=np.float64).T
    return column_metrics(columns, anomaly, ["source"] * len(columns))[0]


def pseudo_weights(tables: Mapping[str, Any], branches: Sequence[str], machine: str = "machine") -> PseudoWeights:
    """Weights max(logit(AUC), 0)^2 of branches, made to sum to 1; tables: branch -> scores of the pseudo-anomalies.

    An AUC is kept half a pair away from 0 and 1, 1 / (2 normal clips * disturbed clips), so that its logit is finite.
    Where all are 0, or no clip is disturbed, weights are equal. UserError: tables that do not fit together.
    """
    scores = align_branches(tables, branches, machine)
    disturbed = int((scores.anomaly == 1).sum())
    normal = len(scores.anomaly) - disturbed
    auc = pseudo_auc(scores.score, scores.anomaly)
    half_pair = 0.5 / max(1, normal * disturbed)
    raw = np.maximum(logit(np.clip(np.nan_to_num(auc, nan=0.5), half_pair, 1 - half_pair)), 0) ** 2
    note = "" if raw.any() else NO_BETTER
    weights = np.full(len(raw), 1 / len(raw)) if note else raw / raw.sum()
    if note:
        log.warning("%s: %s", machine, note)
    by_branch, auc_by_branch = (dict(zip(branches, values.tolist(), strict=True)) for values in (weights, auc))
    return PseudoWeights(by_branch, auc_by_branch, normal, disturbed, note)
