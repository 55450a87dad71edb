"""The definition of every key, schema.yaml: what the shape of a configuration has wrong, and the defaults filled in."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from workflow_lib.config.faults import place_of, schema_faults, shown, unknown_names
from workflow_lib.config.scorers import add_scorers
from workflow_lib.errors import UserError
from workflow_lib.files import read_yaml

SCHEMA = Path(__file__).with_name("schema.yaml")


@cache
def config_schema() -> dict[str, Any]:
    """The schema of the whole configuration, with the scorers that are found."""
    schema: dict[str, Any] = read_yaml(SCHEMA)
    add_scorers(schema["$defs"])
    return schema


def definition(name: str) -> dict[str, Any]:
    """One of its definitions, such as `adaptation`, as a schema of its own."""
    return {"$defs": config_schema()["$defs"], **config_schema()["$defs"][name]}


def checked_settings(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings of one definition with its defaults; UserError with `key: what: what to write`, one line a fault."""
    if faults := schema_faults(settings, definition(name)):
        raise UserError("\n".join(faults))
    return filled(settings, definition(name))


def shape_faults(config: Any) -> Iterator[str]:
    """Faults of keys, types and ranges, `place: what: what to write instead`; branches by the kind of their model."""
    yield from schema_faults(config, config_schema())
    models, branches = (config.get(name) if isinstance(config, Mapping) else None for name in ("models", "branches"))
    if isinstance(models, Mapping) and isinstance(branches, Mapping):
        sound = {name: model for name, model in models.items() if not schema_faults(model, definition("model"))}
        for name, branch in branches.items():
            if isinstance(branch, Mapping):
                yield from _branch_faults(place_of("branches", name), branch, sound, sorted(map(shown, models)))


def _branch_faults(
    place: str, branch: Mapping[str, Any], sound: Mapping[Any, Any], known: Sequence[str]
) -> Iterator[str]:
    """`sound`: the models whose kind is known; `known`: names of all models."""
    model = branch.get("model")
    if "scores" in branch:
        others = ", ".join(sorted(shown(key) for key in branch if key != "scores"))
        if "model" in branch:
            yield f"{place}.scores: excludes model: leave out {others}, or give this branch a name of its own"
        else:
            yield from schema_faults(branch, definition("external_branch"), place)
    elif "model" not in branch:
        yield f"{place}: has neither model nor scores: write `model: <name>`, or `scores: <folder of tables>`"
    elif not isinstance(model, str):
        yield from schema_faults(model, {"type": "string"}, f"{place}.model")
    elif model in sound:
        yield from schema_faults(branch, definition(f"{branch_kind(branch, sound)}_branch"), place)
    else:
        yield from unknown_names(f"{place}.model", "model", [model], known)


def branch_kind(branch: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """external (tables made elsewhere), autoencoder or embedding."""
    if "scores" in branch:
        return "external"
    return "autoencoder" if models[branch["model"]]["kind"] == "autoencoder" else "embedding"


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the default of every key that is left out; its shape is sound."""
    models = config["models"]
    branches = {
        name: filled(branch, definition(f"{branch_kind(branch, models)}_branch"))
        for name, branch in config["branches"].items()
    }
    return filled({**config, "branches": branches}, config_schema())


def filled(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Any:
    """A copy of a sound value with the defaults of its schema behind the keys that are written.

    definitions: what `$ref` of the schema leads to; by default its own.
    """
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    schema = _resolved(schema, definitions)
    if isinstance(value, list):
        return [filled(item, schema.get("items", {}), definitions) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "kinds" in schema:
        schema = _resolved(schema["kinds"][value["kind"]], definitions)
    known = {key: _resolved(rule, definitions) for key, rule in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties", {})
    left_out = {key: deepcopy(rule["default"]) for key, rule in known.items() if key not in value and "default" in rule}
    whole = dict(value) | left_out
    for key, rule in known.items():
        if key not in whole and "default_by" in rule:  # the default follows from the value of another key
            ((other, defaults),) = rule["default_by"].items()
            whole[key] = defaults[whole[other]]
    return {key: filled(item, known.get(key, others), definitions) for key, item in whole.items()}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with the definition that it refers to; its own rules come before those of the definition."""
    while "$ref" in schema:
        own = {key: rule for key, rule in schema.items() if key != "$ref"}
        schema = {**definitions[schema["$ref"].removeprefix("#/$defs/")], **own}
    return schema
