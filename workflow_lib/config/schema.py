"""The shape of the configuration: keys and types, checked against schema.yaml and said in one line a fault."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from workflow_lib.errors import nearest
from workflow_lib.files import read_yaml

SCHEMA = Path(__file__).with_name("schema.yaml")
KINDS = ("autoencoder", "frozen", "adapted")
STUDY_KINDS = ("roles", "comparison", "scopes", "heat_map", "leave_one_branch_out")
TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
ALIASES = {"gpu": "cuda"}
# YAML 1.1 reads a number with an exponent only if it has a point and a signed exponent.
NUMBER_TEXT = re.compile(r"([+-]?)(\d+)(\.\d*)?(?:[eE]([+-]?)(\d{1,3}))?")


def shape_faults(config: object) -> Iterator[str]:
    """Faults of keys and types, `place: what: what to write instead`; models and branches by their kind."""
    yield from schema_faults(config, _schema())
    if not isinstance(config, Mapping):
        return
    models = _entries(config, "models")
    sound = {}
    for name, model in models.items():
        faults = list(_faults_of_kind("models", name, model, KINDS)) if isinstance(model, Mapping) else []
        yield from faults
        if isinstance(model, Mapping) and isinstance(name, str) and not faults:
            sound[name] = model
    known = {_scalar(name) for name in models} if isinstance(config.get("models"), Mapping) else None
    for name, branch in _entries(config, "branches").items():
        if isinstance(branch, Mapping):
            yield from _branch_faults(_place("branches", [name]), branch, sound, known)
    for name, study in _entries(config, "studies").items():
        if isinstance(study, Mapping):
            yield from _faults_of_kind("studies", name, study, STUDY_KINDS)


def branch_kind(branch: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """external (tables made elsewhere), autoencoder or embedding."""
    if "scores" in branch:
        return "external"
    return "autoencoder" if models.get(str(branch.get("model")), {}).get("kind") == "autoencoder" else "embedding"


def numbers_as_text(value: object, whole: bool = False) -> str | None:
    """How to write a number that YAML reads as text, such as 1e-3; None for any other value."""
    found = NUMBER_TEXT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    sign, digits, point, exponent_sign, exponent = found.groups()
    plain = f"{Decimal(value):f}"
    if whole or exponent is None:
        return plain
    with_exponent = f"{sign}{digits}{point or '.0'}e{exponent_sign or '+'}{exponent}"
    return f"{plain} or {with_exponent}" if len(plain) < 20 else with_exponent


def one_of(value: object, options: Sequence[object]) -> str:
    """All options, the nearest first."""
    words = [_yaml_word(option) for option in options]
    if len(words) == 1:
        return f"write {words[0]}"
    text = str(value)
    close = [ALIASES[text.lower()]] if text.lower() in ALIASES else get_close_matches(text, words, n=1, cutoff=0.5)
    first = [word for word in words if word in close]
    return "write one of: " + ", ".join(first + [word for word in words if word not in first])


def _entries(config: Mapping[str, Any], section: str) -> Mapping[Any, Any]:
    entries = config.get(section)
    return entries if isinstance(entries, Mapping) else {}


def _faults_of_kind(section: str, name: object, entry: Mapping[str, Any], kinds: Sequence[str]) -> Iterator[str]:
    """Faults of a model or study, against the definition of its kind."""
    place, word = _place(section, [name]), {"models": "model", "studies": "study"}[section]
    kind = entry.get("kind")
    if "kind" not in entry:
        yield f"{place}.kind: missing: {one_of('', kinds)}"
    elif kind not in kinds:
        yield f"{place}.kind: {_show(kind)} is no kind of {word}: {one_of(kind, kinds)}"
    else:
        yield from schema_faults(entry, _definition(f"{kind}_{word}"), place)


def _branch_faults(
    place: str, branch: Mapping[str, Any], sound: Mapping[str, Mapping[str, Any]], known: set[str] | None
) -> Iterator[str]:
    """`sound`: models to check against; `known`: names of all models, None if there is no telling."""
    model = branch.get("model")
    if "scores" in branch:
        others = ", ".join(sorted(_scalar(key) for key in branch if key != "scores"))
        if "model" in branch:
            yield f"{place}.scores: stands alone: leave out {others}, or give this branch a name of its own"
        else:
            yield from schema_faults(branch, _definition("external_branch"), place)
    elif "model" not in branch:
        yield f"{place}: has neither model nor scores: write `model: <name>`, or `scores: <folder of tables>`"
    elif not isinstance(model, str):
        yield f"{place}.model: {_wrong_type(model, ['string'])}"
    elif model in sound:
        yield from schema_faults(branch, _definition(f"{branch_kind(branch, sound)}_branch"), place)
    elif known is not None and model not in known:
        yield f"{place}.model: there is no model {model!r}: {nearest(model, sorted(known))}"


# ---- the schema and its errors ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return read_yaml(SCHEMA)


def _definition(name: str) -> dict[str, Any]:
    return {"$defs": _schema()["$defs"], **_schema()["$defs"][name]}


def _is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # JSON Schema would take 2.0 too


def _is_number(checker: object, value: object) -> bool:
    return _is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


def schema_faults(value: Any, schema: Mapping[str, Any], where: str = "") -> list[str]:
    """Faults of any value against a schema, one line a place at most: a wrong type breaks other rules, too."""
    errors = _Validator(schema).iter_errors(value)
    lines: dict[str, str] = {}
    for error in sorted(errors, key=lambda e: ([str(part) for part in e.absolute_path], e.validator != "type")):
        for place, text in _explain(error, _error_place(where, value, error)):
            lines.setdefault(place, f"{place or 'the whole file'}: {text}")
    return list(lines.values())


def _error_place(where: str, value: Any, error: ValidationError) -> str:
    for part in error.absolute_path:
        where = f"{where}[{part}]" if isinstance(value, list) else _place(where, [part])
        value = value[part]
    return where


def _explain(error: ValidationError, place: str) -> Iterator[tuple[str, str]]:
    """(place, what: what to write) of each fault in an error."""
    value, limit = error.instance, error.validator_value
    if error.validator == "additionalProperties":
        for key, advice in sorted(_unknown_keys(value, error.schema).items()):
            yield _place(place, [key]), f"unknown key: {advice}"
    elif error.validator == "required":
        meant = set(_unknown_keys(value, error.schema).values())
        for key in limit:
            if key not in value and f"write {key}" not in meant:
                yield _place(place, [key]), "missing: add it (config.yaml shows every key)"
    elif "propertyNames" in error.absolute_schema_path:
        yield _place(place, [value]), f"YAML reads this name as {_kind_word(value)}, not as text: write it in quotes"
    elif error.validator == "type":
        yield place, _wrong_type(value, [limit] if isinstance(limit, str) else limit)
    else:
        yield place, f"{_show(value)} is not possible: {_remedy(error)}"


def _unknown_keys(value: Mapping[Any, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    known = schema.get("properties", {})
    if schema.get("additionalProperties") is not False:
        return {}
    return {_scalar(key): nearest(_scalar(key), known) for key in value if key not in known}


def _remedy(error: ValidationError) -> str:
    rule, limit, value = error.validator, error.validator_value, error.instance
    if "description" in error.schema:
        return f"write {error.schema['description']}"
    if rule in ("enum", "const"):
        return one_of(value, limit if rule == "enum" else [limit])
    if rule == "uniqueItems":
        twice = dict.fromkeys(_scalar(item) for i, item in enumerate(value) if item in value[:i])
        return f"name each once ({', '.join(twice)})"
    if rule in ("minItems", "minProperties", "maxItems"):
        return "name at least one" if limit == 1 else f"write {limit} numbers"
    if rule in ("minLength", "pattern"):
        return "it is empty: write a name or path"
    return f"write {_range(error.schema)}"


def _range(schema: Mapping[str, Any]) -> str:
    low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    if above is not None:
        return f"a number above {above}" + ("" if high is None else f", at most {high}")
    return f"{low} or more" if high is None else f"{low} to {high}"


def _wrong_type(value: object, wanted: Iterable[str]) -> str:
    wanted = list(wanted)
    words = " or ".join(TYPE_WORDS[name] for name in wanted)
    numeric = {"integer", "number"} & set(wanted)
    if numeric and (written := numbers_as_text(value, whole="integer" in wanted)):
        if written == value:
            return (
                f"{_show(value)} is text: write {written} without quotes in a --configfile (--config {{…}} holds text)"
            )
        return f"{_show(value)} is text for YAML: write {written}"
    if numeric and isinstance(value, float) and not math.isfinite(value):
        words = words.replace("a number", "a finite number")
    elif "string" in wanted and isinstance(value, bool | int | float | date):
        words += ", in quotes"
    return f"{_show(value)} is of the wrong type: write {words}"


# ---- words -----------------------------------------------------------------------------------------------------------


def _kind_word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    return "a date" if isinstance(value, date) else "a number"


def _yaml_word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(value: object) -> str:
    return "null" if value is None else _yaml_word(value)


def _show(value: object) -> str:
    if not isinstance(value, str | list | Mapping):
        return _scalar(value)
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _place(where: str, path: Iterable[object]) -> str:
    return ".".join([*([where] if where else []), *map(_scalar, path)])
