"""Fusion of branches: robust sigmoids and simplex weights, for all machines or cross-fitted (paper, Eq. 4)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from workflow_lib.errors import UserError
from workflow_lib.metrics import MachineMetrics, blocks, column_metrics, official_score
from workflow_lib.score_table import BranchScores, ScoreTable, align_branches

log = logging.getLogger(__name__)

BETTER_BY = 1e-12  # a later grid point wins only if it is better by more than this
FUSED_ELEMENTS = 1 << 18  # fused scores held at once: bounds the memory of a fine grid

Tables = Mapping[str, Mapping[str, Any]]  # machine -> branch -> score table, or machine -> BranchScores


@dataclass(frozen=True)
class RobustSigmoid:
    """g_b of Eq. 4: 1 / (1 + exp(-(a - median) / iqr)).

    With an interquartile range of 0 it is the limit of the formula: 0 below the median, 0.5 at it, 1 above it.
    """

    median: float
    iqr: float

    @classmethod
    def fit(cls, scores: ArrayLike) -> "RobustSigmoid":
        """Median and interquartile range (linear interpolation) of finite scores of any shape; UserError if none."""
        scores = np.asarray(scores, dtype=np.float64).ravel()
        if not scores.size or not np.isfinite(scores).all():
            raise UserError("calibration needs at least one score and only finite ones: check the score tables")
        lower, median, upper = np.percentile(scores, (25, 50, 75))
        return cls(float(median), float(upper - lower))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores of any shape -> the same shape in [0, 1]; a score's result does not depend on the others."""
        offset = np.asarray(scores, dtype=np.float64) - self.median
        if self.iqr == 0:
            return np.heaviside(offset, 0.5)
        with np.errstate(over="ignore"):  # a vast offset over a tiny range saturates
            return expit(offset / self.iqr)


@dataclass(frozen=True)
class Fusion:
    """Weights and calibration chosen on `machines`; `selection_score` is Omega of the fused score on them."""

    branches: tuple[str, ...]
    weights: dict[str, float]
    calibration: dict[str, RobustSigmoid]
    selection_score: float
    step: float
    machines: tuple[str, ...]

    def apply(self, tables: Mapping[str, Any], machine: str = "machine") -> ScoreTable:
        """Fused scores of one machine (tables: branch -> score table), labelled or not; its name is for messages."""
        scores = _aligned(tables, self.branches, machine)
        weights = np.array([[self.weights[branch] for branch in self.branches]])
        return scores.with_score(_fused(_levels(scores, self.calibration), weights)[0])


@dataclass(frozen=True)
class Fold:
    """One machine scored by a fusion that was chosen without it."""

    machine: str
    fusion: Fusion
    table: ScoreTable
    metrics: MachineMetrics

    @property
    def weights(self) -> dict[str, float]:
        """Weights chosen on the other machines."""
        return self.fusion.weights

    @property
    def calibration(self) -> dict[str, RobustSigmoid]:
        """Calibration of the other machines' pooled test scores."""
        return self.fusion.calibration

    @property
    def selection_score(self) -> float:
        """Omega of the chosen weights on the other machines."""
        return self.fusion.selection_score


@dataclass(frozen=True)
class CrossFit:
    """All folds, by held-out machine."""

    folds: dict[str, Fold]

    @property
    def score(self) -> float:
        """Cross-fitted Omega: harmonic mean over all held-out machines' three figures."""
        return official_score([fold.metrics for fold in self.folds.values()])


def simplex_grid(n_branches: int, step: float = 0.1) -> NDArray[np.float64]:
    """All non-negative weights with sum 1 in multiples of step, in lexicographic order: (g, n_branches) float64.

    Weights are whole numbers over 1 / step, the nearest float64 of each fraction. UserError if step does not divide 1.
    """
    n_steps = round(1 / step) if 0 < step <= 1 else 0
    if not n_steps or abs(n_steps * step - 1) > 1e-9:
        raise UserError(f"the grid step is {step}: it must divide 1 without remainder, as 0.1 and 0.05 do")
    if n_branches < 1:
        raise UserError("a weight grid needs at least one branch")
    # Every choice of n - 1 bars among the stars and bars is one point, and combinations come in the points' order.
    n_bars, n_places = n_branches - 1, n_steps + n_branches - 1
    bars = np.empty((comb(n_places, n_bars), n_branches + 1), dtype=np.int64)
    bars[:, 0], bars[:, -1] = -1, n_places
    if n_bars:
        bars[:, 1:-1] = np.array(list(combinations(range(n_places), n_bars)))
    return (np.diff(bars, axis=1) - 1) / n_steps


def calibrate(tables: Tables, branches: Sequence[str]) -> dict[str, RobustSigmoid]:
    """Sigmoid of each branch from the pooled scores of all machines given; labels are not looked at."""
    return _calibrate(_aligned_machines(tables, branches), branches)


def fit_fusion(tables: Tables, branches: Sequence[str], step: float = 0.1) -> Fusion:
    """Calibrate on all machines given and choose the grid weights of the highest Omega on them.

    tables: machine -> branch -> score table (`ScoreTable.from_any`), every clip labelled. Given all machines this is
    the complete-development fusion, given all but one a fold's. Figures that a machine's clips do not define are left
    out of Omega here, with a warning. UserError: no machine, tables that do not fit together, unknown labels.
    """
    machines = _aligned_machines(tables, branches)
    calibration = _calibrate(machines, branches)
    grid = simplex_grid(len(branches), step)
    omega = _grid_scores(machines, calibration, grid)
    best = _first_best(omega)
    weights = dict(zip(branches, grid[best].tolist(), strict=True))
    return Fusion(tuple(branches), weights, calibration, float(omega[best]), step, tuple(machines))


def fit_fold(
    selection: Tables, held_out: Mapping[str, Any], machine: str, branches: Sequence[str], step: float
) -> Fold:
    """Choose the fusion on the selection machines alone, then score and measure the held-out machine's tables."""
    if machine in selection:
        raise UserError(f"{machine} is held out and cannot be a selection machine as well")
    fusion = fit_fusion(selection, branches, step)
    table = fusion.apply(held_out, machine)
    return Fold(machine, fusion, table, table.metrics())


def cross_fit(
    tables: Tables, branches: Sequence[str], step: float = 0.1, *, held_out_tables: Tables | None = None
) -> CrossFit:
    """Hold out each machine in turn: calibration and weights come from the others only (leakage rule 2).

    tables: machine -> branch -> score table, as selection machine; held_out_tables: the same as held-out machine, where
    those scores differ (a branch whose model must not have seen the machine); by default the same tables.
    """
    if len(tables) < 2:
        raise UserError(f"cross-fitting needs at least two labelled machines; there is {', '.join(tables) or 'none'}")
    held_out_tables = tables if held_out_tables is None else held_out_tables
    missing = [machine for machine in tables if machine not in held_out_tables]
    if missing:
        raise UserError(f"no held-out score tables of {', '.join(missing)}")
    machines = _aligned_machines(tables, branches)
    folds = {}
    for machine in machines:
        selection = {other: scores for other, scores in machines.items() if other != machine}
        folds[machine] = fit_fold(selection, held_out_tables[machine], machine, branches, step)
    return CrossFit(folds)


def _aligned_machines(tables: Tables, branches: Sequence[str]) -> dict[str, BranchScores]:
    """Every machine's branches side by side; UserError for no machine, no branch or a branch named twice."""
    if not tables:
        raise UserError("fusion needs the score tables of at least one machine; there is none")
    if isinstance(branches, str) or not branches or len(set(branches)) != len(branches):
        raise UserError(f"fusion needs a list of different branches, not {branches!r}")
    return {machine: _aligned(of_machine, branches, machine) for machine, of_machine in tables.items()}


def _aligned(tables: Mapping[str, Any] | BranchScores, branches: Sequence[str], machine: str) -> BranchScores:
    """Branches side by side, aligned now unless they already are."""
    if isinstance(tables, BranchScores) and tables.branches == tuple(branches):
        return tables
    return align_branches(tables, branches, machine)


def _calibrate(machines: Mapping[str, BranchScores], branches: Sequence[str]) -> dict[str, RobustSigmoid]:
    """Sigmoid of each branch from the pooled scores."""
    pooled = np.concatenate([scores.score for scores in machines.values()], axis=1)
    calibration = {branch: RobustSigmoid.fit(scores) for branch, scores in zip(branches, pooled, strict=True)}
    for branch, sigmoid in calibration.items():
        if sigmoid.iqr == 0:
            log.warning(
                "%s: half of the scores are equal (interquartile range 0); it enters the fusion as a step", branch
            )
    return calibration


def _levels(scores: BranchScores, calibration: Mapping[str, RobustSigmoid]) -> NDArray[np.float64]:
    """Calibrated scores (branches, n)."""
    return np.stack([calibration[branch](row) for branch, row in zip(scores.branches, scores.score, strict=True)])


def _fused(levels: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels (b, n) and weights (g, b) -> fused scores (g, n).

    Added branch by branch and not by `@`: clips with equal levels must get equal sums to the last bit, to tie.
    """
    fused = np.zeros((len(weights), levels.shape[1]))
    for points in blocks(*fused.shape):
        for weight, level in zip(weights[points].T, levels, strict=True):
            fused[points] += weight[:, None] * level
    return fused


def _grid_scores(
    machines: Mapping[str, BranchScores], calibration: Mapping[str, RobustSigmoid], grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Omega of every grid point over the machines' defined figures: (g,)."""
    n_figures, inverse_sum = 0, np.zeros(len(grid))
    for machine, scores in machines.items():
        for figure in _defined_figures(machine, scores, _levels(scores, calibration), grid):
            n_figures += 1
            with np.errstate(divide="ignore"):  # a figure of 0 makes the harmonic mean 0
                inverse_sum += 1.0 / figure
    if not n_figures:
        raise UserError(f"no figure is defined on {', '.join(machines)}: weights need normal and anomalous test clips")
    return n_figures / inverse_sum


def _defined_figures(
    machine: str, scores: BranchScores, levels: NDArray[np.float64], grid: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """The figures (g,) of one machine that its labels define, for all grid points."""
    scores.with_score(scores.score[0]).metrics()  # complains of unknown labels by clip name
    figures = np.empty((3, len(grid)))
    for points in blocks(len(grid), levels.shape[1], FUSED_ELEMENTS):
        fused = _fused(levels, grid[points])
        figures[:, points] = column_metrics(fused.T, scores.anomaly, scores.domain).figures
    for name, figure in zip(("source AUC", "target AUC", "pAUC"), figures, strict=True):
        if np.isnan(figure).any():  # depends on the labels alone, so on all grid points alike
            log.warning("%s: its test clips define no %s, which stays out of the choice of weights", machine, name)
        else:
            yield figure


def _first_best(omega: NDArray[np.float64]) -> int:
    """Index of the best point; a later one wins only if better by more than BETTER_BY."""
    best = 0
    for point, value in enumerate(omega.tolist()):
        if value > omega[best] + BETTER_BY:
            best = point
    return best
