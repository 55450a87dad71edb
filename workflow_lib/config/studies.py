"""The sections `studies` and `stand_ins` of the configuration: names that lead nowhere, protocols that would mix."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from workflow_lib.config.faults import unknown_names
from workflow_lib.config.twins import equal_twin
from workflow_lib.errors import nearest
from workflow_lib.protocols import has_searched_weights, weighted_by_pseudo_anomalies

SECTIONS = {"branch": "branches", "system": "systems"}


def entry_of(settings: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, name) of the branch or system that a row or a study is about."""
    return ("branch", settings["branch"]) if "branch" in settings else ("system", settings["system"])


def protocol_of(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Protocol of a row: its own, or that of its study; "" where numbers take no part."""
    return row.get("protocol") or study.get("protocol") or ""


def study_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Faults of studies and stand-ins; the shape is sound."""
    for name, study in config["studies"].items():
        place = f"studies.{name}"
        if "suite" in study:
            # The published values are of `dev`, which a configuration need not have.
            yield from unknown_names(f"{place}.suite", "suite", [study["suite"]], [*config["suites"], "dev"])
        rows = enumerate(study.get("rows", ()))  # a heat map has none
        entries = {place: study, **{f"{place}.rows[{number}]": row for number, row in rows}}
        for where, entry in entries.items():
            for kind in SECTIONS.keys() & entry.keys():
                known = config[SECTIONS[kind]]
                if kind == "system" and study["kind"] not in ("leave_one_branch_out", "pseudo"):
                    known = [*known, *(equal_twin(s) for s, system in known.items() if has_searched_weights(system))]
                yield from unknown_names(f"{where}.{kind}", kind, [entry[kind]], known)
        if study["kind"] == "leave_one_branch_out":
            yield from _removal_faults(place, study, study["system"], config)
        if study["kind"] == "pseudo":
            yield from _pseudo_faults(f"{place}.system", study["system"], config)
        if study["kind"] in ("comparison", "scopes"):
            yield from _column_faults(place, study)
    for name, other in config["stand_ins"].items():
        kinds = [kind for kind, section in SECTIONS.items() if name in config[section]]
        if not kinds:
            known = [*config["branches"], *config["systems"]]
            yield from unknown_names(f"stand_ins.{name}", "branch or system", [name], known)
        elif not any(other in config[SECTIONS[kind]] for kind in kinds):
            yield from unknown_names(f"stand_ins.{name}", kinds[0], [other], config[SECTIONS[kinds[0]]])


def _removal_faults(place: str, study: Mapping[str, Any], name: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Also of the system that stands in, which is the one whose branches are removed."""
    stand_in = config["stand_ins"].get(name, name)
    for where, other in {f"{place}.system": name, f"stand_ins.{name}": stand_in}.items():
        system = config["systems"].get(other)
        if system and (not has_searched_weights(system) or system["calibration"] != "selection"):
            what = "has fixed weights" if "weights" in system else "has equal weights"
            what = "is calibrated by normal training clips" if has_searched_weights(system) else what
            what = "has one branch" if len(system["branches"]) < 2 else what
            yield f"{where}: {other} {what}: removing branches needs a system of several, weights chosen"
            return
    branches = config["systems"].get(name, {"branches": [row["branch"] for row in study["rows"]]})["branches"]
    for number, row in enumerate(study["rows"]):
        if row["branch"] not in branches:
            where = f"{place}.rows[{number}].branch: {row['branch']} is no branch of {study['system']}"
            yield f"{where}: {nearest(row['branch'], branches)}"


def _pseudo_faults(place: str, name: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Also of the system that stands in, whose branches are ranked."""
    name = config["stand_ins"].get(name, name)
    system = config["systems"].get(name)
    if system and not weighted_by_pseudo_anomalies(system):
        yield f"{place}: {name} has no pseudo-anomalies: it needs several branches and `search: pseudo`"


def _column_faults(place: str, study: Mapping[str, Any]) -> Iterator[str]:
    """Rows that share a column share a protocol; a row that differences are taken to is one of them."""
    protocols = list(dict.fromkeys(protocol_of(study, row) for row in study["rows"]))
    if "" in protocols:
        yield f"{place}: protocol is missing: write protocol in each row" + (
            ", or once for all" if study["kind"] == "comparison" else ""
        )
    elif study["kind"] == "comparison" and len(protocols) > 1:
        advice = "make a study for each, or write `kind: scopes`, which compares no rows"
        yield f"{place}: its rows mix the protocols {', '.join(protocols)} in one column: {advice}"
    labels = Counter(row["label"] for row in study["rows"])
    if (against := study.get("against")) is not None and labels[against] != 1:
        what = "no row has" if not labels[against] else "several rows have"
        yield f"{place}.against: {what} the label {against!r}: {nearest(against, labels)}"
