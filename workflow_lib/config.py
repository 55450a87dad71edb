"""The configuration, checked: all faults at once, one line each, saying where and what to write instead.

Only the standard library, yaml and jsonschema are imported: this runs whenever Snakemake reads the workflow.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from workflow_lib.adaptation.settings import AdapterSettings
from workflow_lib.errors import UserError, nearest

SCHEMA = Path(__file__).with_name("config_schema.yaml")
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def check_config(config: Mapping[str, Any]) -> None:
    """Raise one UserError with every fault of the configuration, one line each."""
    faults = list(_shape_faults(config)) or list(_meaning_faults(config))
    if faults:
        raise UserError("\n".join(f"config: {fault}" for fault in faults))


def model_kind(model: Mapping[str, Any]) -> str:
    """autoencoder, frozen or adapted."""
    return str(model["kind"])


def branch_kind(branch: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """external (tables made elsewhere), autoencoder or embedding."""
    if "scores" in branch:
        return "external"
    return "autoencoder" if models.get(str(branch.get("model")), {}).get("kind") == "autoencoder" else "embedding"


# ---- shape: keys and types -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def _shape_faults(config: Mapping[str, Any]) -> Iterator[str]:
    yield from _validate(config, _schema(), "")
    for section, choose in (("models", _model_definition), ("branches", _branch_definition)):
        entries = config.get(section)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, Mapping):
                definition = choose(entry, config)
                if isinstance(definition, str):
                    yield f"{section}.{name}.{definition}"
                else:
                    yield from _validate(entry, definition, f"{section}.{name}")


def _definition(name: str) -> dict[str, Any]:
    return {"$defs": _schema()["$defs"], **_schema()["$defs"][name]}


def _model_definition(model: Mapping[str, Any], _config: Mapping[str, Any]) -> dict[str, Any] | str:
    kinds = ("autoencoder", "frozen", "adapted")
    kind = model.get("kind")
    if kind not in kinds:
        return f"kind: {kind!r} is no kind of model: write one of: {', '.join(kinds)}"
    return _definition(f"{kind}_model")


def _branch_definition(branch: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any] | str:
    models = config.get("models")
    usable = {k: v for k, v in models.items() if isinstance(v, Mapping)} if isinstance(models, Mapping) else {}
    if "scores" not in branch and "model" in branch and branch["model"] not in usable:
        return f"model: there is no model {branch['model']!r}: {nearest(branch['model'], usable)}"
    return _definition(f"{branch_kind(branch, usable)}_branch")


def _validate(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    errors = Draft202012Validator(schema).iter_errors(value)
    for error in sorted(errors, key=lambda e: [str(part) for part in e.absolute_path]):
        yield from _explain(error, where)


def _explain(error: ValidationError, where: str) -> Iterator[str]:
    place = _place(where, error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in sorted(set(map(str, error.instance)) - set(known)):
            yield f"{_place(place, [key])}: unknown key: {nearest(key, known)}"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield f"{_place(place, [key])}: missing: add it (config.yaml shows every key)"
    elif error.validator == "type":
        wanted = error.validator_value
        words = " or ".join(TYPE_WORDS[t] for t in ([wanted] if isinstance(wanted, str) else wanted))
        yield f"{place}: {error.instance!r} is of the wrong type: write {words}"
    elif error.validator in ("enum", "const"):
        options = error.validator_value if error.validator == "enum" else [error.validator_value]
        yield f"{place}: {error.instance!r} is not possible: {nearest(error.instance, map(_yaml_word, options))}"
    elif error.validator == "anyOf":
        yield f"{place}: {error.instance!r} is not possible: write {_alternatives(error.validator_value)}"
    else:
        yield f"{place}: {error.message}"


def _alternatives(options: list[dict[str, Any]]) -> str:
    words = []
    for option in options:
        option = _schema()["$defs"][option["$ref"].split("/")[-1]] if "$ref" in option else option
        words.append(_yaml_word(option["const"]) if "const" in option else TYPE_WORDS[option["type"]])
    return " or ".join(words)


def _yaml_word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(where: str, path: Iterable[object]) -> str:
    parts = [where] if where else []
    for part in path:
        if isinstance(part, int) and parts:
            parts[-1] += f"[{part}]"
        else:
            parts.append(str(part))
    return ".".join(parts) or "the whole file"


# ---- meaning: names that lead somewhere ------------------------------------------------------------------------------


def _meaning_faults(config: Mapping[str, Any]) -> Iterator[str]:
    yield from _name_faults(config)
    yield from _suite_faults(config)
    for name, model in config["models"].items():
        yield from _model_faults(name, model, config)
    for name, branch in config["branches"].items():
        yield from _branch_faults(name, branch, config)
    for name, system in config["systems"].items():
        yield from _system_faults(name, system, config)
    for section, word in (("systems", "system"), ("branches", "branch")):
        for name in config["run"][section]:
            if name not in config[section]:
                yield f"run.{section}: there is no {word} {name!r}: {nearest(name, config[section])}"


def _name_faults(config: Mapping[str, Any]) -> Iterator[str]:
    for section in ("suites", "models", "branches", "systems"):
        for name in config[section]:
            if not PLAIN_NAME.fullmatch(str(name)):
                yield f"{section}.{name}: a name becomes part of file names: use letters, digits, '_', '-' and '.' only"


def _suite_faults(config: Mapping[str, Any]) -> Iterator[str]:
    suites = config["suites"]
    chosen = config["run"]["suites"]
    for name in [] if chosen == "auto" else [chosen] if isinstance(chosen, str) else chosen:
        if name not in suites:
            yield f"run.suites: there is no suite {name!r}: {nearest(name, suites)}"
    for name, suite in suites.items():
        if "simulate" in suite and "root" in suite:
            yield f"suites.{name}: root and simulate exclude each other: a simulated suite lies in the results folder"
        if "simulate" in suite and suite.get("channels", 2) != 2:
            yield f"suites.{name}.channels: a simulated suite has two channels: write 2"
        other = suite.get("select_on")
        if other is not None and (other not in suites or other == name):
            hint = nearest(other, [key for key in suites if key != name])
            yield f"suites.{name}.select_on: there is no other suite {other!r}: {hint}"


def _model_faults(name: str, model: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    models = config["models"]
    if model["kind"] == "adapted":
        base = models.get(model["base"])
        frozen = [key for key, value in models.items() if value["kind"] == "frozen"]
        if base is None or base["kind"] != "frozen":
            yield f"models.{name}.base: there is no frozen model {model['base']!r}: {nearest(model['base'], frozen)}"
        elif base["encoder"] != "eat":
            yield f"models.{name}.base: only eat encoders can be adapted, {model['base']} is {base['encoder']}"
        try:
            settings = AdapterSettings.from_mapping(model["adaptation"])
        except UserError as error:
            yield f"models.{name}.adaptation: {error}"
        else:
            if settings.statistics_block not in model["blocks"]:
                yield f"models.{name}.blocks: block {settings.statistics_block} is adapted for: add it"
    if model["kind"] == "frozen":
        sizes = [key for key in ("seed", "embed_dim", "depth", "num_heads") if key in model]
        if sizes and model["checkpoint"] != "random":
            yield f"models.{name}.{sizes[0]}: only for `checkpoint: random`: leave it out"
        depth = model.get("depth", 12)
        for block in model["blocks"]:
            if block > depth:
                yield f"models.{name}.blocks: there is no block {block}: write 1 to {depth}"
    if model["kind"] == "autoencoder" and model["batch_size"] < 2:
        yield f"models.{name}.batch_size: batch normalisation needs two vectors: write 2 or more"


def _branch_faults(name: str, branch: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    if branch_kind(branch, config["models"]) != "embedding":
        return
    model = config["models"][branch["model"]]
    if "head" in branch["view"]:
        if branch["view"] != ["head"]:
            yield f"branches.{name}.view: head stands alone: write [head]"
        if model["kind"] != "adapted":
            yield f"branches.{name}.view: {branch['model']} has no head: use near, far or near-far, or an adapted model"
    elif branch.get("block") not in model["blocks"]:
        blocks = ", ".join(map(str, model["blocks"]))
        store = f"models.{branch['model']}.blocks"
        block = branch.get("block")
        yield f"branches.{name}.block: {store} has no block {block}: write one of {blocks}, or add it there"
    conditioning = branch["conditioning"]
    if conditioning.get("whiten") and conditioning.get("components") is None:
        yield f"branches.{name}.conditioning.whiten: whitening needs components: write a number there, or whiten: false"


def _system_faults(name: str, system: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    for branch in system["branches"]:
        if branch not in config["branches"]:
            yield f"systems.{name}.branches: there is no branch {branch!r}: {nearest(branch, config['branches'])}"
    step = system.get("step", 0.1)
    if abs(round(1 / step) - 1 / step) > 1e-9:
        yield f"systems.{name}.step: 1 is no multiple of {step}: write 0.1, 0.05, 0.2, 0.25 or 0.5"
    weights = system.get("weights")
    if weights is not None:
        if sorted(weights) != sorted(system["branches"]):
            yield f"systems.{name}.weights: name each branch of the system once: {', '.join(system['branches'])}"
        elif abs(sum(weights.values()) - 1) > 1e-9:
            yield f"systems.{name}.weights: they sum to {sum(weights.values()):g}: make them sum to 1"
