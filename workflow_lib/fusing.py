"""Folds as files: score tables in, calibration and weights out as JSON; then one machine's fused scores. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workflow_lib.fusion import FIXED, Fusion, RobustSigmoid, calibrate, fit_fusion, selection_omega
from workflow_lib.score_table import ScoreTable
from workflow_lib.tables import read_scores

DEFAULT_STEP = 0.1


def fit_fold(
    paths: Sequence[str], machines: Sequence[str], system: Mapping[str, Any], protocol: str = "complete_dev"
) -> Fusion:
    """Choose calibration and weights on the selection machines; `paths` holds each machine's tables in branch order.

    Fixed weights of a system are kept; its calibration still comes from the selection machines.
    """
    branches, step = system["branches"], system.get("step", DEFAULT_STEP)
    tables = {
        machine: dict(zip(branches, map(read_scores, chunk), strict=True))
        for machine, chunk in zip(machines, _chunks(paths, len(branches)), strict=True)
    }
    if "weights" not in system:
        return fit_fusion(tables, branches, step, search=system.get("search", "grid"), protocol=protocol)
    return _fixed(tables, branches, system["weights"], protocol)


def write_fold(path: Path, fusion: Fusion, **identity: str) -> None:
    """Write a fusion as JSON with its protocol and the suite, system and held-out machine that it belongs to."""
    facts = {
        **identity,
        "protocol": fusion.protocol,
        "machines": fusion.machines,
        "branches": fusion.branches,
        "search": fusion.search,
        "step": fusion.step,
        "weights": fusion.weights,
        "calibration": {branch: vars(sigmoid) for branch, sigmoid in fusion.calibration.items()},
        "selection_omega": None if math.isnan(fusion.selection_score) else fusion.selection_score,
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_fold(path: str | Path) -> Fusion:
    """Read what `write_fold` wrote."""
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    calibration = {branch: RobustSigmoid(**values) for branch, values in facts["calibration"].items()}
    return Fusion(
        branches=tuple(facts["branches"]),
        weights=facts["weights"],
        calibration=calibration,
        selection_score=math.nan if facts["selection_omega"] is None else facts["selection_omega"],
        step=facts["step"],
        machines=tuple(facts["machines"]),
        search=facts["search"],
        protocol=facts["protocol"],
    )


def fuse_machine(paths: Sequence[str], branches: Sequence[str], fold: Sequence[str]) -> ScoreTable:
    """Fused scores of one machine; a single branch keeps its own scores, which the sigmoid could only saturate."""
    tables = dict(zip(branches, map(read_scores, paths), strict=True))
    if len(tables) == 1:
        return tables[branches[0]]
    return read_fold(fold[0]).apply(tables)


def _fixed(
    tables: Mapping[str, Mapping[str, ScoreTable]],
    branches: Sequence[str],
    weights: Mapping[str, float],
    protocol: str,
) -> Fusion:
    fusion = Fusion(
        branches=tuple(branches),
        weights=dict(weights),
        calibration=calibrate(tables, branches),
        selection_score=math.nan,
        step=None,
        machines=tuple(tables),
        search=FIXED,
        protocol=protocol,
    )
    return replace(fusion, selection_score=selection_omega(tables, fusion))


def _chunks(paths: Sequence[str], size: int) -> list[Sequence[str]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]
