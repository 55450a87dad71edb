"""What is to be made: the configuration turned into models, protocols and score tables.

Imported while the DAG is built, so only the standard library, yaml and jsonschema lie below it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib import __version__
from workflow_lib.config.schema import branch_kind, definition, filled
from workflow_lib.digest import settings_digest
from workflow_lib.errors import UserError
from workflow_lib.plan.evaluations import Evaluation
from workflow_lib.plan.folds import folds_of
from workflow_lib.plan.paths import NO_ONE, NO_SEED, Paths, fill
from workflow_lib.plan.suites import Suite
from workflow_lib.protocols import CHOSEN, LEAST_FOLDS, PROTOCOLS, possible_protocols

SHORTEST_S = 0.2  # five frames of the autoencoder are 0.128 s, one patch of EAT 0.175 s
EXTERNAL = "external"  # directory level of score tables made elsewhere


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole run, decided from the configuration alone."""

    config: Mapping[str, Any]  # with the defaults of all keys that are left out
    suites: Mapping[str, Suite]
    run_suites: tuple[str, ...]
    written: Mapping[str, Any]  # without them

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.config["results"])

    @property
    def provenance(self) -> dict[str, str]:
        """What the report says it was made from."""
        return {"version": __version__, "configuration digest": settings_digest(dict(self.config))}

    # ---- models and branches ---------------------------------------------------------------------------------------

    def model(self, instance: str) -> Mapping[str, Any]:
        """Settings of a model, also of an adapted one by its full name (`dualmic@full-seed13711`)."""
        return self.config["models"][instance.split("@")[0]]

    def encoder(self, instance: str) -> Mapping[str, Any]:
        """Settings of the frozen encoder below a model."""
        model = self.model(instance)
        return self.config["models"][model["base"]] if model["kind"] == "adapted" else model

    def embedding_modules(self, instance: str) -> list[str]:
        """Library modules that an embedding job runs, for its code digest."""
        modules = [f"encoders.{self.encoder(instance)['encoder']}"]
        return [*modules, "adaptation.folder", "adaptation.heads"] if "@" in instance else modules

    def branch_kind(self, branch: str) -> str:
        return branch_kind(self.config["branches"][branch], self.config["models"])

    def is_adapted(self, branch: str) -> bool:
        return (
            self.branch_kind(branch) == "embedding"
            and self.model(self.config["branches"][branch]["model"])["kind"] == "adapted"
        )

    def needs_far(self, branch: str) -> bool:
        """Whether a branch cannot be had from the near channel alone."""
        settings = self.config["branches"][branch]
        kind = self.branch_kind(branch)
        if kind == "autoencoder":
            return self.model(settings["model"])["input"] != "near"
        return kind == "embedding" and (self.is_adapted(branch) or settings["view"] != ["near"])

    def needs_second_moments(self, model: str) -> bool:
        """Whether a branch reads the residuals block by block: 40 MB for each machine of the challenge."""
        settings = [self.config["branches"][branch] for branch in self._scored]
        scorers = [branch["scorer"] for branch in settings if branch.get("model") == model]
        return any(scorer["kind"] == "mahalanobis" and scorer["reading"] == "per_block" for scorer in scorers)

    # ---- folds -----------------------------------------------------------------------------------------------------

    @cached_property
    def folds(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Suite -> name of a fold -> machines that are held out together."""
        return {name: folds_of(suite.machines, self.config["folds"]["size"]) for name, suite in self.suites.items()}

    @cached_property
    def _fold_by_machine(self) -> dict[str, dict[str, str]]:
        return {
            suite: {machine: fold for fold, machines in folds.items() for machine in machines}
            for suite, folds in self.folds.items()
        }

    def fold_of(self, suite: str, machine: str) -> str:
        """The fold of a suite in which a machine is held out."""
        return self._fold_by_machine[suite][machine]

    def held_out(self, suite: str, fold: str) -> tuple[str, ...]:
        """Machines that a fold of a suite holds out: none for the fold of a complete-development fusion."""
        if fold == NO_ONE:
            return ()
        folds = self.folds[suite]
        if fold not in folds:
            raise UserError(f"suite {suite} has no fold {fold} (folds.size): name one of {', '.join(folds)}")
        return folds[fold]

    @cached_property
    def _scored(self) -> frozenset[str]:
        return frozenset(branch for suite in self.run_suites for branch in self.scored_branches(suite))

    def instance(
        self, branch: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> str:
        """The model that scores a machine for a branch: held out as the protocol says (docs/design.md).

        `held_out`: the fold whose weights the score enters; None where the machine itself is judged.
        """
        if self.branch_kind(branch) == "external":
            return EXTERNAL
        model = self.config["branches"][branch]["model"]
        if not self.is_adapted(branch):
            return model
        if protocol == "complete_dev" or self.suites[suite].select_on:
            return f"{model}@full-{seed}"
        own = self.fold_of(suite, machine)
        unheard = {own, held_out} - {None, NO_ONE} if protocol == "nested_lomo" else {own}
        return f"{model}@without-{'+'.join(sorted(unheard))}-{seed}"

    def training_machines(self, instance: str, suite: str) -> list[str]:
        """Machines whose normal clips an adapted model saw."""
        unheard = set(self.unheard_machines(instance, suite))
        return [machine for machine in self.suites[suite].machines if machine not in unheard]

    def unheard_machines(self, instance: str, suite: str) -> list[str]:
        """Machines of a suite that an adapted model must not hear, by its name (`dualmic@without-fan-seed13711`)."""
        scope = instance.split("@")[1].rsplit("-", 1)[0]
        folds = [] if scope == "full" else scope.removeprefix("without-").split("+")
        return [machine for fold in folds for machine in self.held_out(suite, fold)]

    def reading(self, suite: str) -> dict[str, Any]:
        """How the recordings of a suite are read."""
        settings = self.suites[suite]
        return {"sample_rate": settings.sample_rate, "channels": settings.channels, "resample": settings.resample}

    @property
    def computing(self) -> dict[str, Any]:
        """How encoders compute; the threads, which change no result on a GPU, and the site are the rule's."""
        return {key: value for key, value in self.config["compute"].items() if key not in ("threads", "site")}

    def index_rules(self, suite: str) -> dict[str, Any]:
        """What the index asks of the recordings of a suite."""
        settings = self.suites[suite]
        names = {"allow_no_target": settings.allow_no_target, "ground_truth": settings.ground_truth}
        return {**self.reading(suite), **names, "min_seconds": SHORTEST_S}

    def fetching(self, suite: str) -> dict[str, Any]:
        """What the fetching jobs of a published suite need to know."""
        settings = self.suites[suite]
        place = {"root": settings.root, "source": settings.fetch, "machines": list(settings.machines)}
        return {**place, "fetch": self.config["fetch"]}

    # ---- what is evaluated -----------------------------------------------------------------------------------------

    def branches(self, suite: str) -> list[str]:
        """Branches of a suite, in config order: asked for, or needed by a system, and possible there."""
        wanted = {
            *self.config["run"]["branches"],
            *(b for s in self.systems(suite) for b in self.config["systems"][s]["branches"]),
        }
        return [branch for branch in self.config["branches"] if branch in wanted and not self.obstacle(branch, suite)]

    def systems(self, suite: str) -> list[str]:
        """Systems of a suite whose branches are all possible there."""
        return [system for system in self.config["run"]["systems"] if not self.system_obstacle(system, suite)]

    def obstacle(self, branch: str, suite: str) -> str | None:
        """Why a branch cannot be had on a suite, or None."""
        return self._obstacles[suite, branch]

    @cached_property
    def _obstacles(self) -> dict[tuple[str, str], str | None]:
        # Once for each pair: the answer may look at the disk and is asked for every machine.
        return {
            (suite, branch): self._obstacle(branch, self.suites[suite])
            for suite in self.suites
            for branch in self.config["branches"]
        }

    def _obstacle(self, branch: str, suite: Suite) -> str | None:
        if self.branch_kind(branch) == "external":
            folder = Path(self.config["branches"][branch]["scores"])
            if not folder.is_dir():
                return f"branches.{branch}.scores: there is no folder {folder}"
            missing = [machine for machine in suite.machines if not (folder / f"{machine}.csv").is_file()]
            advice = f"leave them out with suites.{suite.name}.machines"
            return f"{folder} has no table for {', '.join(missing)}: add them, or {advice}" if missing else None
        if suite.root is None:
            return "the suite has no recordings (root)"
        if suite.channels == 1 and self.needs_far(branch):
            return "it needs the far channel and the suite is mono"
        if self.is_adapted(branch) and self.suites[suite.training_suite].channels == 1:
            return f"it is trained on suite {suite.training_suite}, which is mono"
        return None

    def system_obstacle(self, system: str, suite: str) -> str | None:
        """Why a system cannot be had on a suite, or None."""
        branches = self.config["systems"][system]["branches"]
        for branch in branches:
            if reason := self.obstacle(branch, suite):
                return f"branch {branch}: {reason}"
        here = self.suites[suite]
        if len(branches) == 1:
            return None
        if here.select_on:
            reason = self.system_obstacle(system, here.select_on)
            return f"on suite {here.select_on}: {reason}" if reason else None
        if not here.labelled:
            return f"its scores cannot be calibrated: name a labelled suite under suites.{suite}.select_on"
        if not here.choosers:
            return "no machine has normal and anomalous test clips, so none can choose its weights"
        return None

    def left_out(self, suite: str) -> list[tuple[str, str]]:
        """(branch or system, reason) for what is asked for and cannot be had on a suite."""
        pairs = [(name, self.obstacle(name, suite)) for name in self.config["run"]["branches"]]
        pairs += [(name, self.system_obstacle(name, suite)) for name in self.config["run"]["systems"]]
        pairs += [(c, self.obstacle(c, suite)) for c in self._nested_candidates(suite)]
        return [(name, reason) for name, reason in pairs if reason] + self._protocols_left_out(suite)

    def scored_branches(self, suite: str) -> list[str]:
        """All branches that are scored on a suite, also those that only nested_lomo chooses among."""
        nested = [c for c in self._nested_candidates(suite) if not self.obstacle(c, suite)]
        return list(dict.fromkeys([*self.branches(suite), *nested]))

    def _nested_candidates(self, suite: str) -> list[str]:
        """Candidates of all branches whose settings nested_lomo chooses, once each."""
        nested = [
            branch
            for kind, name in self._entries(suite)
            if "nested_lomo" in self.protocols(suite, kind, name)
            for branch in ([name] if kind == "branch" else self.config["systems"][name]["branches"])
        ]
        return list(dict.fromkeys(c for b in nested for c in self.config["branches"][b]["candidates"]))

    def _protocols_left_out(self, suite_name: str) -> list[tuple[str, str]]:
        suite = self.suites[suite_name]
        if not suite.labelled or suite.select_on:
            return []
        entries = self._entries(suite_name)
        asked = {p for kind, name in entries for p in self._asked(kind, name)}
        made = {p for kind, name in entries for p in self.protocols(suite_name, kind, name)}
        what = "machines" if self.config["folds"]["size"] == 1 else "folds of machines (folds.size)"
        reason = f"it needs {{}} {what} with normal and anomalous test clips"
        return [(p, reason.format(LEAST_FOLDS[p])) for p in PROTOCOLS if p in asked - made]

    def protocols(self, suite_name: str, kind: str, name: str) -> list[str]:
        """Protocols under which a branch or system of a suite is reported."""
        suite = self.suites[suite_name]
        if not suite.labelled or suite.select_on:
            own = self._settings(kind, name)["protocols"] or ["complete_dev"]
            return ["complete_dev"] if "complete_dev" in own else []
        choosing = self._folds_with(suite_name, suite.choosers)
        chosen_on = {p: choosing for p in ("cross_fitted", "nested_lomo")}
        folds = self._folds_with(suite_name, suite.machines) if kind == "branch" else choosing
        return [p for p in self._asked(kind, name) if chosen_on.get(p, folds) >= LEAST_FOLDS[p]]

    def _folds_with(self, suite: str, machines: Iterable[str]) -> int:
        return len({self.fold_of(suite, machine) for machine in machines})

    def _asked(self, kind: str, name: str) -> list[str]:
        """Protocols that the configuration asks for and that can be had for an entry, in the order asked."""
        settings = self._settings(kind, name)
        asked = settings["protocols"] or self.config["run"]["protocols"]
        return [p for p in asked if p in possible_protocols(kind, settings)]

    def _settings(self, kind: str, name: str) -> Mapping[str, Any]:
        return self.config["branches" if kind == "branch" else "systems"][name]

    def _entries(self, suite: str) -> list[tuple[str, str]]:
        """(kind, name) of what a suite reports."""
        return [("branch", b) for b in self.branches(suite)] + [("system", s) for s in self.systems(suite)]

    def seeds(self, branches: list[str]) -> list[str]:
        """Directory levels of the seeds of adapted models, or the one that says there are none."""
        return (
            [f"seed{seed}" for seed in self.config["run"]["seeds"]]
            if any(map(self.is_adapted, branches))
            else [NO_SEED]
        )

    def evaluations(self, suite: str) -> Iterator[Evaluation]:
        """All lines of evidence of a suite."""
        for kind, name in self._entries(suite):
            branches = [name] if kind == "branch" else self.config["systems"][name]["branches"]
            for protocol in self.protocols(suite, kind, name):
                fused = self._fused_as(kind, name, suite, protocol)
                for seed in self.seeds(branches):
                    tables = self._tables(name, fused, suite, protocol, seed)
                    yield Evaluation(suite, protocol, kind, name, seed, tables, fused)

    def _fused_as(self, kind: str, name: str, suite: str, protocol: str) -> str | None:
        """The system whose folds make an entry's tables; a branch has one where its candidates are chosen among."""
        if kind == "system":
            return name
        chosen = protocol == "nested_lomo" and len(self.candidates(name, suite)) > 1
        return f"{name}{CHOSEN}" if chosen else None

    def _tables(self, name: str, fused: str | None, suite: str, protocol: str, seed: str) -> dict[str, str]:
        values = {"suite": suite, "protocol": protocol, "system": fused or "", "seed": seed}
        machines = self.suites[suite].machines
        if fused:
            return {m: fill(self.paths.fused, machine=m, **values) for m in machines}
        return {m: self.score_table(name, suite, protocol, m, seed) for m in machines}

    def system(self, name: str) -> Mapping[str, Any]:
        """Settings of a system, also of a branch that stands as a system of one (`<branch>@chosen`)."""
        if not name.endswith(CHOSEN):
            return self.config["systems"][name]
        return filled({"branches": [name.removesuffix(CHOSEN)]}, definition("system"))

    def candidates(self, branch: str, suite: str) -> list[str]:
        """What nested_lomo chooses among for a branch: itself first, then its candidates that can be had."""
        others = self.config["branches"][branch]["candidates"]
        return [branch, *(other for other in others if not self.obstacle(other, suite))]

    def choices(self, system: str, suite: str, protocol: str) -> dict[str, list[str]]:
        """Branch of a system -> the branches that a fold may choose in its place; itself alone but in nested_lomo."""
        nested = protocol == "nested_lomo"
        return {b: self.candidates(b, suite) if nested else [b] for b in self.system(system)["branches"]}

    def evaluation_rows(self, suite: str) -> list[dict[str, Any]]:
        """`evaluations` as plain values, with whether an untrained model takes part, for a job's params."""
        return [
            {**vars(e), "untrained": self.is_untrained(e), "tables": dict(e.tables)} for e in self.evaluations(suite)
        ]

    def is_untrained(self, evaluation: Evaluation) -> bool:
        """Whether a model with random weights takes part, or in nested_lomo may be chosen to."""
        name, fused = evaluation.name, evaluation.fused
        choices = self.choices(fused, evaluation.suite, evaluation.protocol) if fused else {name: [name]}
        branches = [candidate for candidates in choices.values() for candidate in candidates]
        models = [self.config["branches"][b]["model"] for b in branches if self.branch_kind(b) == "embedding"]
        return any(self.encoder(model)["checkpoint"] == "random" for model in models)

    def score_table(
        self, branch: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> str:
        instance = self.instance(branch, suite, protocol, machine, seed, held_out)
        return fill(self.paths.scores, suite=suite, branch=branch, model=instance, machine=machine)
