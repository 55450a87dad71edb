"""Fusion of branches: calibrated scores and simplex weights, for all machines or cross-fitted (paper, Eq. 4).

Scores are calibrated as `calibration` says, weights are chosen as `weight_search` says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workflow_lib.errors import UserError, nearest
from workflow_lib.fusion.calibration import (
    CALIBRATIONS,
    RobustSigmoid,
    Scales,
    calibrated,
    fit_calibration,
    machine_levels,
    normal_scales,
)
from workflow_lib.fusion.shrinkage import Shrinkage, check_shrink, choose_share, shrunk
from workflow_lib.fusion.weight_grid import fused, grid_scores
from workflow_lib.fusion.weight_search import SEARCHES, Levels
from workflow_lib.metrics import MachineMetrics, official_score
from workflow_lib.scoring.result import Result, known_protocol, one_protocol
from workflow_lib.scoring.score_table import AlignedScores, ScoreTable, align_branches

FIXED = "fixed"  # weights that were given, not chosen

Tables = Mapping[str, Mapping[str, Any]]  # machine -> branch -> score table
Shrink = float | Sequence[float]


@dataclass(frozen=True)
class Fusion:
    """Weights and calibration chosen on `machines`; `selection_score` is Omega of the fused score on them.

    `search` is how the weights were chosen ("fixed": they were given; "none": equal), `step` the step of the grid, None
    without one. Where `calibrated_by` is "normal", each machine is calibrated by its own normal training clips when it
    is fused, and `calibration` is empty. Where no machine chose anything `machines` is empty, the selection score NaN.
    """

    branches: tuple[str, ...]
    weights: dict[str, float]
    calibration: dict[str, RobustSigmoid]
    selection_score: float
    step: float | None
    machines: tuple[str, ...]
    search: str = "grid"
    protocol: str = "complete_dev"
    calibrated_by: str = "selection"
    shrinkage: Shrinkage | None = None

    def apply(
        self, tables: Mapping[str, Any], machine: str = "machine", normal: Mapping[str, Any] | None = None
    ) -> ScoreTable:
        """Fused scores of one machine (tables: branch -> score table), labelled or not; its name is for messages.

        normal: branch -> scores of the machine's normal training clips, which `calibrated_by` "normal" needs.
        """
        scores = align_branches(tables, self.branches, machine)
        scales: Scales = self.calibration
        if self.calibrated_by == "normal":
            scales = normal_scales(normal, self.branches, machine)
        weights = np.array([[self.weights[branch] for branch in self.branches]])
        return scores.with_score(fused(calibrated(scores, scales), weights)[0])

    def result(self, tables: Tables, name: str, seed: str = "", normal: Tables | None = None) -> Result:
        """The fused scores of machines (machine -> branch -> score table) as a result of the fusion's protocol.

        normal: as in `apply`, by machine. UserError where a fold's fusion is to judge a machine that chose it: that
        would be another protocol's figure.
        """
        chose = [machine for machine in tables if machine in self.machines]
        if self.protocol != "complete_dev" and chose:
            raise UserError(
                f"{name}: {', '.join(chose)} chose this fusion and cannot be judged by it under {self.protocol}: give "
                "the held-out machine, or fit under complete_dev"
            )
        normal = normal or {}
        scored = {m: self.apply(of_machine, m, normal.get(m)) for m, of_machine in tables.items()}
        return Result("system", name, self.protocol, seed, scored)


@dataclass(frozen=True)
class Fold:
    """One machine scored by a fusion that was chosen without it."""

    machine: str
    fusion: Fusion
    table: ScoreTable
    metrics: MachineMetrics

    @property
    def protocol(self) -> str:
        """The protocol of the fold's figures."""
        return self.fusion.protocol

    @property
    def weights(self) -> dict[str, float]:
        """Weights chosen on the other machines."""
        return self.fusion.weights

    @property
    def calibration(self) -> dict[str, RobustSigmoid]:
        """Calibration of the other machines' pooled test scores; empty where a machine's own normal clips calibrate."""
        return self.fusion.calibration


@dataclass(frozen=True)
class CrossFit:
    """All folds, by held-out machine."""

    folds: dict[str, Fold]

    @property
    def score(self) -> float:
        """Cross-fitted Omega: harmonic mean over all held-out machines' three figures."""
        return official_score([fold.metrics for fold in self.folds.values()])

    @property
    def protocol(self) -> str:
        """The one protocol of all folds; UserError where they differ."""
        return one_protocol(fold.protocol for fold in self.folds.values())

    def result(self, name: str, seed: str = "") -> Result:
        """The held-out machines' fused scores as a result, to be compared with others of the same protocol."""
        tables = {machine: fold.table for machine, fold in self.folds.items()}
        return Result("system", name, self.protocol, seed, tables)


def fit_fusion(
    tables: Tables,
    branches: Sequence[str],
    step: float = 0.1,
    *,
    search: str = "grid",
    weights: Mapping[str, float] | None = None,
    protocol: str = "complete_dev",
    calibration: str | None = None,
    shrink: Shrink = 0.0,
    normal: Tables | None = None,
    folds: Mapping[str, str] | None = None,
) -> Fusion:
    """Calibrate on all machines given and choose weights on them.

    tables: machine -> branch -> score table (`ScoreTable.from_any`), every clip labelled. search: "grid", the point of
    the highest Omega (`step` wide), "linear_program", the least pairwise ranking loss (`program_weights`), or "none",
    equal weights. weights: by branch, to be kept; the machines then give the calibration alone. protocol: given all
    machines this is the complete-development fusion; a fold names its own. calibration: "selection", robust sigmoids of
    the machines' pooled test scores, or "normal", z over each machine's own normal training clips (`normal`: machine ->
    branch -> their score table); by default "normal" for "none", else "selection". shrink: share of equal weights in
    those of the grid, or several, of which the machines choose one (`choose_share`, with `folds`: machine -> fold).
    Where nothing is chosen (weights equal or given, calibration "normal") no label and no score is read. Figures that a
    machine's clips do not define are left out of the choice, with a warning. UserError: no machine, tables that do not
    fit together, unknown labels.
    """
    settings = _Settings.of(step, search, weights, calibration, shrink)
    machines = _aligned_machines(tables, branches)
    return _fit(machines, settings, known_protocol(protocol), _all_scales(settings, machines, normal), folds)


def label_free_fusion(
    branches: Sequence[str], weights: Mapping[str, float] | None = None, protocol: str = "complete_dev"
) -> Fusion:
    """Fusion that needs no label and no other machine: z over a machine's own normal clips, weights equal or given."""
    given = dict.fromkeys(branches, 1 / len(branches)) if weights is None else dict(weights)
    return Fusion(
        branches=tuple(branches),
        weights=given,
        calibration={},
        selection_score=math.nan,
        step=None,
        machines=(),
        search="none" if weights is None else FIXED,
        protocol=protocol,
        calibrated_by="normal",
    )


@dataclass(frozen=True)
class _Settings:
    """How a fusion is fitted; the arguments of `fit_fusion`, checked."""

    step: float
    search: str
    weights: Mapping[str, float] | None
    calibration: str
    shrink: Shrink

    @classmethod
    def of(
        cls, step: float, search: str, weights: Mapping[str, float] | None, calibration: str | None, shrink: Shrink
    ) -> "_Settings":
        if search not in SEARCHES:
            raise UserError(f"there is no search {search!r} for weights: {nearest(search, SEARCHES)}")
        if calibration is None:
            calibration = "normal" if search == "none" and weights is None else "selection"
        if calibration not in CALIBRATIONS:
            raise UserError(f"there is no calibration {calibration!r}: {nearest(calibration, CALIBRATIONS)}")
        check_shrink(shrink, FIXED if weights else search)
        return cls(step, search, weights, calibration, shrink)


def _all_scales(
    settings: _Settings, machines: Mapping[str, AlignedScores], normal: Tables | None
) -> dict[str, Scales] | None:
    """Each machine's scales over its own normal scores; None where the selection machines' test scores calibrate."""
    if settings.calibration != "normal":
        return None
    return {m: normal_scales((normal or {}).get(m), scores.branches, m) for m, scores in machines.items()}


def _fit(
    machines: Mapping[str, AlignedScores],
    settings: _Settings,
    protocol: str,
    scales: Mapping[str, Scales] | None,
    folds: Mapping[str, str] | None = None,
) -> Fusion:
    branches, given = next(iter(machines.values())).branches, settings.weights
    if scales is not None and (given or settings.search == "none"):
        return label_free_fusion(branches, given, protocol)
    calibration = fit_calibration(machines, branches) if scales is None else {}
    for scores in machines.values():
        scores.with_score(scores.score[0]).check_labels()
    levels = machine_levels(machines, calibration, scales)
    shrinkage = None
    if given is None:
        given, shrinkage = _choose(machines, levels, settings, scales, folds)
    search = FIXED if settings.weights else settings.search
    return Fusion(
        branches=branches,
        weights=dict(given),
        calibration=calibration,
        selection_score=float(grid_scores(levels, np.array([[given[branch] for branch in branches]]))[0]),
        step=settings.step if search == "grid" else None,
        machines=tuple(machines),
        search=search,
        protocol=protocol,
        calibrated_by=settings.calibration,
        shrinkage=shrinkage,
    )


def cross_fit(
    tables: Tables,
    branches: Sequence[str],
    step: float = 0.1,
    *,
    held_out_tables: Tables | None = None,
    search: str = "grid",
    folds: Mapping[str, str] | None = None,
    calibration: str | None = None,
    shrink: Shrink = 0.0,
    normal: Tables | None = None,
    held_out_normal: Tables | None = None,
) -> CrossFit:
    """Hold out each machine in turn: calibration and weights come from the others only (leakage rule 2).

    tables: machine -> branch -> score table, as selection machine; held_out_tables: the same as held-out machine, where
    those scores differ (a branch whose model must not have seen the machine); by default the same tables.
    search, calibration, shrink, normal: as in `fit_fusion`; held_out_normal: the normal scores as held-out machine.
    folds: machine -> fold; machines of one fold are held out together (config `folds`), by default each is a fold of
    its own. `nested_lomo`, whose selection tables differ by fold, is `fit_fusion` and `Fusion.result` for each.
    """
    if len(tables) < 2:
        raise UserError(f"cross-fitting needs at least two labelled machines; there is {', '.join(tables) or 'none'}")
    held_out_tables = tables if held_out_tables is None else held_out_tables
    held_out_normal = (normal if held_out_normal is None else held_out_normal) or {}
    if missing := [machine for machine in tables if machine not in held_out_tables]:
        raise UserError(f"no held-out score tables of {', '.join(missing)}")
    settings = _Settings.of(step, search, None, calibration, shrink)
    machines = _aligned_machines(tables, branches)
    scales = _all_scales(settings, machines, normal)
    fold_of = {machine: machine if folds is None else folds[machine] for machine in machines}
    if len(set(fold_of.values())) < 2:
        raise UserError("cross-fitting needs at least two folds; all machines are in one: smaller folds (folds.size)")
    fusions = {}
    for fold in dict.fromkeys(fold_of.values()):
        selection = {machine: scores for machine, scores in machines.items() if fold_of[machine] != fold}
        fusions[fold] = _fit(selection, settings, "cross_fitted", scales, fold_of)
    judged = {m: fusions[fold].apply(held_out_tables[m], m, held_out_normal.get(m)) for m, fold in fold_of.items()}
    return CrossFit({m: Fold(m, fusions[fold_of[m]], table, table.metrics()) for m, table in judged.items()})


def _choose(
    machines: Mapping[str, AlignedScores],
    levels: Levels,
    settings: _Settings,
    scales: Mapping[str, Scales] | None,
    folds: Mapping[str, str] | None,
) -> tuple[dict[str, float], Shrinkage | None]:
    """Weights by branch, chosen on the machines, and how far they were shrunk; None where not at all was asked for."""
    branches = next(iter(levels.values())).branches
    found = SEARCHES[settings.search](levels, settings.step)
    shrinkage, shrink = None, settings.shrink
    if not isinstance(shrink, int | float):
        shrinkage = choose_share(machines, shrink, settings.step, scales, folds)
    elif shrink:
        shrinkage = Shrinkage(float(shrink))
    if shrinkage:
        shrinkage = replace(shrinkage, grid=dict(zip(branches, found.tolist(), strict=True)))
        found = shrunk(found, shrinkage.share)
    return dict(zip(branches, found.tolist(), strict=True)), shrinkage


def _aligned_machines(tables: Tables, branches: Sequence[str]) -> dict[str, AlignedScores]:
    """Every machine's branches side by side; UserError for no machine, no branch or a branch named twice."""
    if not tables:
        raise UserError("fusion needs the score tables of at least one machine; there is none")
    if isinstance(branches, str) or not branches or len(set(branches)) != len(branches):
        raise UserError(f"fusion needs a list of different branches, not {branches!r}")
    return {machine: align_branches(of_machine, branches, machine) for machine, of_machine in tables.items()}
