"""How weights are chosen on calibrated scores of machines: one function for each `search` of the configuration."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from workflow_lib.errors import UserError
from workflow_lib.fusion.linear_program import auc_cells, program_weights
from workflow_lib.fusion.weight_grid import first_best, grid_scores, simplex_grid
from workflow_lib.scoring.score_table import AlignedScores

Levels = Mapping[str, AlignedScores]  # machine -> calibrated scores of its branches, labelled


def grid_weights(levels: Levels, step: float) -> NDArray[np.float64]:
    """The point (b,) of the simplex grid of the highest Omega."""
    grid = simplex_grid(_number_of_branches(levels), step)
    return grid[first_best(grid_scores(levels, grid))]


def linear_program_weights(levels: Levels, step: float) -> NDArray[np.float64]:
    """The weights (b,) of the least pairwise ranking loss; `step` takes no part."""
    machines = [scores for _, scores in sorted(levels.items())]
    cells = [cell for m in machines for cell in auc_cells(m.score, m.anomaly, m.domain).values()]
    if not cells:
        raise UserError(f"no AUC is defined on {', '.join(levels)}: weights need normal and anomalous test clips")
    return program_weights(cells)


def equal_weights(levels: Levels, step: float) -> NDArray[np.float64]:
    """1 / b for each branch: no label and no score takes part."""
    n_branches = _number_of_branches(levels)
    return np.full(n_branches, 1 / n_branches)


# A new search is a function here, its name in the `system` of schema.yaml, and a line in docs/fusion.md.
SEARCHES: Mapping[str, Callable[[Levels, float], NDArray[np.float64]]] = {
    "grid": grid_weights,
    "linear_program": linear_program_weights,
    "none": equal_weights,
}


def _number_of_branches(levels: Levels) -> int:
    return len(next(iter(levels.values())).branches)
