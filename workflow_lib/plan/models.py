"""Models and branches: their settings, which model scores which machine, and what their jobs read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib.config.schema import branch_kind
from workflow_lib.plan.folds import Folds
from workflow_lib.plan.model_name import EXTERNAL, ModelName
from workflow_lib.plan.paths import Paths, fill
from workflow_lib.plan.suites import Suite


@dataclass(frozen=True, eq=False)
class Models:
    """The models of a configuration on its suites; methods that take `wildcards` are input functions of rules."""

    config: Mapping[str, Any]
    suites: Mapping[str, Suite]
    folds: Folds
    paths: Paths

    def settings(self, name: str) -> Mapping[str, Any]:
        """Settings of a model, also of an adapted one by its full name (`dualmic@full-seed13711`)."""
        return self.config["models"][ModelName.parse(name).model]

    def encoder(self, name: str) -> Mapping[str, Any]:
        """Settings of the frozen encoder below a model."""
        settings = self.settings(name)
        return self.config["models"][settings["base"]] if settings["kind"] == "adapted" else settings

    def checkpoint(self, name: str) -> str | None:
        """The published file or folder of the encoder below a model; None for random weights, and without weights."""
        checkpoint = self.encoder(name)["checkpoint"]
        return None if checkpoint == "random" else checkpoint

    @cached_property
    def without_weights(self) -> list[str]:
        """Names of the models whose encoder has no weights: they need no torch and no GPU."""
        return [n for n, m in self.config["models"].items() if m["kind"] == "frozen" and m["checkpoint"] is None]

    def embedding_modules(self, name: str) -> list[str]:
        """Library modules that an embedding job runs, for its code digest."""
        modules = [f"encoders.{self.encoder(name)['encoder']}"]
        return [*modules, "adaptation.folder", "adaptation.heads"] if ModelName.parse(name).seed else modules

    # ---- branches --------------------------------------------------------------------------------------------------

    def kind_of(self, branch: str) -> str:
        """What a branch is scored from: "autoencoder", "embedding" or "external"."""
        return branch_kind(self.config["branches"][branch], self.config["models"])

    @cached_property
    def by_branch(self) -> dict[str, str]:
        """Branch -> its model's name in the configuration; EXTERNAL for score tables made elsewhere."""
        return {name: branch.get("model", EXTERNAL) for name, branch in self.config["branches"].items()}

    @cached_property
    def adapted(self) -> frozenset[str]:
        """Names of the adapted models in the configuration."""
        return frozenset(name for name, model in self.config["models"].items() if model["kind"] == "adapted")

    def is_adapted(self, branch: str) -> bool:
        return self.by_branch[branch] in self.adapted

    def needs_far(self, branch: str) -> bool:
        """Whether a branch needs the far channel: it has none in its `mono_view` either."""
        settings, kind = self.config["branches"][branch], self.kind_of(branch)
        if kind == "autoencoder":
            return self.settings(settings["model"])["input"] != "near"
        view = settings.get("mono_view") or settings.get("view")
        return kind == "embedding" and (self.is_adapted(branch) or view != ["near"])

    def scored_settings(self, branch: str, suite: str) -> Mapping[str, Any]:
        """Settings that score a branch on a suite: its `mono_view`, where it has one, if the recordings are mono."""
        settings = self.config["branches"][branch]
        if self.kind_of(branch) != "embedding":
            return settings
        kept = {key: value for key, value in settings.items() if key != "mono_view"}
        mono = settings["mono_view"] if self.suites[suite].channels == 1 else None
        return {**kept, "view": mono, "in_place_of": settings["view"]} if mono else kept

    def is_untrained(self, branch: str) -> bool:
        """Whether a branch has a model with random weights."""
        return self.kind_of(branch) == "embedding" and self.encoder(self.by_branch[branch])["checkpoint"] == "random"

    # ---- which model scores a machine ------------------------------------------------------------------------------

    def scoring(
        self, model: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> ModelName:
        """The model that scores a machine: trained without it where the protocol says so (docs/design.md).

        model: a name of the configuration, or EXTERNAL; held_out: the fold whose weights are chosen on the score, None
        where the machine itself is judged.
        """
        if model not in self.adapted:
            return ModelName(model)
        if protocol == "complete_dev" or self.suites[suite].select_on:
            return ModelName(model, (), seed)
        folds = {self.folds.by_machine[suite][machine]}
        if protocol == "nested_lomo" and held_out is not None:
            folds.add(held_out)
        return ModelName(model, tuple(sorted(folds)), seed)

    def held_out_machines(self, name: str, suite: str) -> list[str]:
        """Machines of a suite that an adapted model must not be trained on, by its name."""
        return [machine for fold in ModelName.parse(name).held_out for machine in self.folds.held_out(suite, fold)]

    def training_machines(self, name: str, suite: str) -> list[str]:
        """Machines whose normal clips an adapted model is trained on."""
        return self.folds.other_machines(suite, ModelName.parse(name).held_out)

    # ---- what the jobs of models read ------------------------------------------------------------------------------

    def weights(self, wildcards: Any) -> list[str]:
        """The checkpoint of the encoder below a model, where it is a file that is there."""
        checkpoint = self.checkpoint(wildcards.model)
        return [checkpoint] if checkpoint and Path(checkpoint).exists() else []

    def adapter(self, wildcards: Any) -> list[str]:
        """The adapter of an adapted model; nothing for a frozen one."""
        if not ModelName.parse(wildcards.model).seed:
            return []
        return [fill(self.paths.adapter, suite=self.suites[wildcards.suite].training_suite, model=wildcards.model)]

    def adaptation_manifests(self, wildcards: Any) -> list[str]:
        """Manifests of the machines that an adapted model is trained on; the held-out machines' are not among them."""
        machines = self.training_machines(wildcards.model, wildcards.suite)
        return [fill(self.paths.manifest, suite=wildcards.suite, machine=machine) for machine in machines]

    def adaptation_recordings(self, wildcards: Any) -> list[str]:
        """Training folders of the machines that an adapted model is trained on."""
        suite, machines = self.suites[wildcards.suite], self.training_machines(wildcards.model, wildcards.suite)
        return [folder for machine in machines for folder in suite.recordings(machine, ("train",))]
