"""Which suites and systems are submitted, and what the user still has to fill in. Standard library only."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_lib.config.submission_form import (
    ABBREVIATION,
    AFFILIATION,
    AUTHOR,
    LARGEST_REPORT,
    NAME_IN_LABEL,
    label_of,
)
from workflow_lib.plan.paths import NO_SEED, fill
from workflow_lib.plan.plan import Plan

PROTOCOL = "complete_dev"  # of what is submitted: everything was chosen on the whole development set
UNLABELLED_CHOICE = "its weights would be chosen on the labels that they are submitted for: name select_on"


def evaluation_suites(plan: Plan) -> list[str]:
    """Suites that are run and were published without labels, whether the labels are known by now or not."""
    suites = [plan.suites[name] for name in plan.run_suites]
    return [suite.name for suite in suites if suite.ground_truth or not suite.labelled]


def submitted(plan: Plan, suite: str) -> list[dict[str, Any]]:
    """One row for each system that is submitted: its index, label, seed, score tables and models."""
    settings = plan.config["submission"]
    rows = []
    for index, system in enumerate(settings["systems"], 1):
        if obstacle(plan, suite, system):
            continue
        branches = plan.config["systems"][system]["branches"]
        seed = f"seed{seed_of(plan)}" if any(map(plan.is_adapted, branches)) else NO_SEED
        values = {"suite": suite, "protocol": PROTOCOL, "system": system, "seed": seed}
        tables = {m: fill(plan.paths.fused, **values, machine=m) for m in plan.suites[suite].machines}
        label = label_of(lastname(settings), settings["institute"], index) if not missing_facts(plan) else ""
        rows.append({"system": system, "index": index, "label": label, "seed": seed, "tables": tables})
    return rows


def obstacle(plan: Plan, suite: str, system: str) -> str | None:
    """Why a system cannot be submitted for a suite, or None."""
    if system not in plan.config["run"]["systems"]:
        return "not part of this run (run.systems)"
    if len(plan.config["systems"][system]["branches"]) > 1 and not plan.suites[suite].select_on:
        return UNLABELLED_CHOICE
    return plan.system_obstacle(system, suite)


def left_out(plan: Plan, suite: str) -> list[str]:
    """One line for each system of the submission that this run does not have."""
    names = plan.config["submission"]["systems"]
    reasons = [(index, name, obstacle(plan, suite, name)) for index, name in enumerate(names, 1)]
    return [f"suite {suite}: system {i}, {name}, is not submitted: {reason}" for i, name, reason in reasons if reason]


def seed_of(plan: Plan) -> int:
    """Seed of the adapted models whose scores are submitted."""
    chosen = plan.config["submission"]["seed"]
    return plan.config["run"]["seeds"][0] if chosen is None else chosen


def lastname(settings: Mapping[str, Any]) -> str:
    """What the labels begin with: the corresponding author's, without blanks, unless another is written for them."""
    if settings["label_name"]:
        return settings["label_name"]
    corresponding = [author for author in settings["authors"] if author.get("corresponding")]
    return "".join((corresponding[0].get("lastname") or "").split()) if corresponding else ""


def faults(plan: Plan) -> list[str]:
    """What keeps a submission from being written, one line a kind; nothing if it can be."""
    suites = evaluation_suites(plan)
    lines = []
    if missing := missing_facts(plan):
        lines.append(f"submission: missing for the meta files: {', '.join(missing)}: write them (docs/submission.md)")
    if not suites:
        runs = ", ".join(plan.run_suites)
        lines.append(f"submission: no evaluation suite is run ({runs}): name one without labels under run.suites")
    for suite in suites:
        if not submitted(plan, suite):
            lines += left_out(plan, suite)
    return [*lines, *_label_faults(plan.config["submission"]), *_report_faults(plan.config["submission"])]


def _label_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """A lastname that cannot stand in a label."""
    name = lastname(settings)
    if name and not NAME_IN_LABEL.fullmatch(name):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        proposal = re.sub(r"[^A-Za-z0-9-]", "", plain).lstrip("-") or "<lastname>"
        why = "labels take letters A to Z, digits and '-', not at the beginning"
        yield f"submission.label_name: missing, {name!r} cannot stand in a label ({why}): write for instance {proposal}"


def _report_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    report = settings["technical_report"]
    if not report:
        return
    size = Path(report).stat().st_size if Path(report).is_file() else None
    if size is None:
        yield f"submission.technical_report: there is no file {report}: write null or where it is"
    elif not 0 < size <= LARGEST_REPORT:
        yield f"submission.technical_report: {report} has {size:,} bytes: 1 to {LARGEST_REPORT:,} can be packed"


def missing_facts(plan: Plan) -> list[str]:
    """Keys of the section `submission` that are still to be filled in."""
    settings = plan.config["submission"]
    return [f"submission.{key}" for key in _missing(settings, settings["systems"])]


def _missing(settings: Mapping[str, Any], systems: list[str]) -> Iterator[str]:
    if not settings["institute"]:
        yield "institute"
    if not settings["authors"]:
        yield "authors"
    for number, author in enumerate(settings["authors"]):
        place = f"authors[{number}]"
        yield from (f"{place}.{key}" for key in AUTHOR if not (author.get(key) or "").strip())
        affiliation = author.get("affiliation") or {}
        yield from (f"{place}.affiliation.{key}" for key in AFFILIATION if not (affiliation.get(key) or "").strip())
    if settings["authors"] and [bool(author.get("corresponding")) for author in settings["authors"]].count(True) != 1:
        yield "authors (corresponding: true for one of them)"
    for system in systems:
        if len(system) > ABBREVIATION and not settings["meta"].get(system, {}).get("abbreviation"):
            yield f"meta.{system}.abbreviation"
