"""Figures over the seeds of adapted models: mean and sample standard deviation, with the number of seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from workflow_lib.errors import UserError
from workflow_lib.scoring.result import Result, one_protocol


@dataclass(frozen=True)
class OverSeeds:
    """Mean and sample standard deviation (n - 1 in the divisor) of a figure; the latter is NaN for a single seed."""

    mean: float
    sd: float
    seeds: int
    protocol: str = ""  # of the figures, where they are results of one

    def __str__(self) -> str:
        spread = "" if self.seeds < 2 else f" ± {self.sd:.4f}"
        return f"{self.mean:.4f}{spread} ({self.seeds} seed{'s' if self.seeds != 1 else ''})"


def over_seeds(figures: Sequence[float]) -> OverSeeds:
    """Summary of one figure per seed; NaN as soon as one is undefined. UserError without any."""
    if not len(figures):
        raise UserError("a mean over seeds needs the figure of at least one seed")
    values = np.asarray(figures, dtype=np.float64)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return OverSeeds(float(values.mean()), sd, len(values))


def omega_over_seeds(results: Sequence[Result]) -> OverSeeds:
    """Omega of one branch or system over its seeds; UserError for several entries, protocols, or a seed twice."""
    one_protocol(result.protocol for result in results)
    entries = sorted({f"{result.kind} {result.name}" for result in results})
    if len(entries) > 1:
        raise UserError(f"a mean over seeds is of one branch or system, not of {' and '.join(entries)}")
    seeds = [result.seed for result in results]
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise UserError(f"{entries[0]}: more than one result of seed {', '.join(s or 'none' for s in repeated)}")
    found = over_seeds([result.omega for result in sorted(results, key=lambda result: result.seed)])
    return replace(found, protocol=results[0].protocol)
