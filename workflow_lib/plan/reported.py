"""What a run reports on each suite: branches, systems and their protocols, and why the others are unavailable."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib.config.schema import definition, filled
from workflow_lib.config.twins import equal_twin, twin_of, twin_settings
from workflow_lib.errors import and_more
from workflow_lib.plan.folds import Folds
from workflow_lib.plan.model_name import chosen_branch
from workflow_lib.plan.models import Models
from workflow_lib.plan.suites import Suite
from workflow_lib.protocols import (
    LEAST_FOLDS,
    PROTOCOLS,
    chooses_nothing,
    has_searched_weights,
    possible_protocols,
    weighted_by_pseudo_anomalies,
)

Candidates = Mapping[str, Sequence[str]]  # branch -> the branches that may stand in its place, itself first


@dataclass(frozen=True, eq=False)
class Reported:
    """The branches and systems of a configuration on its suites."""

    config: Mapping[str, Any]
    suites: Mapping[str, Suite]
    folds: Folds
    models: Models

    def branches(self, suite: str) -> list[str]:
        """Branches of a suite, in config order: asked for, or needed by a system, and available there."""
        needed = (b for s in self.systems(suite) for b in self.config["systems"][s]["branches"])
        wanted = {*self.config["run"]["branches"], *needed}
        return [b for b in self.config["branches"] if b in wanted and not self.why_unavailable[b, suite]]

    def systems(self, suite: str) -> list[str]:
        """Systems of a suite whose branches are all available there."""
        return [s for s in self.config["run"]["systems"] if not self.why_system_unavailable(s, suite)]

    def scored_branches(self, suite: str) -> list[str]:
        """All branches that are scored on a suite, also those that only nested_lomo chooses among."""
        nested = [c for c in self._nested_candidates(suite) if not self.why_unavailable[c, suite]]
        return list(dict.fromkeys([*self.branches(suite), *nested]))

    def entries(self, suite: str) -> Iterator[tuple[str, str, str]]:
        """(kind, name, protocol) of all that a suite reports; nothing of a suite of pseudo-anomalies."""
        if self.suites[suite].made_from:
            return
        for kind, name in self._names(suite):
            for protocol in self.protocols(suite, kind, name):
                yield kind, name, protocol

    # ---- protocols and candidates ----------------------------------------------------------------------------------

    def protocols(self, suite_name: str, kind: str, name: str) -> list[str]:
        """Protocols under which a branch or system of a suite is reported."""
        suite = self.suites[suite_name]
        if not suite.labelled or suite.select_on:
            own = self._settings(kind, name)["protocols"] or ["complete_dev"]
            return ["complete_dev"] if "complete_dev" in own else []
        alone = kind == "branch" or chooses_nothing(self._settings(kind, name))
        choosing = len({self.folds.by_machine[suite_name][machine] for machine in suite.selection_machines})
        chosen_on = {p: choosing for p in ("cross_fitted", "nested_lomo")}
        folds = len(self.folds.by_name[suite_name]) if alone else choosing
        return [p for p in self._asked(kind, name) if chosen_on.get(p, folds) >= LEAST_FOLDS[p]]

    def system(self, name: str) -> Mapping[str, Any]:
        """Settings of a system, also of those that the plan derives.

        `<branch>@chosen`: what nested_lomo makes of a branch. `<system>@equal`: the same with equal weights.
        """
        if branch := chosen_branch(name):
            return filled({"branches": [branch]}, definition("system"))
        if system := twin_of(name):
            return twin_settings(self.config["systems"][system])
        return self.config["systems"][name]

    def candidates(self, kind: str, name: str, suite: str, protocol: str) -> Candidates:
        """Each branch of an entry with what a fold may choose in its place: itself alone, but in nested_lomo."""
        branches = [name] if kind == "branch" else self.system(name)["branches"]
        others = {b: self.config["branches"][b]["candidates"] if protocol == "nested_lomo" else [] for b in branches}
        unavailable = [self.why_unavailable]
        if kind == "system" and self.system(name)["calibration"] == "normal":
            unavailable.append(self._why_no_normals)
        return {b: [b, *(c for c in others[b] if not any(why[c, suite] for why in unavailable))] for b in branches}

    def seeds(self, kind: str, name: str) -> list[str]:
        """Seeds of the adapted models that a branch or system needs; [""] where there are none."""
        branches = [name] if kind == "branch" else self.system(name)["branches"]
        adapted = any(map(self.models.is_adapted, branches))
        return [str(seed) for seed in self.config["run"]["seeds"]] if adapted else [""]

    # ---- what is unavailable ---------------------------------------------------------------------------------------

    @cached_property
    def why_unavailable(self) -> dict[tuple[str, str], str | None]:
        """Why a branch is unavailable on a suite, by (branch, suite); None where it is available."""
        # Once for each pair: the answer may look at the disk and is asked for every machine.
        return {(b, s): self._reason(b, self.suites[s]) for s in self.suites for b in self.config["branches"]}

    def _reason(self, branch: str, suite: Suite) -> str | None:
        if self.models.kind_of(branch) == "external":
            folder = Path(self.config["branches"][branch]["scores"])
            if not folder.is_dir():
                return f"branches.{branch}.scores: there is no folder {folder}"
            missing = [machine for machine in suite.machines if not (folder / f"{machine}.csv").is_file()]
            advice = f"leave them out with suites.{suite.name}.machines"
            return f"{folder} has no table for {', '.join(missing)}: add them, or {advice}" if missing else None
        if suite.root is None:
            return "the suite has no recordings (root)"
        if suite.channels == 1 and self.models.needs_far(branch):
            return "it needs the far channel and the suite is mono"
        if self.models.is_adapted(branch) and self.suites[suite.training_suite].channels == 1:
            return f"it is trained on suite {suite.training_suite}, which is mono"
        return None

    @cached_property
    def _why_no_normals(self) -> dict[tuple[str, str], str | None]:
        """Why no normal training clip can calibrate a branch on a suite, by (branch, suite); None where they can."""
        return {(b, s): self._normals_missing(b, self.suites[s]) for s in self.suites for b in self.config["branches"]}

    def _normals_missing(self, branch: str, suite: Suite) -> str | None:
        if self.models.kind_of(branch) != "external":
            return None
        folder = Path(self.config["branches"][branch]["scores"], "normal")
        missing = [machine for machine in suite.machines if not (folder / f"{machine}.csv").is_file()]
        what = f"branch {branch} has no scores of normal training clips"
        return f"{what}: put them in {folder}/<machine>.csv ({and_more(missing)})" if missing else None

    def why_system_unavailable(self, system: str, suite: str) -> str | None:
        """Why a system is unavailable on a suite, or None."""
        settings = self.config["systems"][system]
        branches = settings["branches"]
        for branch in branches:
            if reason := self.why_unavailable[branch, suite]:
                return f"branch {branch}: {reason}"
        here = self.suites[suite]
        if len(branches) == 1:
            return None
        if settings["calibration"] == "normal":
            for branch in branches:
                if reason := self._why_no_normals[branch, suite]:
                    return reason
        if weighted_by_pseudo_anomalies(settings):
            return next(filter(None, map(self._why_no_pseudo_anomalies, branches)), None)
        if chooses_nothing(settings):
            return None
        if here.select_on:
            reason = self.why_system_unavailable(system, here.select_on)
            return f"on suite {here.select_on}: {reason}" if reason else None
        if not here.labelled:
            return f"its scores cannot be calibrated: name a labelled suite under suites.{suite}.select_on"
        if not here.selection_machines:
            return "no machine has normal and anomalous test clips, so none can choose its weights"
        return None

    def _why_no_pseudo_anomalies(self, branch: str) -> str | None:
        if self.models.kind_of(branch) == "external":
            return f"search: pseudo: branch {branch} is of score tables made elsewhere, which have no disturbed clips"
        if self.models.is_adapted(branch):
            return f"search: pseudo: the adapted model of branch {branch} was trained on the clips that are disturbed"
        return None

    def left_out(self, suite: str) -> list[tuple[str, str]]:
        """(branch, system or protocol, reason) for what is asked for and unavailable on a suite."""
        pairs = [(name, self.why_unavailable[name, suite]) for name in self.config["run"]["branches"]]
        pairs += [(name, self.why_system_unavailable(name, suite)) for name in self.config["run"]["systems"]]
        pairs += [(name, self.why_unavailable[name, suite]) for name in self._nested_candidates(suite)]
        if self.suites[suite].labelled and not self.suites[suite].select_on:
            asked = {p for kind, name in self._names(suite) for p in self._asked(kind, name)}
            missing = asked.difference(protocol for _, _, protocol in self.entries(suite))
            what = "machines" if self.folds.size == 1 else "folds of machines (folds.size)"
            reason = f"it needs {{}} {what} with normal and anomalous test clips"
            pairs += [(p, reason.format(LEAST_FOLDS[p])) for p in PROTOCOLS if p in missing]
        return [(name, reason) for name, reason in pairs if reason]

    def _nested_candidates(self, suite: str) -> list[str]:
        """Candidates of all branches whose settings nested_lomo chooses, once each."""
        nested = [
            branch
            for kind, name, protocol in self.entries(suite)
            if protocol == "nested_lomo"
            for branch in ([name] if kind == "branch" else self.system(name)["branches"])
        ]
        return list(dict.fromkeys(c for b in nested for c in self.config["branches"][b]["candidates"]))

    # ---- names -----------------------------------------------------------------------------------------------------

    def _asked(self, kind: str, name: str) -> list[str]:
        """Protocols that the configuration asks for and that are possible for an entry, in the order asked."""
        settings = self._settings(kind, name)
        asked = settings["protocols"] or self.config["run"]["protocols"]
        return [p for p in asked if p in possible_protocols(kind, settings)]

    def _settings(self, kind: str, name: str) -> Mapping[str, Any]:
        if kind == "branch":
            return self.config["branches"][name]
        return self.config["systems"][twin_of(name) or name]  # a twin has the protocols of its system

    def _names(self, suite: str) -> list[tuple[str, str]]:
        """(kind, name) of what a suite reports; behind each system whose weights are searched its equal-weight twin."""
        systems = [name for s in self.systems(suite) for name in (s, *self._twin(s))]
        return [("branch", b) for b in self.branches(suite)] + [("system", s) for s in systems]

    def _twin(self, system: str) -> list[str]:
        return [equal_twin(system)] if has_searched_weights(self.config["systems"][system]) else []
