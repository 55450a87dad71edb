"""What is to be made: the configuration turned into models, protocols and score tables.

Imported while the DAG is built, so only the standard library, yaml and jsonschema lie below it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib import __version__
from workflow_lib.config import branch_kind
from workflow_lib.digest import settings_digest
from workflow_lib.fetch.sets import SPLITS
from workflow_lib.paths import NO_ONE, NO_SEED, Paths, fill
from workflow_lib.suites import Suite

NO_WEIGHTS = "the systems NearMah and ResMah and the branch ae_mse need none (run.systems, run.branches)"
SHORTEST_S = 0.2  # five frames of the autoencoder are 0.128 s, one patch of EAT 0.175 s
POSSIBLE = {"branch": ("complete_dev", "fixed_lomo"), "system": ("complete_dev", "cross_fitted", "nested_lomo")}
# A fold needs other machines: to train on, and with normal and anomalous test clips to choose on; a nested one, which
# scores each choosing machine with a model that heard neither it nor the held-out one, needs a third.
LEAST_MACHINES = {"complete_dev": 1, "fixed_lomo": 2, "cross_fitted": 2, "nested_lomo": 3}
EXTERNAL = "external"  # directory level of score tables made elsewhere


@dataclass(frozen=True)
class Evaluation:
    """One line of evidence: the score tables of a branch or system, under one protocol and seed."""

    suite: str
    protocol: str
    kind: str  # branch or system
    name: str
    seed: str  # "seed13711", or "noseed" where no adapted model takes part
    tables: Mapping[str, str]  # machine -> score table


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole run, decided from the configuration alone."""

    config: Mapping[str, Any]
    suites: Mapping[str, Suite]
    run_suites: tuple[str, ...]

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.config["results"])

    @cached_property
    def wildcard_constraints(self) -> dict[str, str]:
        """One regular expression for each wildcard, made of the names in the configuration."""
        machines = _alternatives(machine for suite in self.suites.values() for machine in suite.machines)
        models = _alternatives([*self.config["models"], EXTERNAL])
        scope = rf"@(?:full|without-{machines}(?:\+{machines})*)-seed\d+"
        return {
            "suite": _alternatives(self.suites),
            "machine": machines,
            "held_out": _alternatives([NO_ONE, *(m for suite in self.suites.values() for m in suite.machines)]),
            "model": rf"{models}(?:{scope})?",
            "branch": _alternatives(self.config["branches"]),
            "system": _alternatives(self.config["systems"]),
            "protocol": _alternatives(self.config["run"]["protocols"] + ["complete_dev"]),
            "seed": rf"{NO_SEED}|seed\d+",
            "part": _alternatives(SPLITS),
            "study": _alternatives(self.config["studies"]),
        }

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
        used = {branch for suite in self.run_suites for branch in self.branches(suite)}
        branches = [self.config["branches"][branch] for branch in used]
        return any(b["scorer"].get("reading") == "per_block" for b in branches if b.get("model") == model)

    def instance(
        self, branch: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> str:
        """The model that scores a machine for a branch: held out as the protocol says (docs/design.md).

        `held_out`: the machine of the fold whose weights the score enters; None where the machine itself is judged.
        """
        if self.branch_kind(branch) == "external":
            return EXTERNAL
        model = self.config["branches"][branch]["model"]
        if not self.is_adapted(branch):
            return model
        if protocol == "complete_dev" or self.suites[suite].select_on:
            return f"{model}@full-{seed}"
        unheard = {machine, held_out} - {None, NO_ONE} if protocol == "nested_lomo" else {machine}
        return f"{model}@without-{'+'.join(sorted(unheard))}-{seed}"

    def training_machines(self, instance: str, suite: str) -> list[str]:
        """Machines whose normal clips an adapted model saw."""
        scope = instance.split("@")[1].rsplit("-", 1)[0]
        held_out = [] if scope == "full" else scope.removeprefix("without-").split("+")
        return [machine for machine in self.suites[suite].machines if machine not in held_out]

    def reading(self, suite: str) -> dict[str, Any]:
        """How the recordings of a suite are read."""
        settings = self.suites[suite]
        return {"sample_rate": settings.sample_rate, "channels": settings.channels, "resample": settings.resample}

    @property
    def computing(self) -> dict[str, Any]:
        """How encoders compute; the threads, which change no result on a GPU, are the rule's."""
        return {key: value for key, value in self.config["compute"].items() if key != "threads"}

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
        return [(name, reason) for name, reason in pairs if reason] + self._protocols_left_out(suite)

    def _protocols_left_out(self, suite_name: str) -> list[tuple[str, str]]:
        suite = self.suites[suite_name]
        if not suite.labelled or suite.select_on:
            return []
        kinds = [kind for kind, names in (("branch", self.branches), ("system", self.systems)) if names(suite_name)]
        asked = [p for p in self.config["run"]["protocols"] if any(p in POSSIBLE[kind] for kind in kinds)]
        made = {p for kind in kinds for p in self.protocols(suite_name, kind)}
        reason = "it needs {} machines with normal and anomalous test clips"
        return [(p, reason.format(LEAST_MACHINES[p])) for p in asked if p not in made]

    def protocols(self, suite_name: str, kind: str) -> list[str]:
        """Protocols under which a branch or system of a suite is reported."""
        suite = self.suites[suite_name]
        if not suite.labelled or suite.select_on:
            return ["complete_dev"]
        machines = len(suite.machines if kind == "branch" else suite.choosers)
        return [p for p in self.config["run"]["protocols"] if p in POSSIBLE[kind] and machines >= LEAST_MACHINES[p]]

    def seeds(self, branches: list[str]) -> list[str]:
        """Directory levels of the seeds of adapted models, or the one that says there are none."""
        return (
            [f"seed{seed}" for seed in self.config["run"]["seeds"]]
            if any(map(self.is_adapted, branches))
            else [NO_SEED]
        )

    def evaluations(self, suite: str) -> Iterator[Evaluation]:
        """All lines of evidence of a suite."""
        machines = self.suites[suite].machines
        for protocol in self.protocols(suite, "branch"):
            for branch in self.branches(suite):
                for seed in self.seeds([branch]):
                    tables = {m: self.score_table(branch, suite, protocol, m, seed) for m in machines}
                    yield Evaluation(suite, protocol, "branch", branch, seed, tables)
        for protocol in self.protocols(suite, "system"):
            for system in self.systems(suite):
                for seed in self.seeds(self.config["systems"][system]["branches"]):
                    tables = {
                        m: fill(self.paths.fused, suite=suite, protocol=protocol, system=system, seed=seed, machine=m)
                        for m in machines
                    }
                    yield Evaluation(suite, protocol, "system", system, seed, tables)

    def evaluation_rows(self, suite: str) -> list[dict[str, Any]]:
        """`evaluations` as plain values, with whether an untrained model takes part, for a job's params."""
        return [
            {**vars(e), "untrained": self.is_untrained(e), "tables": dict(e.tables)} for e in self.evaluations(suite)
        ]

    def is_untrained(self, evaluation: Evaluation) -> bool:
        """Whether a model with random weights takes part."""
        name = evaluation.name
        branches = [name] if evaluation.kind == "branch" else self.config["systems"][name]["branches"]
        models = [self.config["branches"][b]["model"] for b in branches if self.branch_kind(b) == "embedding"]
        return any(self.encoder(model)["checkpoint"] == "random" for model in models)

    def score_table(
        self, branch: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> str:
        instance = self.instance(branch, suite, protocol, machine, seed, held_out)
        return fill(self.paths.scores, suite=suite, branch=branch, model=instance, machine=machine)

    # ---- before a real run -------------------------------------------------------------------------------------------

    def missing_suites(self, needed: Mapping[str, Iterable[str]]) -> list[str]:
        """One line for each suite of which machines are needed whose recordings are not on disk."""
        return [line for name, machines in needed.items() if (line := self.suites[name].absence(machines))]

    def missing_weights(self, models: Iterable[str]) -> list[str]:
        """One line for each checkpoint that these models need and that is not on disk."""
        lines = []
        for model in models:
            checkpoint = self.encoder(model)["checkpoint"]
            if checkpoint != "random" and not Path(checkpoint).exists():
                where = f"models.{self.model(model).get('base', model)}.checkpoint"
                lines.append(f"{where}: there is no {checkpoint}: get it with `snakemake fetch_weights`; {NO_WEIGHTS}")
        return list(dict.fromkeys(lines))

    def wanted_weights(self) -> list[dict[str, str]]:
        """Model, encoder and checkpoint of each published file that the branches of this run need, once each."""
        branches = dict.fromkeys(branch for suite in self.run_suites for branch in self.branches(suite))
        used = [self.config["branches"][b]["model"] for b in branches if self.branch_kind(b) == "embedding"]
        bases = dict.fromkeys(self.model(model).get("base", model) for model in used)
        wanted = {
            self.encoder(model)["checkpoint"]: {"model": model, "encoder": self.encoder(model)["encoder"]}
            for model in bases
        }
        return [{**entry, "checkpoint": file} for file, entry in wanted.items() if file != "random"]


def _alternatives(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name) for name in dict.fromkeys(names)) + ")"
