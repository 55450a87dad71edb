"""Weights by a grid on the simplex: Omega of every grid point at once, by ranks (paper, section 2.4)."""

import logging
from collections.abc import Mapping
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from workflow_lib.errors import UserError
from workflow_lib.metrics import blocks, column_metrics
from workflow_lib.scoring.score_table import AlignedScores

log = logging.getLogger(__name__)

BETTER_BY = 1e-12  # a later grid point wins only if it is better by more than this
FUSED_ELEMENTS = 1 << 18  # fused scores held at once: bounds the memory of a fine grid


def simplex_grid(n_branches: int, step: float = 0.1) -> NDArray[np.float64]:
    """All non-negative weights with sum 1 in multiples of step, in lexicographic order: (g, n_branches) float64.

    Weights are whole numbers over 1 / step, the nearest float64 of each fraction. UserError if step does not divide 1.
    """
    n_steps = round(1 / step) if 0 < step <= 1 else 0
    if not n_steps or abs(n_steps * step - 1) > 1e-9:
        raise UserError(f"the grid step is {step}: it must divide 1 without remainder, as 0.1 and 0.05 do")
    if n_branches < 1:
        raise UserError("a weight grid needs at least one branch")
    # Stars and bars: every choice of n - 1 bars is one point, and combinations come in the points' order.
    n_bars, n_places = n_branches - 1, n_steps + n_branches - 1
    bars = np.empty((comb(n_places, n_bars), n_branches + 1), dtype=np.int64)
    bars[:, 0], bars[:, -1] = -1, n_places
    if n_bars:
        bars[:, 1:-1] = np.array(list(combinations(range(n_places), n_bars)))
    return (np.diff(bars, axis=1) - 1) / n_steps


def fused(levels: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels (b, n) and weights (g, b) -> fused scores (g, n).

    Added branch by branch and not by `@`: clips with equal levels must get equal sums to the last bit, to tie.
    """
    total = np.zeros((len(weights), levels.shape[1]))
    for points in blocks(*total.shape):
        for weight, level in zip(weights[points].T, levels, strict=True):
            total[points] += weight[:, None] * level
    return total


def grid_scores(machines: Mapping[str, AlignedScores], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Omega of every grid point over the defined figures of machines with calibrated scores and known labels: (g,)."""
    return omega_of({machine: machine_figures(machine, scores, grid) for machine, scores in machines.items()})


def machine_figures(machine: str, scores: AlignedScores, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Source AUC, target AUC and pAUC of a machine at every grid point (g, b): (3, g); warns of undefined ones."""
    figures = np.empty((3, len(grid)))
    for points in blocks(len(grid), len(scores.clip), FUSED_ELEMENTS):
        fused_scores = fused(scores.score, grid[points])
        figures[:, points] = column_metrics(fused_scores.T, scores.anomaly, scores.domain)
    for name, figure in zip(("source AUC", "target AUC", "pAUC"), figures, strict=True):
        if np.isnan(figure).any():  # by the labels alone, hence at all grid points
            log.warning("%s: its test clips define no %s, which stays out of the choice of weights", machine, name)
    return figures


def omega_of(figures: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Harmonic mean over all defined figures of machines, (3, g) each: (g,); UserError where none is defined."""
    defined = [figure for of_machine in figures.values() for figure in of_machine if not np.isnan(figure).any()]
    if not defined:
        raise UserError(f"no figure is defined on {', '.join(figures)}: weights need normal and anomalous test clips")
    inverse_sum = np.zeros_like(defined[0])
    for figure in defined:
        with np.errstate(divide="ignore"):  # a figure of 0 makes the harmonic mean 0
            inverse_sum += 1.0 / figure
    return len(defined) / inverse_sum


def first_best(omega: NDArray[np.float64]) -> int:
    """Index of the best point; a later one wins only if better by more than BETTER_BY."""
    best = 0
    for point, value in enumerate(omega.tolist()):
        if value > omega[best] + BETTER_BY:
            best = point
    return best
