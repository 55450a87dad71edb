"""From the configuration to the plan of a run, with all faults of a kind at once, one line each.

Loaded while the DAG is built, so it imports only the standard library, yaml and jsonschema.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from workflow_lib.config.candidates import with_candidates
from workflow_lib.config.checks import check_config
from workflow_lib.config.schema import with_defaults
from workflow_lib.errors import UserError
from workflow_lib.files import read_yaml
from workflow_lib.plan.paths import Paths
from workflow_lib.plan.plan import Plan
from workflow_lib.plan.suites import load_suite, pseudo_name, pseudo_suite
from workflow_lib.protocols import weighted_by_pseudo_anomalies

EARLIER = "profiles/earlier/workflow.yaml"  # suites of 2023-2025


def load_plan(config: Mapping[str, Any], defaults: Path, files: Iterable[str | Path] = ()) -> Plan:
    """Check the configuration and plan the run.

    defaults: the file that the user's own was laid over; files: all that Snakemake made the configuration from.
    Raises UserError with all faults of a kind at once, one line each.
    """
    for path in [*files, *defaults.parent.glob("profiles/*/config.yaml")]:
        with suppress(yaml.YAMLError):  # JSON may be no YAML, and Snakemake has read it
            read_yaml(Path(path))  # UserError for keys that stand twice: Snakemake keeps the last one without a word
    written = _with_named_suites(_with_run(config, defaults), defaults)
    check_config(written)
    run_suites = _chosen_suites(written, defaults)
    written = _with_wanted(written, run_suites, defaults)
    config = with_defaults(with_candidates(with_defaults(written)))
    paths = Paths(config["results"])
    needed = [s for name in run_suites for s in (name, config["suites"][name]["select_on"]) if s]
    run, branches = config["run"], config["branches"]
    wanted = {*run["branches"], *(b for s in run["systems"] for b in config["systems"][s]["branches"])}
    used = {name: branch["scores"] for name, branch in branches.items() if "scores" in branch and name in wanted}
    suites, faults = {}, []
    for name in dict.fromkeys(needed):
        try:
            suites[name] = load_suite(name, config["suites"][name], paths, used)
        except UserError as error:
            faults.append(str(error))
    faults = faults or [
        f"config: suites.{name}.select_on: suite {suite.select_on} has no labels to choose on: name a labelled one"
        for name, suite in suites.items()
        if suite.select_on and not suites[suite.select_on].labelled
    ]
    if faults:
        raise UserError("\n".join(faults))
    if any(weighted_by_pseudo_anomalies(config["systems"][system]) for system in run["systems"]):
        suites |= {pseudo_name(name): pseudo_suite(suite, paths) for name, suite in suites.items() if suite.root}
    plan = Plan(config, suites, tuple(run_suites), written)
    for name in run_suites:
        if not plan.evaluations.by_suite[name]:
            reasons = [f"suite {name}: {what} is left out: {reason}" for what, reason in plan.reported.left_out(name)]
            advice = "choose others under run.branches, run.systems or run.protocols (one machine alone: complete_dev)"
            last = f"config: run: nothing is left to report on suite {name}: {advice}"
            raise UserError("\n".join([*reasons, last]))
    return plan


def _with_run(config: Mapping[str, Any], defaults: Path) -> Mapping[str, Any]:
    """`run: auto` is the shipped `run`."""
    return {**config, "run": read_yaml(defaults)["run"]} if config.get("run") == "auto" else config


def _with_wanted(config: Mapping[str, Any], run_suites: Iterable[str], defaults: Path) -> Mapping[str, Any]:
    """What `auto` stands for under `run`: the lists for suites of one's own, or for published ones."""
    wanted = config["auto"]["published" if set(run_suites) <= set(_shipped(defaults)) else "own"]
    run = {key: wanted[key] if value == "auto" and key in wanted else value for key, value in config["run"].items()}
    return {**config, "run": run}


def _shipped(defaults: Path) -> dict[str, Any]:
    """The suites of config.yaml and of the earlier challenges."""
    return {**read_yaml(defaults)["suites"], **read_yaml(defaults.parent / EARLIER)["suites"]}


def _with_named_suites(config: Mapping[str, Any], defaults: Path) -> Mapping[str, Any]:
    """`--config suites=dev2025` (or a list) names suites that are shipped, where else their definitions stand."""
    named = config.get("suites")
    if not isinstance(named, str | list) or not isinstance(config.get("run"), Mapping):
        return config
    names = [name.strip() for name in named.split(",")] if isinstance(named, str) else named
    return {**config, "suites": _shipped(defaults), "run": {**config["run"], "suites": names}}


def _chosen_suites(config: Mapping[str, Any], defaults: Path) -> list[str]:
    chosen = config["run"]["suites"]
    if chosen != "auto":
        return [chosen] if isinstance(chosen, str) else list(chosen)
    shipped = read_yaml(defaults)["suites"]
    own = [name for name, suite in config["suites"].items() if suite != shipped.get(name)]
    return own or list(config["suites"])
