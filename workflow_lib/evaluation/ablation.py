"""Leave one branch out: calibration and weights chosen anew without it, under the same protocol (paper, Figure 3a)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.evaluation.bootstrap import Difference, Interval, Resampling, resample
from workflow_lib.fusion.cross_fit import Shrink, Tables, cross_fit, fit_fusion
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_table import ScoreTable, align_branches

PROTOCOLS_OF_TABLES = ("cross_fitted", "complete_dev")


@dataclass(frozen=True, eq=False)
class WithoutBranch:
    """The system without one branch; `change` is its Omega minus that of the whole, on the same resampled clips."""

    branch: str
    result: Result
    interval: Interval
    change: Difference


@dataclass(frozen=True, eq=False)
class Ablation:
    """The whole system and, by removed branch, what is left of it; all under one protocol."""

    protocol: str
    whole: Result
    interval: Interval
    without: Mapping[str, WithoutBranch]


def leave_one_branch_out(
    tables: Tables,
    branches: Sequence[str],
    step: float = 0.1,
    search: str = "grid",
    held_out_tables: Tables | None = None,
    *,
    protocol: str = "cross_fitted",
    folds: Mapping[str, str] | None = None,
    resampling: Resampling | None = None,
    name: str = "whole",
    seed: str = "",
    shrink: Shrink = 0.0,
) -> Ablation:
    """Remove each branch in turn, choose calibration and weights anew, and measure the change of Omega.

    tables, step, search, held_out_tables, folds, shrink: as in `cross_fit`; protocol: "cross_fitted", or
    "complete_dev", where the machines that chose are the machines that are measured. name and seed are those of the
    whole system. UserError: less than two branches, another protocol, held-out tables where nothing is held out.
    """
    if isinstance(branches, str) or len(set(branches)) < 2:
        raise UserError(f"leaving one branch out needs at least two branches, not {branches!r}")
    if protocol not in PROTOCOLS_OF_TABLES:
        text = f"{' or '.join(PROTOCOLS_OF_TABLES)}, not {protocol!r}"
        raise UserError(f"leaving one branch out of score tables is possible under {text}: name one of them")
    if protocol == "complete_dev" and held_out_tables is not None:
        raise UserError("complete_dev holds no machine out: leave out the held-out tables, or name cross_fitted")
    kept = {name: tuple(branches)} | {f"{name} without {b}": tuple(x for x in branches if x != b) for b in branches}
    others: dict[str, Any] = {"held_out_tables": tables if held_out_tables is None else held_out_tables}
    others |= {"folds": folds, "shrink": shrink}
    fitted = [
        Result("system", label, protocol, seed, _scores(tables, rest, step, search, protocol, **others))
        for label, rest in kept.items()
    ]
    whole, *resampled = resample(fitted, resampling)
    without = {
        branch: WithoutBranch(branch, one.result, one.interval(), one.minus(whole))
        for branch, one in zip(branches, resampled, strict=True)
    }
    return Ablation(protocol, whole.result, whole.interval(), without)


def _scores(
    tables: Tables, branches: Sequence[str], step: float, search: str, protocol: str, **others: Any
) -> dict[str, ScoreTable]:
    """The scores by machine; a single branch keeps its own, as in the workflow: nothing is to be chosen for it."""
    if len(branches) == 1:
        sides = {machine: align_branches(others["held_out_tables"][machine], branches, machine) for machine in tables}
        return {machine: side.with_score(side.score[0]) for machine, side in sides.items()}
    if protocol == "complete_dev":
        fusion = fit_fusion(tables, branches, step, search=search, shrink=others["shrink"], folds=others["folds"])
        return {machine: fusion.apply(of_machine, machine) for machine, of_machine in tables.items()}
    crossed = cross_fit(tables, branches, step, search=search, **others)
    return {machine: fold.table for machine, fold in crossed.folds.items()}
