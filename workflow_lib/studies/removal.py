"""Leave one branch out: what removing each branch of a system changes (Figure 3a)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_lib.evaluation.ablation import Ablation, leave_one_branch_out
from workflow_lib.evaluation.bootstrap import Difference, Interval, Resampling
from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.studies.comparison import filled, measured
from workflow_lib.studies.lookup import Estimate, EvidenceLookup, defined, estimate
from workflow_lib.studies.unmeasured_row import first_row


def removal_rows(settings: Mapping[str, Any], tables: EvidenceLookup) -> list[StudyRow]:
    """Ω of the whole system, then for each branch Ω without it and the change; mean and deviation over seeds."""
    (whole,), removal = settings["rows"], settings["removal"]
    first = measured(settings, 1, {**whole, "seed": ""}, tables)
    ablations = {} if whole["absent"] else _ablations(settings, whole["protocol"])
    rows = [first]
    for number, branch in enumerate(removal["branches"], 2):
        rows += _branch_rows(first_row(settings, number, {**whole, **branch}), branch["branch"], ablations, first)
    return rows


def _ablations(settings: Mapping[str, Any], protocol: str) -> dict[str, Ablation]:
    """The removals of every seed, in the order of the configuration: the first one's intervals are shown."""
    removal, found = settings["removal"], {}
    system = removal["system"]
    for seed, machines in removal["tables"].items():
        found[seed] = leave_one_branch_out(
            {machine: {b: read_scores(path) for b, path in paths.items()} for machine, paths in machines.items()},
            system["branches"],
            system["step"],
            system["search"],
            protocol=protocol,
            folds=removal["folds"],
            resampling=Resampling(**settings["bootstrap"]),
            seed=seed,
            shrink=system.get("shrink", 0.0),
        )
    return found


def _branch_rows(row: StudyRow, branch: str, ablations: Mapping[str, Ablation], whole: StudyRow) -> list[StudyRow]:
    """Ω without a branch and the change; the change alone, empty, where this run has nothing to remove."""
    change = replace(row, detail=f"without {branch}", metric="change")
    without = [ablation.without[branch] for ablation in ablations.values() if branch in ablation.without]
    if not without:
        absent = bool(ablations)
        return [change.with_remark(f"not part of this run: {row.entry} has no branch {branch}" if absent else "")]
    seed, untrained = next(iter(ablations)), whole.untrained
    omega = _figure([(one.interval.omega, one.interval) for one in without], seed, untrained)
    changed = _figure([(one.change.difference, one.change) for one in without], seed, untrained)
    changed = replace(changed, same_sign=defined(without[0].change.same_sign))
    return [filled(replace(change, metric="omega", published=None), omega), filled(change, changed)]


def _figure(pairs: Sequence[tuple[float, Interval | Difference]], first_seed: str, untrained: bool) -> Estimate:
    """Mean and sample deviation over seeds, with the interval of the first."""
    first = pairs[0][1]
    interval = {"low": defined(first.low), "high": defined(first.high)}
    return estimate([value for value, _ in pairs], first_seed, untrained=untrained, **interval)
