"""Branches and systems of the configuration: settings that do not go together, weights that cannot be searched."""

import re
from collections.abc import Iterator, Mapping, Set
from math import comb
from typing import Any

from workflow_lib.config.candidates import OF_PCA, candidate_faults, grid_branches
from workflow_lib.config.faults import schema_faults, unknown_names
from workflow_lib.config.schema import branch_kind, definition
from workflow_lib.protocols import has_searched_weights, possible_protocols, weighted_by_pseudo_anomalies

MAX_GRID_POINTS = 2_000_000


def branch_faults(config: Mapping[str, Any], unsound: Set[str]) -> Iterator[str]:
    """Faults of all branches but those of unsound models."""
    branches, models = config["branches"], config["models"]
    adapted = {name for name, model in models.items() if model["kind"] == "adapted"}
    of_adapted = {name for name, branch in branches.items() if "model" in branch and branch["model"] in adapted}
    for name, branch in branches.items():
        if "model" in branch and branch["model"] in unsound:
            continue
        place = f"branches.{name}"
        faults = list(_settings_faults(place, branch, models) or candidate_faults(name, branches, of_adapted))
        if not faults:
            place = f"{place}.candidates"
            of_points = (_settings_faults(place, point, models) for point in grid_branches(name, branch).values())
            nested = re.compile(rf"^{re.escape(place)}\.(conditioning|scorer)\.")
            faults = [nested.sub(f"{place}.", fault) for found in of_points for fault in found]
        yield from dict.fromkeys(faults)


def _settings_faults(place: str, branch: Mapping[str, Any], models: Mapping[str, Any]) -> list[str]:
    if branch_kind(branch, models) != "embedding":
        return []
    return [
        *_view_faults(place, branch, models[branch["model"]]),
        *_conditioning_faults(f"{place}.conditioning", branch["conditioning"]),
        *_scorer_faults(f"{place}.scorer", branch["scorer"]),
    ]


def _conditioning_faults(place: str, conditioning: Mapping[str, Any]) -> Iterator[str]:
    if conditioning.get("covariance"):
        return
    if missing := [key for key in OF_PCA if key not in conditioning]:  # a grid goes from a covariance to PCA
        yield f"{place}.covariance: null needs {', '.join(missing)}: add {'it' if len(missing) == 1 else 'them'}"
    elif conditioning["whiten"] and conditioning["components"] is None:
        yield f"{place}.whiten: whitening needs components: write a number there, or whiten: false"


def _view_faults(place: str, branch: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    if "head" in branch["view"]:
        if model["kind"] != "adapted":
            return [f"{place}.view: {branch['model']} has no head: use near, far or near-far, or an adapted model"]
        return [] if branch["view"] == ["head"] else [f"{place}.view: head must be the only view: write [head]"]
    if not model["blocks"]:
        return [f"{place}.block: {branch['model']} has no blocks: leave it out"] if "block" in branch else []
    if unknown := [name for name in branch["statistics"] if name not in ("mean", "std")]:
        of_tokens = f"{', '.join(unknown)}: only of the encoder logmel"
        return [f"{place}.statistics: {of_tokens}: use mean and std, the statistics of an encoder's tokens"]
    if "block" in branch and branch["block"] in model["blocks"]:
        return []
    store = f"models.{branch['model']}.blocks"
    what = f"{store} has no block {branch['block']}" if "block" in branch else "missing"
    return [f"{place}.block: {what}: write one of {', '.join(map(str, model['blocks']))}, or add it there"]


def _scorer_faults(place: str, scorer: Mapping[str, Any]) -> Iterator[str]:
    faults = schema_faults(scorer, definition(f"{scorer['kind']}_scorer"), place)
    if faults:  # of a grid, which may name the keys of every scorer
        yield from faults
    elif scorer.get("banks") == "pooled" and isinstance(scorer["k"], list) and len(set(scorer["k"])) > 1:
        yield f"{place}.k: {scorer['k']}: one bank of both domains has one number of neighbours: write {scorer['k'][0]}"


def system_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Faults of all systems."""
    for name, system in config["systems"].items():
        place, branches = f"systems.{name}", system["branches"]
        yield from unknown_names(f"{place}.branches", "branch", branches, config["branches"])
        possible = possible_protocols("system", system)
        if impossible := [protocol for protocol in system["protocols"] or () if protocol not in possible]:
            why = "its weights are chosen" if has_searched_weights(system) else "its calibration is of other machines"
            why = "its weights are fixed" if "weights" in system else why
            why = "it is of each machine alone" if weighted_by_pseudo_anomalies(system) else why
            yield f"{place}.protocols: {', '.join(impossible)}: {why}: write some of {', '.join(possible)}"
        searched = "weights" not in system and system["search"] == "grid"
        if system["shrink"] not in (0, [0]) and not searched:
            yield f"{place}.shrink: it shrinks the weights of `search: grid`: leave it out, or search so"
        if weighted_by_pseudo_anomalies(system) and system["calibration"] != "normal":
            yield f"{place}.calibration: `search: pseudo` needs no other machine: write normal, or leave it out"
        yield from _step_faults(f"{place}.step", system["step"], len(branches), searched)
        if "weights" not in system:
            continue
        if set(system["weights"]) != set(branches):
            yield f"{place}.weights: name each branch of the system once: {', '.join(branches)}"
        elif abs((total := sum(system["weights"].values())) - 1) > 1e-9:
            yield f"{place}.weights: they sum to {total:g}: make them sum to 1"


def _step_faults(place: str, step: float, n_branches: int, searched: bool) -> Iterator[str]:
    def points(n_steps: int) -> int:
        return comb(n_branches - 1 + n_steps, n_branches - 1)

    n_steps = round(1 / step)
    if abs(n_steps * step - 1) > 1e-9:
        yield f"{place}: 1 is no multiple of {step:g}: write 0.1, 0.05, 0.2, 0.25 or 0.5"
    elif searched and points(n_steps) > MAX_GRID_POINTS:
        fitting = next(n for n in (50, 20, 10, 5, 4, 2, 1) if n < n_steps and points(n) <= MAX_GRID_POINTS)
        what = f"{points(n_steps):,} combinations of weights, at most {MAX_GRID_POINTS:,} can be tried"
        yield f"{place}: {step:g} gives {what}: write {1 / fitting:g}"
