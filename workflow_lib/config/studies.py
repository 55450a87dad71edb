"""The sections `studies` and `stand_ins` of the configuration: names that lead nowhere, protocols that would mix.

Imported while the DAG is built, so only the standard library lies below it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from workflow_lib.errors import nearest

DEFAULT_SUITE = "dev"  # of the published values
SECTIONS = {"branch": "branches", "system": "systems"}
# A name becomes a folder and file names.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def entry_of(settings: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, name) of the branch or system that a row or a study is about."""
    return ("branch", settings["branch"]) if "branch" in settings else ("system", settings["system"])


def protocol_of(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Protocol of a row: its own, or that of its study; "" where numbers take no part."""
    return row.get("protocol", study.get("protocol", ""))


def study_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Faults of studies and stand-ins; the shape is sound."""
    suites = [*config["suites"], DEFAULT_SUITE]
    yield from _chosen_faults(config["run"]["studies"], config["studies"])
    for name, study in config["studies"].items():
        place = f"studies.{name}"
        if not PLAIN_NAME.fullmatch(name):
            yield f"{place}: a name becomes part of file names: use letters, digits, '_', '-' and '.' only"
        if study.get("suite", DEFAULT_SUITE) not in suites:
            yield f"{place}.suite: there is no suite {study['suite']!r}: {nearest(study['suite'], suites)}"
        yield from _entry_faults(place, study, config)
        yield from _row_faults(place, study, config)
        yield from _column_faults(place, study)
    yield from _stand_in_faults(config)


def _chosen_faults(chosen: str | list[str], studies: Mapping[str, Any]) -> Iterator[str]:
    for name in [] if chosen == "auto" else [chosen] if isinstance(chosen, str) else chosen:
        if name not in studies:
            yield f"run.studies: there is no study {name!r}: {nearest(name, ['auto', *studies])}"


def _entry_faults(place: str, study: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """A study as a whole may be about one branch or system."""
    if study["kind"] == "heat_map" and len(SECTIONS.keys() & study.keys()) != 1:
        yield f"{place}: write either branch or system: a heat map shows one of them"
        return
    for kind in SECTIONS.keys() & study.keys():
        yield from _name_faults(f"{place}.{kind}", kind, study[kind], config)


def _row_faults(place: str, study: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    for number, row in enumerate(study.get("rows", [])):
        where = f"{place}.rows[{number}]"
        kinds = SECTIONS.keys() & row.keys()
        if len(kinds) != 1:
            yield f"{where}: write either branch or system: a row shows one of them"
        for kind in kinds:
            yield from _name_faults(f"{where}.{kind}", kind, row[kind], config)
    if study["kind"] == "leave_one_branch_out":
        yield from _removal_faults(place, study, study["system"], config)


def _name_faults(where: str, kind: str, name: str, config: Mapping[str, Any]) -> Iterator[str]:
    known = config[SECTIONS[kind]]
    if name not in known:
        yield f"{where}: there is no {kind} {name!r}: {nearest(name, known)}"


def _removal_faults(place: str, study: Mapping[str, Any], name: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Also of the system that stands in, which is the one whose branches are removed."""
    stand_in = config["stand_ins"].get(name, name)
    for where, other in {f"{place}.system": name, f"stand_ins.{name}": stand_in}.items():
        system = config["systems"].get(other)
        if system and (len(system["branches"]) < 2 or "weights" in system):
            what = "has one branch" if len(system["branches"]) < 2 else "has fixed weights"
            yield f"{where}: {other} {what}: removing branches needs a system of several, weights chosen"
            return
    branches = config["systems"].get(name, {"branches": [row["branch"] for row in study["rows"]]})["branches"]
    for number, row in enumerate(study["rows"]):
        if row["branch"] not in branches:
            where = f"{place}.rows[{number}].branch: {row['branch']} is no branch of {study['system']}"
            yield f"{where}: {nearest(row['branch'], branches)}"


def _column_faults(place: str, study: Mapping[str, Any]) -> Iterator[str]:
    """Rows that share a column share a protocol; a row that differences are taken to is one of them."""
    if study["kind"] not in ("comparison", "scopes"):
        return
    protocols = list(dict.fromkeys(protocol_of(study, row) for row in study["rows"]))
    if "" in protocols:
        yield f"{place}: no number stands without its protocol: write protocol in each row" + (
            ", or once for all" if study["kind"] == "comparison" else ""
        )
    elif study["kind"] == "comparison" and len(protocols) > 1:
        advice = "make a study for each, or write `kind: scopes`, which compares no rows"
        yield f"{place}: its rows mix the protocols {', '.join(protocols)} in one column: {advice}"
    labels = Counter(row["label"] for row in study["rows"])
    if (against := study.get("against")) is not None and labels[against] != 1:
        what = "no row has" if not labels[against] else "several rows have"
        yield f"{place}.against: {what} the label {against!r}: {nearest(against, labels)}"


def _stand_in_faults(config: Mapping[str, Any]) -> Iterator[str]:
    for name, other in config["stand_ins"].items():
        sections = [section for section in SECTIONS.values() if name in config[section]]
        if not sections:
            known = [*config["branches"], *config["systems"]]
            yield f"stand_ins.{name}: there is no branch or system {name!r}: {nearest(name, known)}"
        elif not any(other in config[section] for section in sections):
            section = sections[0]
            word = next(kind for kind, plural in SECTIONS.items() if plural == section)
            yield f"stand_ins.{name}: there is no {word} {other!r}: {nearest(other, config[section])}"
