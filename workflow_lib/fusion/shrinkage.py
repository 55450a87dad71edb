"""Weights of the grid shrunk towards equal ones; how far may be chosen on the selection machines alone."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workflow_lib.errors import UserError
from workflow_lib.fusion.calibration import Scales, fit_calibration, machine_levels
from workflow_lib.fusion.weight_grid import first_best, machine_figures, omega_of
from workflow_lib.fusion.weight_search import grid_weights
from workflow_lib.scoring.score_table import AlignedScores

log = logging.getLogger(__name__)

TOO_FEW = "fewer than two folds of selection machines with normal and anomalous test clips: the largest shrink is used"


@dataclass(frozen=True)
class Shrinkage:
    """How far weights were shrunk: w = (1 - share) w_grid + share / n.

    grid: w_grid by branch; omega: Omega of each share over the machines left out by the inner cross-fit, empty where
    the share was given; note: why it could not be chosen.
    """

    share: float
    grid: dict[str, float] = field(default_factory=dict)
    omega: dict[float, float] = field(default_factory=dict)
    note: str = ""


def shrunk(weights: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Weights (b,) moved towards 1 / b by a share between 0 and 1."""
    return (1 - share) * weights + share / len(weights)


def choose_share(
    machines: Mapping[str, AlignedScores],
    shares: Sequence[float],
    step: float,
    scales: Mapping[str, Scales] | None,
    folds: Mapping[str, str] | None,
) -> Shrinkage:
    """The share of highest Omega over the selection machines, each judged by the grid of the other folds.

    machines: with labels, not calibrated; scales: by machine, where each is calibrated by its own normal scores; folds:
    machine -> fold, by default each machine is one. Of shares that are equal within 1e-12 the larger one is taken.
    """
    descending = sorted({float(share) for share in shares}, reverse=True)
    judged = [machine for machine, scores in machines.items() if {0.0, 1.0} <= set(scores.anomaly.tolist())]
    fold_of = {machine: machine if folds is None else folds[machine] for machine in machines}
    names = dict.fromkeys(fold_of[machine] for machine in judged)
    if len(names) < 2:
        log.warning(TOO_FEW)
        return Shrinkage(descending[0], note=TOO_FEW)
    branches, figures = next(iter(machines.values())).branches, {}
    for fold in names:
        others = {machine: scores for machine, scores in machines.items() if fold_of[machine] != fold}
        calibration: Scales = fit_calibration(others, branches) if scales is None else {}
        grid = grid_weights(machine_levels(others, calibration, scales), step)
        points = np.stack([shrunk(grid, share) for share in descending])
        left_out = {machine: machines[machine] for machine in judged if fold_of[machine] == fold}
        for machine, levels in machine_levels(left_out, calibration, scales).items():
            figures[machine] = machine_figures(machine, levels, points)
    omega = omega_of(figures)
    return Shrinkage(descending[first_best(omega)], omega=dict(zip(descending, omega.tolist(), strict=True)))


def check_shrink(shrink: float | Sequence[float], search: str) -> None:
    """UserError for shares outside 0 to 1, an empty list, and any but 0 where no grid is searched."""
    shares = [shrink] if isinstance(shrink, int | float) else list(shrink)
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise UserError(f"shrink is {shrink}: write a number from 0 to 1, or a list of such numbers")
    if search != "grid" and shares != [0]:
        raise UserError(f"shrink is of the grid's weights and the search is {search!r}: leave it out")
