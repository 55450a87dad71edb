"""Candidate settings of a branch: what `nested_lomo` chooses among on the selection machines.

`branches.<name>.candidates` is a list of other branches, or a grid of settings. Each point of a grid becomes a branch
of its own here, so that its scores are made, stored and traced as any other's.
"""

from collections.abc import Iterator, Mapping, Set
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any

from workflow_lib.config.faults import unknown_names

MAX_CANDIDATES = 100  # of one branch: each is scored on every machine of every fold
OF_PCA = ("standardise", "components", "whiten")
IN_CONDITIONING = (*OF_PCA, "covariance")
AT_TOP = ("block", "view", "statistics")  # every other key is the scorer's


def with_candidates(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with defaults, with a branch for each point of a grid: all `candidates` are lists of branches.

    The new branches have no defaults for what their grid changes.
    """
    branches: dict[str, Any] = {}
    derived: dict[str, Any] = {}
    for name, branch in config["branches"].items():
        points = grid_branches(name, branch)
        derived |= points
        listed = points if isinstance(branch["candidates"], Mapping) else branch["candidates"]
        branches[name] = {**branch, "candidates": list(listed)}
    return {**config, "branches": {**branches, **derived}}


def grid_branches(name: str, branch: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Derived branches of a grid, by name, without the point that the branch itself is; none for a list of names."""
    grid = branch["candidates"]
    if not isinstance(grid, Mapping):
        return {}
    plain = {key: value for key, value in branch.items() if key not in ("candidates", "protocols")}
    points: dict[str, dict[str, Any]] = {}
    for values in product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        derived = _with_settings(plain, point)
        if derived != plain and derived not in points.values():
            points[f"{name}.{'.'.join(f'{key}-{_word(value)}' for key, value in point.items())}"] = derived
    return points


def _with_settings(branch: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    derived = deepcopy(dict(branch))
    for key, value in point.items():
        if key in AT_TOP:
            derived[key] = value
        else:
            derived["conditioning" if key in IN_CONDITIONING else "scorer"][key] = value
    if (conditioning := derived.get("conditioning")) and conditioning.get("covariance"):
        derived["conditioning"] = {"covariance": conditioning["covariance"]}  # it takes the place of the others
    elif conditioning:
        conditioning.pop("covariance", None)
    if derived["scorer"]["kind"] == "mse":
        derived["scorer"] = {"kind": "mse"}  # reading and shrinkage are of the Mahalanobis score only
    return derived


def _word(value: object) -> str:
    """A value as part of a branch's name, which becomes part of file names."""
    if isinstance(value, list):
        return "_".join(map(_word, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)


def candidate_faults(name: str, branches: Mapping[str, Any], adapted: Set[str]) -> Iterator[str]:
    """Faults of a branch's candidates; `adapted`: branches of adapted models."""
    place, listed = f"branches.{name}.candidates", branches[name]["candidates"]
    count = prod(map(len, listed.values())) if isinstance(listed, Mapping) else len(listed)
    if count >= MAX_CANDIDATES:
        yield f"{place}: {count} candidates, at most {MAX_CANDIDATES - 1} can be tried: leave some out"
    elif isinstance(listed, Mapping):
        names = grid_branches(name, branches[name])
        if taken := [other for other in names if other in branches]:
            yield f"{place}: {', '.join(taken)} would be made of the grid and is a branch already: rename that one"
    else:
        yield from unknown_names(place, "branch", listed, branches)
        for other in listed:
            if other == name:
                yield f"{place}: {name} itself is always a candidate: leave it out"
            elif other in adapted and name not in adapted:
                what = f"{other} is of an adapted model and {name} is not"
                yield f"{place}: {what}: make {name} a candidate of {other} instead"
