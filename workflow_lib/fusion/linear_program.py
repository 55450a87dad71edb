"""Weights by a linear program: a pairwise ranking hinge on the simplex, solved with CBC through pulp."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pulp
from numpy.typing import NDArray

from workflow_lib.errors import UserError

MARGIN = 0.1  # with 1, the whole range of a calibrated score, every hinge is open and the best weights are one branch
TIGHT = 1e-9  # a cell's loss and its supporting planes agree
MAX_ROUNDS = 1000  # far above what real tables need (some ten)
DIGITS = 6  # of the weights: CBC prints eight significant ones


@dataclass(frozen=True, eq=False)
class AucPairs:
    """Clips that one official AUC pairs: anomalous (b, n) of both domains, normal (b, m) of one; calibrated levels."""

    anomalous: NDArray[np.float64]
    normal: NDArray[np.float64]


def auc_cells(
    levels: NDArray[np.float64], anomaly: NDArray[np.float64], domain: NDArray[np.str_]
) -> dict[str, AucPairs]:
    """Levels (b, n) and labels (n,) of a machine -> by domain the clips its AUC pairs, where there are pairs."""
    cells = {
        d: AucPairs(levels[:, anomaly == 1], levels[:, (anomaly == 0) & (domain == d)]) for d in ("source", "target")
    }
    return {d: cell for d, cell in cells.items() if cell.anomalous.size and cell.normal.size}


def program_weights(cells: Sequence[AucPairs], margin: float = MARGIN) -> NDArray[np.float64]:
    """The simplex weights (b,) of the least ranking loss; every cell, a machine's AUC, weighs alike.

    minimise   mean over cells c of  1 / |P_c|  sum over (i, j) in P_c of  xi_ij
    subject to xi_ij >= margin - sum_b w_b (g_b(i) - g_b(j)),  xi_ij >= 0,  w_b >= 0,  sum_b w_b = 1,
    where P_c are the pairs of an anomalous clip i and a normal clip j of the cell and g_b(i) is a calibrated score.

    Solved exactly without one row per pair: the sum of a cell's slacks is the maximum over sets S of its pairs of
    sum over S of (margin - ...), so the program holds one slack per cell and a row for each S that was found; rows are
    added until every slack equals its cell's loss. UserError if CBC finds no optimum.
    """
    program = pulp.LpProblem("weights", pulp.LpMinimize)
    weights = [pulp.LpVariable(f"w{b:04d}", 0, 1) for b in range(len(cells[0].normal))]
    slacks = [pulp.LpVariable(f"xi{c:04d}", 0) for c in range(len(cells))]
    program += pulp.lpSum(slacks) * (1.0 / len(cells))
    program += pulp.lpSum(weights) == 1
    planes: list[list[tuple[float, NDArray[np.float64]]]] = [[(0.0, np.zeros(len(weights)))] for _ in cells]
    for _ in range(MAX_ROUNDS):
        found = _solved(program, weights)
        loose = 0
        for cell, slack, met in zip(cells, slacks, planes, strict=True):
            constant, slope, loss = _supporting_plane(cell, found, margin)
            if loss - max(c - s @ found for c, s in met) > TIGHT:
                loose += 1
                met.append((constant, slope))
                program += slack + pulp.lpDot(slope.tolist(), weights) >= constant
        if not loose:
            return _rounded(found)
    raise UserError(f"the linear program of the weights was not solved in {MAX_ROUNDS} rounds: use `search: grid`")


def _solved(program: pulp.LpProblem, weights: Sequence[pulp.LpVariable]) -> NDArray[np.float64]:
    """The weights (b,) of the optimum, one thread and no output; UserError for any other end."""
    try:
        program.solve(pulp.PULP_CBC_CMD(msg=False, threads=1))
        status = pulp.LpStatus[program.status]
    except (pulp.PulpError, OSError) as error:
        status = str(error)
    if status != "Optimal":
        raise UserError(
            f"the linear program of the weights failed, CBC says {status!r}: check that pulp's CBC runs here, or use "
            "`search: grid`"
        )
    return np.array([weight.value() for weight in weights])


def _supporting_plane(
    cell: AucPairs, weights: NDArray[np.float64], margin: float
) -> tuple[float, NDArray[np.float64], float]:
    """(constant, slope (b,), loss): loss(w) >= constant - slope @ w for all w, equal at the given weights (b,)."""
    difference = (weights @ cell.anomalous)[:, None] - (weights @ cell.normal)[None, :]
    inside = difference < margin
    slope = (cell.anomalous @ inside.sum(axis=1) - cell.normal @ inside.sum(axis=0)) / inside.size
    constant = margin * inside.sum() / inside.size
    return float(constant), slope, float(constant - slope @ weights)


def _rounded(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (b,) to DIGITS decimals with sum 1; the largest one takes what is left."""
    rounded = np.clip(weights, 0, 1).round(DIGITS)
    largest = int(np.argmax(rounded))
    rounded[largest] = round(1 - float(np.delete(rounded, largest).sum()), DIGITS)
    return rounded
