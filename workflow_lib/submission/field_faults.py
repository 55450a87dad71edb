"""Faults of meta files: fields of 2026 that are missing or of the wrong type."""

import reprlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from workflow_lib.config.submission_form import ABBREVIATION, AFFILIATION, AUTHOR, DESCRIPTION, EMAIL, FIGURES
from workflow_lib.submission.foreign_yaml import ForeignYamlError, read_foreign_yaml


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TEXT, SCALAR, ADDRESS = "text", "text, a number or null", "an address or null"
COUNT, PERCENT = "a whole number or null", "a number from 0 to 100, or null"
TESTS: dict[str, Callable[[Any], bool]] = {  # what a field must be -> whether a value is it
    TEXT: lambda value: isinstance(value, str) and bool(value.strip()),
    SCALAR: lambda value: value is None or isinstance(value, str) or _is_number(value),
    ADDRESS: lambda value: value is None or TESTS[TEXT](value),
    COUNT: lambda value: value is None or (_is_number(value) and isinstance(value, int) and value >= 0),
    PERCENT: lambda value: value is None or (_is_number(value) and 0 <= value <= 100),
}


def meta_faults(name: str, content: bytes, label: str) -> Iterator[str]:
    """Faults of the meta file of the system `label`, which is the name of its folder."""
    try:
        meta = read_foreign_yaml(content)
    except ForeignYamlError as error:
        yield f"{name}: cannot be read as YAML ({error})"
        return
    if not isinstance(meta, dict):
        yield f"{name}: no mapping with submission, system and results, but {reprlib.repr(meta)}"
        return
    submission = partial(_submission, label)
    for section, faults in (("submission", submission), ("system", _system), ("results", _results)):
        if not isinstance(meta.get(section), dict):
            yield f"{name}: {section}: missing, or no mapping of fields"
        else:
            yield from (f"{name}: {section}.{fault}" for fault in faults(meta[section]))


def _submission(label: str, section: dict) -> Iterator[str]:
    yield from _wrong(section, ("label", "name", "abbreviation"), TEXT)
    if isinstance(section.get("label"), str) and section["label"] != label:
        yield f"label is {reprlib.repr(section['label'])}, its folder {label}: write the same in both"
    short = section.get("abbreviation")
    if isinstance(short, str) and short.strip() and len(short) > ABBREVIATION:
        yield f"abbreviation: {len(short)} characters, at most {ABBREVIATION}: {reprlib.repr(short)}"
    authors = section.get("authors")
    if not isinstance(authors, list) or not authors:
        yield "authors: missing, or no list of authors"
        return
    for number, author in enumerate(authors, 1):
        yield from _author(author, f"authors[{number}]")
    corresponding = [author for author in authors if isinstance(author, dict) and author.get("corresponding") is True]
    if len(corresponding) != 1:
        yield f"authors: {len(corresponding)} have `corresponding: true`: exactly one must"


def _author(author: Any, place: str) -> Iterator[str]:
    yield from _wrong(author, AUTHOR, TEXT, place)
    if not isinstance(author, dict):
        return
    email = author.get("email")
    if isinstance(email, str) and email.strip() and not EMAIL.fullmatch(email.strip()):
        yield f"{place}.email: {reprlib.repr(email)} is no address: write <name>@<host>"
    affiliations = author.get("affiliation")
    for one in affiliations if isinstance(affiliations, list) and affiliations else [affiliations]:
        # Older templates say institute.
        one = {"institution": one.get("institute"), **one} if isinstance(one, dict) else one
        yield from _wrong(one, AFFILIATION, TEXT, f"{place}.affiliation")


def _system(section: dict) -> Iterator[str]:
    yield from _wrong(section.get("description"), DESCRIPTION, SCALAR, "description")
    yield from _wrong(section.get("complexity"), ("total_parameters",), COUNT, "complexity")
    yield from _wrong(section, ("source_code",), ADDRESS)
    datasets = section.get("external_datasets", "missing")
    if datasets is not None and not (isinstance(datasets, list) and all(isinstance(d, dict) for d in datasets)):
        yield "external_datasets: missing, or no list of data sets with name and url"


def _results(section: dict) -> Iterator[str]:
    machines = section.get("development_dataset", "missing")
    if machines is None:
        return
    if not isinstance(machines, dict):
        yield "development_dataset: missing, or no mapping of machines"
        return
    figures: list[float] = []
    for machine, values in machines.items():
        place = f"development_dataset.{str(machine)[:40]}"
        if not isinstance(values, dict):
            yield f"{place}: no mapping with {', '.join(FIGURES)}"
            continue
        yield from _wrong(values, FIGURES, PERCENT, place)
        figures += filter(_is_number, values.values())
    if figures and max(figures) <= 1:
        yield "development_dataset: all figures are at most 1: they are given in percent"


def _wrong(section: Any, names: tuple[str, ...], wanted: str, place: str = "") -> Iterator[str]:
    """Fields at a place below the section that are missing, or are not what they must be."""
    if not isinstance(section, dict):
        yield f"{place}: missing, or no mapping of fields"
        return
    for name in names:
        field = f"{place}.{name}".lstrip(".")
        if name not in section:
            yield f"{field}: missing: write {wanted}"
        elif not TESTS[wanted](section[name]):
            yield f"{field}: {reprlib.repr(section[name])} is not {wanted}"
