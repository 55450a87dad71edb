"""Which studies a run makes and what their rows stand for; what the run does not have is said, not left out.

Loaded while the DAG is built, so it imports only the standard library, yaml and jsonschema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workflow_lib.config.studies import entry_of, protocol_of
from workflow_lib.config.twins import equal_twin, twin_of
from workflow_lib.fetch.sets import published_sets
from workflow_lib.plan.paths import fill
from workflow_lib.plan.plan import Plan

PLAIN = {"detail": "", "published": None}  # of the one row of a study that lists none


@dataclass(frozen=True)
class Studies:
    """The studies of a run, decided from its plan alone."""

    plan: Plan

    def names(self, suite: str) -> list[str]:
        """Studies of a suite: those that the configuration names, or with `auto` all that have something to show.

        That is an available row; where rows are compared among themselves alone (`against`, no published value), two
        rows and at least half of all. A suite without labels has the studies by pseudo-anomalies alone.
        """
        labelled, every = self.plan.suites[suite].labelled, self.plan.config["studies"]
        possible = [name for name, study in every.items() if labelled or study["kind"] == "pseudo"]
        chosen = self.plan.config["run"]["studies"]
        if chosen != "auto":
            return [name for name in ([chosen] if isinstance(chosen, str) else chosen) if name in possible]
        studies = [(name, every[name]) for name in possible]
        return [name for name, study in studies if self._has_something_to_show(suite, study)]

    def _has_something_to_show(self, suite: str, study: Mapping[str, Any]) -> bool:
        rows = self._rows(suite, study)
        here = [row for row in rows if not row["absent"]]
        among_themselves = "against" in study and all(row["published"] is None for row in rows)
        return len(here) >= max(2, len(rows) / 2) if among_themselves else bool(here)

    def suite_folders(self, wildcards: Any) -> list[str]:
        """Folders of the studies of all suites that have some."""
        return [fill(self.plan.paths.studies, suite=suite) for suite in self.plan.run_suites if self.names(suite)]

    def folders(self) -> list[str]:
        """Folder of each study of this run."""
        place = self.plan.paths.studies
        return [f"{fill(place, suite=suite)}/{name}" for suite in self.plan.run_suites for name in self.names(suite)]

    def settings(self, suite: str, name: str) -> dict[str, Any]:
        """All that the job of a study needs, as plain values: its settings with each row's entry resolved."""
        study, here, known = self.plan.config["studies"][name], self.plan.suites[suite], published_sets()
        machines = known[here.fetch].machines if here.fetch in known else here.machines
        fewer = f"of {len(here.machines)} of {len(machines)} machines: {', '.join(here.machines)}"
        fewer = fewer if set(machines) - set(here.machines) else ""
        kept = {key: study[key] for key in ("kind", "title", "against", "published") if key in study}
        return {
            **kept,
            "name": name,
            "paper": study["paper"],
            "suite": suite,
            "published_suite": study.get("suite"),  # None of a roles study, which measures nothing
            "fewer_machines": fewer,  # says so where a suite holds only some machines of a published set
            "bootstrap": self.plan.config["evidence"]["bootstrap"],
            "seeds": [str(seed) for seed in self.plan.config["run"]["seeds"]],
            "rows": self._rows(suite, study),
            "removal": self._removal(suite, study),
            "pseudo": self._pseudo_tables(suite, study),
            "labelled": here.labelled,
        }

    def score_folders(self, wildcards: Any) -> list[str]:
        """Folders of score tables that the studies of a suite compute from, besides the tables of the suite."""
        suite, studies = wildcards.suite, self.plan.config["studies"]
        removals = [self._removal(suite, studies[name]).get("tables", {}) for name in self.names(suite)]
        tables = [t for seeds in removals for m in seeds.values() for paths in m.values() for t in paths.values()]
        ranked = [self._pseudo_tables(suite, studies[name]) for name in self.names(suite)]
        tables += [table for of_study in ranked for paths in of_study.values() for table in paths.values()]
        return sorted({table.rpartition("/")[0] for table in tables})

    # ---- rows ------------------------------------------------------------------------------------------------------

    def _rows(self, suite: str, study: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows with `entry` as this run calls it and `absent`, why the run does not have it ("" if it has)."""
        if study["kind"] == "roles":
            return [self._role(suite, row) for row in study["rows"]]
        if study["kind"] == "leave_one_branch_out":
            return [self._row(suite, study, {"label": "all branches", "system": study["system"], **PLAIN})]
        if study["kind"] == "heat_map":
            entry = {key: study[key] for key in ("branch", "system") if key in study}
            return [self._row(suite, study, {"label": study["title"], **entry, **PLAIN})]
        if study["kind"] == "pseudo":
            system = self.stand_in(study["system"])
            absent = self._absence(suite, "system", system, study["protocol"], "")
            branches = self.plan.config["systems"][system]["branches"]
            rows = [self._row(suite, study, {"label": branch, "branch": branch, **PLAIN}) for branch in branches]
            return [{**row, "absent": absent} for row in rows]
        return [self._row(suite, study, row) for row in study["rows"]]

    def _row(self, suite: str, study: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        kind, paper_name = entry_of(row)
        entry, protocol = self.stand_in(paper_name), protocol_of(study, row)
        seed = str(row["seed"]) if "seed" in row else ""
        return {
            "label": row["label"],
            "detail": row["detail"],
            "kind": kind,
            "entry": entry,
            "stand_in": entry != paper_name,
            "protocol": protocol,
            "seed": seed,
            "published": row["published"],
            "absent": self._absence(suite, kind, entry, protocol, seed),
        }

    def _role(self, suite: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """A role row: what the branch is, from the configuration; that holds whether or not this run scores it."""
        entry = self.stand_in(row["branch"])
        branch, models = self.plan.config["branches"][entry], self.plan.models
        encoder = models.encoder(branch["model"]) if models.kind_of(entry) == "embedding" else {}
        return {
            "label": row["label"],
            "detail": "",
            "kind": "branch",
            "entry": entry,
            "stand_in": entry != row["branch"],
            "protocol": "",
            "untrained": models.is_untrained(entry),
            "branch": branch,
            "model": self.plan.config["models"].get(branch.get("model"), {}),
            "encoder": encoder,
            "published": row["published"],
            "absent": self._absence(suite, "branch", entry, None, ""),
        }

    def stand_in(self, name: str) -> str:
        """What this run has for a branch or system of the paper; for a twin, the twin of the stand-in."""
        if system := twin_of(name):
            return equal_twin(self.stand_in(system))
        return self.plan.config["stand_ins"].get(name, name)

    @cached_property
    def _evaluated(self) -> dict[str, set[tuple[str, str, str, str]]]:
        """(kind, name, protocol, seed) of all lines of evidence, by suite."""
        return {
            suite: {(e.kind, e.name, e.protocol, e.seed) for e in self.plan.evaluations.by_suite[suite]}
            for suite in self.plan.run_suites
        }

    def _absence(self, suite: str, kind: str, name: str, protocol: str | None, seed: str) -> str:
        """Why this run has no figure of a branch or system, or ""; protocol None: any will do."""
        mine = {(p, s) for k, n, p, s in self._evaluated[suite] if (k, n) == (kind, name)}
        if not mine:
            reason = dict(self.plan.reported.left_out(suite)).get(twin_of(name) or name)
            return f"not part of this run: {kind} {name}" + (f" ({reason})" if reason else "")
        if protocol is not None and protocol not in {p for p, _ in mine}:
            return f"not part of this run: {kind} {name} under {protocol}"
        return f"not part of this run: seed {seed}" if seed and seed not in {s for _, s in mine} else ""

    # ---- pseudo-anomalies --------------------------------------------------------------------------------------------

    def _pseudo_tables(self, suite: str, study: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Branch -> machine -> score table of pseudo-anomalies; {} for other kinds, and where this run has none."""
        if study["kind"] != "pseudo":
            return {}
        machines, table = self.plan.suites[suite].machines, self.plan.scores.pseudo_table
        rows = [row["entry"] for row in self._rows(suite, study) if not row["absent"]]
        return {branch: {machine: table(branch, suite, machine) for machine in machines} for branch in rows}

    # ---- leave one branch out ----------------------------------------------------------------------------------------

    def _removal(self, suite: str, study: Mapping[str, Any]) -> dict[str, Any]:
        """What removing branches is computed from: {} for other kinds; no tables where this run lacks the system.

        tables: seed -> machine -> branch -> score table.
        """
        if study["kind"] != "leave_one_branch_out":
            return {}
        system = self.stand_in(study["system"])
        settings, tables = self.plan.config["systems"][system], {}
        if not self._absence(suite, "system", system, study["protocol"], ""):
            # In cross_fitted each machine's own held-out model scores it, also where the machine chooses
            # (docs/design.md), so that one table serves both ends.
            tables = {
                seed: {
                    machine: {
                        branch: self.plan.scores.table(branch, suite, study["protocol"], machine, seed)
                        for branch in settings["branches"]
                    }
                    for machine in self.plan.suites[suite].machines
                }
                for seed in self.plan.reported.seeds("system", system)
            }
        return {
            "branches": [
                {"label": row["label"], "branch": self.stand_in(row["branch"]), "published": row["published"]}
                for row in study["rows"]
            ],
            "system": settings,
            "folds": self.plan.folds.by_machine[suite],
            "tables": tables,
        }
