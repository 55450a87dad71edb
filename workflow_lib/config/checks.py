"""The configuration, checked: all faults at once, one line each, saying where and what to write instead."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflow_lib.config.branches import branch_faults, system_faults
from workflow_lib.config.faults import unknown_names
from workflow_lib.config.models import model_faults
from workflow_lib.config.schema import shape_faults, with_defaults
from workflow_lib.config.studies import study_faults
from workflow_lib.config.suites import suite_faults
from workflow_lib.errors import UserError, nearest
from workflow_lib.fetch.published import restricted_encoders


def check_config(config: Mapping[str, Any]) -> None:
    """Raise one UserError with every fault of the configuration, one line each."""
    faults = list(shape_faults(config)) or list(_meaning_faults(with_defaults(config)))
    if faults:
        raise UserError("\n".join(f"config: {' '.join(fault.splitlines())}" for fault in faults))


def _meaning_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that lead nowhere and values that do not go together, in a configuration with its defaults."""
    yield from _run_faults(config)
    for name in config["fetch"]["accept_licence"]:
        if name not in restricted_encoders():
            yield f"fetch.accept_licence: {name!r} needs no acceptance: {nearest(name, restricted_encoders())}"
    yield from suite_faults(config["suites"])
    of_models = {name: list(faults) for name, faults in model_faults(config["models"])}
    for faults in of_models.values():
        yield from faults
    models, unsound = config["models"], {name for name, faults in of_models.items() if faults}
    unsound |= {name for name, model in models.items() if model["kind"] == "adapted" and model["base"] in unsound}
    yield from branch_faults(config, unsound)
    yield from system_faults(config)
    yield from study_faults(config)


def _run_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What is run and submitted is defined."""
    run, submission = config["run"], config["submission"]
    for key, word in (("suites", "suite"), ("studies", "study")):
        chosen = [run[key]] if isinstance(run[key], str) else run[key]
        auto = ["auto"] if key == "studies" else []
        yield from unknown_names(f"run.{key}", word, chosen if chosen != ["auto"] else [], [*auto, *config[key]])
    wanted = {"run": run, **{f"auto.{name}": config["auto"][name] for name in ("own", "published")}}
    for place, of_place in wanted.items():
        for key, word in (("systems", "system"), ("branches", "branch")):
            named = [] if of_place[key] == "auto" else of_place[key]
            yield from unknown_names(f"{place}.{key}", word, named, config[key])
    yield from unknown_names("submission.systems", "system", submission["systems"], config["systems"])
    yield from unknown_names("submission.meta", "system", submission["meta"], config["systems"])
    if submission["seed"] not in (None, *run["seeds"]):
        seeds = ", ".join(map(str, run["seeds"]))
        yield f"submission.seed: {submission['seed']} is not among run.seeds: write one of: {seeds}"
