"""What a value has wrong by its JSON Schema, in one line a fault: where it is, and what to write instead."""

import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from workflow_lib.errors import nearest

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
Found = Any  # a ValidationError, whose attributes the stubs take for unset: of one that a validator found, none is
# YAML 1.1 reads a number with an exponent only if it has a point and a signed exponent.
NUMBER_TEXT = re.compile(r"([+-]?)(\d+)(\.\d*)?(?:[eE]([+-]?)(\d{1,3}))?")


def schema_faults(value: Any, schema: Mapping[str, Any], where: str = "") -> list[str]:
    """Faults of a value, `place: what: what to write instead`; one line a place, since a wrong type breaks other rules.

    where: the place of the value itself. The schema may use `kinds` and `description` (schema.yaml).
    """
    errors = _Validator(schema).iter_errors(value)
    lines: dict[str, str] = {}
    for error in sorted(errors, key=lambda e: ([str(part) for part in e.absolute_path], e.validator != "type")):
        for place, text in _explain(error, _error_place(where, value, error)):
            lines.setdefault(place, f"{place or 'the whole file'}: {text}")
    return list(lines.values())


def unknown_names(place: str, word: str, names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Names that lead nowhere; word: what they are names of."""
    for name in names:
        if name not in known:
            yield f"{place}: there is no {word} {name!r}: {nearest(name, known)}"


def one_of(value: object, options: Iterable[object]) -> str:
    """All options, the nearest first."""
    words = [shown(option) for option in options]
    if len(words) == 1:
        return f"write {words[0]}"
    text = str(value)
    close = [ALIASES[text.lower()]] if text.lower() in ALIASES else get_close_matches(text, words, n=1, cutoff=0.5)
    return "write one of: " + ", ".join(sorted(words, key=lambda word: word not in close))


def place_of(where: str, *path: object) -> str:
    """Keys below a place: `models.eat` and `blocks` are `models.eat.blocks`."""
    return ".".join([*([where] if where else []), *map(shown, path)])


def shown(value: object, *, quotes: bool = False) -> str:
    """A value as YAML has it; quotes: text in quotes, and everything cut after 80 characters."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = repr(value) if quotes and isinstance(value, str | list | Mapping) else str(value)
    return text if len(text) <= 80 or not quotes else f"{text[:77]}..."


# ---- what JSON Schema does not have ----------------------------------------------------------------------------------


def _is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # JSON Schema would take 2.0 too


def _is_number(_checker: object, value: object) -> bool:
    """Finite, also as a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _by_kind(
    validator: Any, kinds: Mapping[str, Any], value: object, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Errors against the definition of the value's kind alone; an unknown or missing kind is the only error."""
    if not isinstance(value, Mapping):
        return
    kind = value.get("kind")
    if kind in list(kinds):
        yield from validator.descend(value, kinds[kind])
    else:
        yield ValidationError("no such kind")


_Validator = extend(
    Draft202012Validator,
    {"kinds": _by_kind},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


# ---- errors in words -------------------------------------------------------------------------------------------------


def _error_place(where: str, value: Any, error: Found) -> str:
    for part in error.absolute_path:
        where = f"{where}[{part}]" if isinstance(value, list) else place_of(where, part)
        value = value[part]
    return where


def _explain(error: Found, place: str) -> Iterator[tuple[str, str]]:
    """(place, what: what to write) of each fault in an error."""
    value, limit = error.instance, error.validator_value
    if error.validator == "kinds":
        what = f"{shown(value['kind'], quotes=True)} is not possible" if "kind" in value else "missing"
        yield place_of(place, "kind"), f"{what}: {one_of(value.get('kind', ''), limit)}"
    elif error.validator == "additionalProperties":
        unknown = sorted(_unknown_keys(value, error.schema).items())
        foreign = [key for key, advice in unknown if advice.startswith("write one of")]  # no misspelling of a known one
        if "const" in error.schema["properties"].get("kind", {}) and len(foreign) > 1:  # of another kind: one cause
            advice = "leave them out, under a name of its own where config.yaml has them"
            yield place, f"{', '.join(foreign)}: not of kind {shown(value['kind'])}: {advice}"
            unknown = [(key, advice) for key, advice in unknown if key not in foreign]
        for key, advice in unknown:
            yield place_of(place, key), f"unknown key: {advice}"
    elif error.validator == "required":
        meant = set(_unknown_keys(value, error.schema).values())
        for key in limit:
            if key not in value and f"write {key}" not in meant:
                yield place_of(place, key), "missing: add it (config.yaml shows every key)"
    elif "propertyNames" in error.absolute_schema_path and error.validator == "pattern":
        yield place_of(place, value), error.schema["description"]
    elif "propertyNames" in error.absolute_schema_path:
        kind = "null" if value is None else "true or false" if isinstance(value, bool) else "a number"
        kind = "a date" if isinstance(value, date) else kind
        yield place_of(place, value), f"YAML reads this name as {kind}, not as text: write it in quotes"
    elif error.validator in ("not", "oneOf"):  # rules that join keys: the schema says them in words
        yield place, error.schema["description"]
    elif error.validator == "type":
        yield place, _wrong_type(value, [limit] if isinstance(limit, str) else limit)
    else:
        yield place, f"{shown(value, quotes=True)} is not possible: {_remedy(error)}"


def _unknown_keys(value: Mapping[Any, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    """What to write instead of each key that the schema does not know; not one that it forbids with a reason."""
    known = schema.get("properties", {})
    if schema.get("additionalProperties") is not False:
        return {}
    allowed = [key for key, rule in known.items() if "not" not in rule]
    return {shown(key): nearest(shown(key), allowed) for key in value if key not in known}


def _remedy(error: Found) -> str:
    rule, limit, value = error.validator, error.validator_value, error.instance
    if rule == "uniqueItems":
        twice = dict.fromkeys(shown(item) for i, item in enumerate(value) if item in value[:i])
        return f"name each once ({', '.join(twice)})"
    if "description" in error.schema:
        return f"write {error.schema['description']}"
    if rule in ("enum", "const"):
        return one_of(value, limit if rule == "enum" else [limit])
    if rule in ("minItems", "minProperties", "maxItems"):
        return "name at least one" if limit == 1 else f"write {limit} numbers"
    if rule in ("minLength", "pattern"):
        return "it is empty: write a name or path"
    low, above, high = (error.schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f"write a number above {above}" + ("" if high is None else f", at most {high}")
    return f"write {low} or more" if high is None else f"write {low} to {high}"


def _wrong_type(value: object, wanted: Sequence[str]) -> str:
    words = " or ".join(TYPE_WORDS[name] for name in wanted)
    if {"integer", "number"} & set(wanted):
        if written := _number_in_text(value, whole="integer" in wanted):
            plain = f"text: write {written} without quotes in a --configfile (--config {{…}} holds text)"
            return f"{value!r} is " + (plain if written == value else f"text for YAML: write {written}")
        if isinstance(value, float) and not math.isfinite(value):
            words = words.replace("a number", "a finite number")
    elif "string" in wanted and isinstance(value, bool | int | float | date):
        words += ", in quotes"
    return f"{shown(value, quotes=True)} is of the wrong type: write {words}"


def _number_in_text(value: object, *, whole: bool) -> str | None:
    """How to write a number that YAML reads as text, such as 1e-3; None for any other value."""
    found = NUMBER_TEXT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    sign, digits, point, exponent_sign, exponent = found.groups()
    plain = f"{Decimal(found[0]):f}"
    if whole or exponent is None:
        return plain
    with_exponent = f"{sign}{digits}{point or '.0'}e{exponent_sign or '+'}{exponent}"
    return f"{plain} or {with_exponent}" if len(plain) < 20 else with_exponent
