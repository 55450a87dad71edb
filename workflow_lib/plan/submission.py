"""Which suites and systems are submitted, the official baseline's files, and what the user still has to fill in."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
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
from workflow_lib.errors import UserError
from workflow_lib.fetch.published import file_on_disk
from workflow_lib.plan.paths import fill
from workflow_lib.plan.plan import Plan
from workflow_lib.protocols import chooses_nothing

PROTOCOL = "complete_dev"  # of what is submitted: everything was chosen on the whole development set
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "heads.safetensors")


def evaluation_suites(plan: Plan) -> list[str]:
    """Suites that are run and were published without labels, whether the labels are known by now or not."""
    return [name for name in plan.run_suites if plan.suites[name].for_submission]


def submitted(plan: Plan, suite: str) -> list[dict[str, Any]]:
    """One row for each system that is submitted: its index, label, seed and score tables."""
    settings = plan.config["submission"]
    rows = []
    for index, system in enumerate(settings["systems"], 1):
        if why_not_submitted(plan, suite, system):
            continue
        chosen = plan.config["run"]["seeds"][0] if settings["seed"] is None else settings["seed"]
        seed = str(chosen) if plan.reported.seeds("system", system) != [""] else ""
        tables = plan.evaluations.line(suite, "system", system, PROTOCOL, seed).tables
        label = label_of(lastname(settings), settings["institute"], index) if not missing_facts(plan) else ""
        rows.append({"system": system, "index": index, "label": label, "seed": seed, "tables": tables})
    return rows


def why_not_submitted(plan: Plan, suite: str, system: str) -> str | None:
    """Why a system cannot be submitted for a suite, or None."""
    if system not in plan.config["run"]["systems"]:
        return "not part of this run (run.systems)"
    settings = plan.config["systems"][system]
    if len(settings["branches"]) > 1 and not chooses_nothing(settings) and not plan.suites[suite].select_on:
        return "its weights would be chosen on the labels that they are submitted for: name select_on"
    return plan.reported.why_system_unavailable(system, suite)


def left_out(plan: Plan, suite: str) -> list[str]:
    """One line for each system of the submission that this run does not have."""
    names = plan.config["submission"]["systems"]
    reasons = [(index, name, why_not_submitted(plan, suite, name)) for index, name in enumerate(names, 1)]
    return [f"suite {suite}: system {i}, {name}, is not submitted: {reason}" for i, name, reason in reasons if reason]


def lastname(settings: Mapping[str, Any]) -> str:
    """What the labels begin with: the corresponding author's, without blanks, unless another is written for them."""
    if settings["label_name"]:
        return settings["label_name"]
    corresponding = [author for author in settings["authors"] if author["corresponding"]]
    return "".join((corresponding[0]["lastname"] or "").split()) if corresponding else ""


def faults(plan: Plan) -> list[str]:
    """What keeps a submission from being written, one line a kind; nothing if it can be."""
    settings, suites, lines = plan.config["submission"], evaluation_suites(plan), []
    if missing := missing_facts(plan):
        lines.append(f"submission: missing for the meta files: {', '.join(missing)}: write them (docs/submission.md)")
    if not suites:
        runs = ", ".join(plan.run_suites)
        lines.append(f"submission: no evaluation suite is run ({runs}): name one without labels under run.suites")
    for suite in suites:
        if not submitted(plan, suite):
            lines += left_out(plan, suite)
    name, report = lastname(settings), settings["technical_report"]
    if name and not NAME_IN_LABEL.fullmatch(name):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        proposal = re.sub(r"[^A-Za-z0-9-]", "", plain).lstrip("-") or "<lastname>"
        why = f"{name!r} cannot stand in a label (labels take letters A to Z, digits and '-', not at the beginning)"
        lines.append(f"submission.label_name: missing, {why}: write for instance {proposal}")
    if report and not Path(report).is_file():
        lines.append(f"submission.technical_report: there is no file {report}: write null or where it is")
    elif report and not 0 < (size := Path(report).stat().st_size) <= LARGEST_REPORT:
        what = f"{report} has {size:,} bytes: 1 to {LARGEST_REPORT:,} can be packed"
        lines.append(f"submission.technical_report: {what}")
    return lines


def missing_facts(plan: Plan) -> list[str]:
    """Keys of the section `submission` that are still to be filled in."""
    settings = plan.config["submission"]
    missing = [key for key in ("institute", "authors") if not settings[key]]
    for number, author in enumerate(settings["authors"]):
        facts = {key: author[key] for key in AUTHOR}
        facts |= {f"affiliation.{key}": author["affiliation"][key] for key in AFFILIATION}
        missing += [f"authors[{number}].{key}" for key, fact in facts.items() if not (fact or "").strip()]
    if settings["authors"] and [author["corresponding"] for author in settings["authors"]].count(True) != 1:
        missing.append("authors (corresponding: true for one of them)")
    long = [system for system in settings["systems"] if len(system) > ABBREVIATION]
    missing += [f"meta.{s}.abbreviation" for s in long if not settings["meta"].get(s, {}).get("abbreviation")]
    return [f"submission.{key}" for key in missing]


# ---- input functions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SubmissionFiles:
    """Input functions of the rules in rules/submission.smk, and what their parameters need."""

    plan: Plan

    def scores(self, wildcards: Any) -> list[str]:
        """Folders of the submitted systems' score tables."""
        plan, suite = self.plan, wildcards.suite
        machines, systems = plan.suites[suite].machines, [row["system"] for row in submitted(plan, suite)]
        fused = [s for s in systems if plan.scores.fused_as(suite, "system", s, PROTOCOL)]
        single = [("system", s, PROTOCOL) for s in systems if s not in fused]
        folders = [plan.scores.fused_folder(suite, PROTOCOL, machine) for machine in machines if fused]
        return sorted([*folders, *plan.scores.folders(suite, single)])

    def development_tables(self, wildcards: Any) -> list[str]:
        """Tables of the suite that chose the systems, where it is run as well."""
        other = self.plan.suites[wildcards.suite].select_on
        return [fill(self.plan.paths.tables, suite=other)] if other in self.plan.run_suites else []

    def made_weights(self, wildcards: Any) -> list[str]:
        """Weights that the workflow makes for the submitted systems: networks, and folders of adapted models."""
        return sorted({part for row in self.systems(wildcards.suite) for part in row["made"]})

    def technical_report(self, wildcards: Any) -> list[str]:
        """The report that is packed with every system, where there is one."""
        path = self.plan.config["submission"]["technical_report"]
        return [path] if path and Path(path).is_file() else []

    def systems(self, suite: str) -> list[dict[str, Any]]:
        """The submitted systems with their branches' settings and the files that hold their weights."""
        rows = []
        for row in submitted(self.plan, suite):
            names = self.plan.config["systems"][row["system"]]["branches"]
            found = [self._weights(branch, suite, row["seed"]) for branch in names]
            weights = {
                "branches": {name: self.plan.config["branches"][name] for name in names},
                "made": list(dict.fromkeys(path for made, _ in found for path in made)),
                "weights": list(dict.fromkeys(file for _, files in found for file in files)),
            }
            rows.append({**row, **weights})
        return rows

    def _weights(self, branch: str, suite: str, seed: str) -> tuple[list[str], list[str]]:
        """What jobs of this workflow make of a branch's weights, and all files that hold them."""
        plan, machine = self.plan, self.plan.suites[suite].machines[0]  # every machine has a network of the same size
        kind = plan.models.kind_of(branch)
        if kind == "external":
            return [], [f"branch {branch}"]
        name = plan.models.scoring(plan.models.by_branch[branch], suite, PROTOCOL, machine, seed)
        if kind == "autoencoder":
            network = fill(plan.paths.autoencoder, suite=suite, model=str(name), machine=machine)
            return [network], [network]
        if name.model in plan.models.without_weights:
            return [], []
        checkpoint = plan.models.checkpoint(str(name))
        found = file_on_disk(checkpoint) if checkpoint else None
        below = [str(found) if found else f"{name.model} ({checkpoint or 'random'})"]
        if not name.seed:
            return [], below
        adapter = fill(plan.paths.adapter, suite=plan.suites[suite].training_suite, model=str(name))
        return [adapter], [*below, *(f"{adapter}/{file}" for file in ADAPTER_WEIGHTS)]

    # ---- the official baseline's files -----------------------------------------------------------------------------

    def baseline_folders(self, wildcards: Any) -> list[str]:
        """One folder for each suite of the run and each autoencoder that scores it."""
        plan = self.plan
        found = dict.fromkeys(
            fill(plan.paths.baseline, suite=suite, model=plan.models.by_branch[branch])
            for suite in plan.run_suites
            for branch in plan.reported.scored_branches(suite)
            if plan.models.kind_of(branch) == "autoencoder"
        )
        if not found:
            raise UserError("run: no suite has a branch of an autoencoder: add ae_mse to run.branches")
        return list(found)
