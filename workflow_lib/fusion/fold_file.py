"""Folds as files: score tables in, calibration and weights out as JSON; then one machine's fused scores. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_lib.fusion.candidate_choice import Candidates, Choice, choose_candidates, chosen_tables
from workflow_lib.fusion.cross_fit import FIXED, Fusion, RobustSigmoid, calibrate, fit_fusion, selection_omega
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.scoring.score_table import ScoreTable


@dataclass(frozen=True)
class StoredFold:
    """A fusion with the candidate that stands for each of its branches (a branch itself, but in nested_lomo)."""

    fusion: Fusion
    choices: Mapping[str, Choice]

    def apply(self, tables: Mapping[str, ScoreTable], machine: str) -> ScoreTable:
        """Fused scores of one machine (tables: candidate -> score table).

        A single branch keeps the scores of its chosen candidate, which the sigmoid could only saturate.
        """
        chosen = chosen_tables(tables, self.choices)
        return next(iter(chosen.values())) if len(chosen) == 1 else self.fusion.apply(chosen, machine)


def fit_fold(
    paths: Sequence[str],
    machines: Sequence[str],
    system: Mapping[str, Any],
    candidates: Candidates,
    protocol: str = "complete_dev",
) -> StoredFold:
    """Choose candidates, calibration and weights on the selection machines.

    `paths` holds each machine's tables: branch by branch, each with its candidates in order. Fixed weights of a system
    are kept; its calibration still comes from the selection machines.
    """
    names = _names(candidates)
    scored = {
        machine: dict(zip(names, map(read_scores, chunk), strict=True))
        for machine, chunk in zip(machines, _chunks(paths, len(names)), strict=True)
    }
    choices = choose_candidates(scored, candidates)
    tables = {machine: chosen_tables(of_machine, choices) for machine, of_machine in scored.items()}
    branches = system["branches"]
    if "weights" in system:
        return StoredFold(_fixed(tables, branches, system["weights"], protocol), choices)
    return StoredFold(fit_fusion(tables, branches, system["step"], search=system["search"], protocol=protocol), choices)


def write_fold(path: Path, fold: StoredFold, **identity: str) -> None:
    """Write a fold as JSON with its protocol and the suite, system and held-out machine that it belongs to."""
    fusion = fold.fusion
    facts = {
        **identity,
        "protocol": fusion.protocol,
        "machines": fusion.machines,
        "branches": fusion.branches,
        "chosen": {branch: choice.candidate for branch, choice in fold.choices.items()},
        "candidates": {branch: _finite(choice.omega) for branch, choice in fold.choices.items() if choice.omega},
        "search": fusion.search,
        "step": fusion.step,
        "weights": fusion.weights,
        "calibration": {branch: vars(sigmoid) for branch, sigmoid in fusion.calibration.items()},
        "selection_omega": None if math.isnan(fusion.selection_score) else fusion.selection_score,
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_fold(path: str | Path) -> StoredFold:
    """Read what `write_fold` wrote."""
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    calibration = {branch: RobustSigmoid(**values) for branch, values in facts["calibration"].items()}
    fusion = Fusion(
        branches=tuple(facts["branches"]),
        weights=facts["weights"],
        calibration=calibration,
        selection_score=math.nan if facts["selection_omega"] is None else facts["selection_omega"],
        step=facts["step"],
        machines=tuple(facts["machines"]),
        search=facts["search"],
        protocol=facts["protocol"],
    )
    omega = {branch: facts["candidates"].get(branch, {}) for branch in facts["chosen"]}
    return StoredFold(fusion, {b: Choice(name, omega[b]) for b, name in facts["chosen"].items()})


def fuse_machine(paths: Sequence[str], candidates: Candidates, fold: Sequence[str], machine: str) -> ScoreTable:
    """Fused scores of one machine; `paths` as in `fit_fold`; without a fold the one branch keeps its own scores."""
    tables = dict(zip(_names(candidates), map(read_scores, paths), strict=True))
    return read_fold(fold[0]).apply(tables, machine) if fold else tables[next(iter(candidates))]


def _names(candidates: Candidates) -> list[str]:
    return [name for names in candidates.values() for name in names]


def _finite(omega: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in omega.items()}


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
