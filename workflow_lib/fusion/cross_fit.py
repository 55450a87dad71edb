"""Fusion of branches: robust sigmoids and simplex weights, for all machines or cross-fitted (paper, Eq. 4).

Weights are chosen by the grid (`weight_grid`) or by a linear program (`linear_program`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workflow_lib.errors import UserError, nearest
from workflow_lib.fusion.calibration import RobustSigmoid, calibrated, fit_calibration
from workflow_lib.fusion.linear_program import auc_cells, program_weights
from workflow_lib.fusion.weight_grid import first_best, fused, grid_scores, simplex_grid
from workflow_lib.metrics import MachineMetrics, official_score
from workflow_lib.scoring.result import Result, known_protocol, one_protocol
from workflow_lib.scoring.score_table import AlignedScores, ScoreTable, align_branches

SEARCHES = ("grid", "linear_program")  # how weights are chosen
FIXED = "fixed"  # weights that were given, not chosen

Tables = Mapping[str, Mapping[str, Any]]  # machine -> branch -> score table


@dataclass(frozen=True)
class Fusion:
    """Weights and calibration chosen on `machines`; `selection_score` is Omega of the fused score on them.

    `search` is how the weights were chosen ("fixed": they were given), `step` the step of the grid, None without one.
    """

    branches: tuple[str, ...]
    weights: dict[str, float]
    calibration: dict[str, RobustSigmoid]
    selection_score: float
    step: float | None
    machines: tuple[str, ...]
    search: str = "grid"
    protocol: str = "complete_dev"

    def apply(self, tables: Mapping[str, Any], machine: str = "machine") -> ScoreTable:
        """Fused scores of one machine (tables: branch -> score table), labelled or not; its name is for messages."""
        scores = align_branches(tables, self.branches, machine)
        weights = np.array([[self.weights[branch] for branch in self.branches]])
        return scores.with_score(fused(calibrated(scores, self.calibration), weights)[0])

    def result(self, tables: Tables, name: str, seed: str = "") -> Result:
        """The fused scores of machines (machine -> branch -> score table) as a result of the fusion's protocol.

        UserError where a fold's fusion is to judge a machine that chose it: that would be another protocol's figure.
        """
        chose = [machine for machine in tables if machine in self.machines]
        if self.protocol != "complete_dev" and chose:
            raise UserError(
                f"{name}: {', '.join(chose)} chose this fusion and cannot be judged by it under {self.protocol}: give "
                "the held-out machine, or fit under complete_dev"
            )
        scored = {machine: self.apply(of_machine, machine) for machine, of_machine in tables.items()}
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
        """Calibration of the other machines' pooled test scores."""
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
) -> Fusion:
    """Calibrate on all machines given and choose weights on them.

    tables: machine -> branch -> score table (`ScoreTable.from_any`), every clip labelled. search: "grid", the point of
    the highest Omega (`step` wide), or "linear_program", the least pairwise ranking loss (`program_weights`). weights:
    by branch, to be kept; the machines then give the calibration alone. protocol: given all machines this is the
    complete-development fusion; a fold names its own. Figures that a machine's clips do not define are left out of the
    choice, with a warning. UserError: no machine, tables that do not fit together, unknown labels.
    """
    return _fit(_aligned_machines(tables, branches), step, search, known_protocol(protocol), weights)


def _fit(
    machines: Mapping[str, AlignedScores],
    step: float,
    search: str,
    protocol: str,
    given: Mapping[str, float] | None = None,
) -> Fusion:
    branches = next(iter(machines.values())).branches
    calibration = fit_calibration(machines, branches)
    levels = {}
    for machine, scores in machines.items():
        scores.with_score(scores.score[0]).check_labels()
        levels[machine] = replace(scores, score=calibrated(scores, calibration))
    weights, omega = _choose(levels, step, search, given)
    search = FIXED if given else search
    return Fusion(
        branches=branches,
        weights=weights,
        calibration=calibration,
        selection_score=omega,
        step=step if search == "grid" else None,
        machines=tuple(machines),
        search=search,
        protocol=protocol,
    )


def cross_fit(
    tables: Tables,
    branches: Sequence[str],
    step: float = 0.1,
    *,
    held_out_tables: Tables | None = None,
    search: str = "grid",
    folds: Mapping[str, str] | None = None,
) -> CrossFit:
    """Hold out each machine in turn: calibration and weights come from the others only (leakage rule 2).

    tables: machine -> branch -> score table, as selection machine; held_out_tables: the same as held-out machine, where
    those scores differ (a branch whose model must not have seen the machine); by default the same tables.
    search: as in `fit_fusion`. folds: machine -> fold; machines of one fold are held out together (config `folds`), by
    default each is a fold of its own. `nested_lomo`, whose selection tables differ by fold, is `fit_fusion` and
    `Fusion.result` for each.
    """
    if len(tables) < 2:
        raise UserError(f"cross-fitting needs at least two labelled machines; there is {', '.join(tables) or 'none'}")
    held_out_tables = tables if held_out_tables is None else held_out_tables
    if missing := [machine for machine in tables if machine not in held_out_tables]:
        raise UserError(f"no held-out score tables of {', '.join(missing)}")
    machines = _aligned_machines(tables, branches)
    fold_of = {machine: machine if folds is None else folds[machine] for machine in machines}
    if len(set(fold_of.values())) < 2:
        raise UserError("cross-fitting needs at least two folds; all machines are in one: smaller folds (folds.size)")
    fusions = {}
    for fold in dict.fromkeys(fold_of.values()):
        selection = {machine: scores for machine, scores in machines.items() if fold_of[machine] != fold}
        fusions[fold] = _fit(selection, step, search, "cross_fitted")
    judged = {m: fusions[fold].apply(held_out_tables[m], m) for m, fold in fold_of.items()}
    return CrossFit({m: Fold(m, fusions[fold_of[m]], table, table.metrics()) for m, table in judged.items()})


def _choose(
    levels: Mapping[str, AlignedScores], step: float, search: str, given: Mapping[str, float] | None
) -> tuple[dict[str, float], float]:
    """Weights by branch, given or chosen on the machines, and their Omega on the machines."""
    branches = next(iter(levels.values())).branches
    if given is None and search == "grid":
        grid = simplex_grid(len(branches), step)
        omega = grid_scores(levels, grid)
        best = first_best(omega)
        return dict(zip(branches, grid[best].tolist(), strict=True)), float(omega[best])
    if given is None:
        if search not in SEARCHES:
            raise UserError(f"there is no search {search!r} for weights: {nearest(search, SEARCHES)}")
        machines = [scores for _, scores in sorted(levels.items())]
        cells = [cell for m in machines for cell in auc_cells(m.score, m.anomaly, m.domain).values()]
        if not cells:
            raise UserError(f"no AUC is defined on {', '.join(levels)}: weights need normal and anomalous test clips")
        given = dict(zip(branches, program_weights(cells).tolist(), strict=True))
    point = np.array([[given[branch] for branch in branches]])
    return dict(given), float(grid_scores(levels, point)[0])


def _aligned_machines(tables: Tables, branches: Sequence[str]) -> dict[str, AlignedScores]:
    """Every machine's branches side by side; UserError for no machine, no branch or a branch named twice."""
    if not tables:
        raise UserError("fusion needs the score tables of at least one machine; there is none")
    if isinstance(branches, str) or not branches or len(set(branches)) != len(branches):
        raise UserError(f"fusion needs a list of different branches, not {branches!r}")
    return {machine: align_branches(of_machine, branches, machine) for machine, of_machine in tables.items()}
