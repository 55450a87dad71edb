"""Input functions of the rules in rules/submission.smk. Standard library only: the DAG imports it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.fetch.published import file_on_disk
from workflow_lib.plan.paths import fill
from workflow_lib.plan.plan import Plan
from workflow_lib.plan.submission import PROTOCOL, evaluation_suites, left_out, submitted

ADAPTER_WEIGHTS = ("adapter_model.safetensors", "heads.safetensors")


@dataclass(frozen=True)
class SubmissionInputs:
    """Named input functions, and what the jobs' params need."""

    plan: Plan

    def packages(self, wildcards: Any) -> list[str]:
        """The package of each evaluation suite that is run."""
        return [fill(self.plan.paths.submission, suite=suite) for suite in evaluation_suites(self.plan)]

    def scores(self, wildcards: Any) -> list[str]:
        """Score tables of the submitted systems."""
        return sorted({t for row in submitted(self.plan, wildcards.suite) for t in row["tables"].values()})

    def development_tables(self, wildcards: Any) -> list[str]:
        """Tables of the suite that chose the systems, where it is run as well."""
        other = self.plan.suites[wildcards.suite].select_on
        return [fill(self.plan.paths.tables, suite=other)] if other in self.plan.run_suites else []

    def made_weights(self, wildcards: Any) -> list[str]:
        """Weights that the workflow makes for the submitted systems: networks, and folders of adapted models."""
        weights = [part for row in self.systems(wildcards.suite) for part in row["made"]]
        return sorted(set(weights))

    def technical_report(self, wildcards: Any) -> list[str]:
        """The report that is packed with every system, where there is one."""
        path = self.plan.config["submission"]["technical_report"]
        return [path] if path and Path(path).is_file() else []

    def systems(self, suite: str) -> list[dict[str, Any]]:
        """The submitted systems with their branches' settings and the files that hold their weights."""
        return [{**row, **self._stands_on(suite, row)} for row in submitted(self.plan, suite)]

    def remarks(self) -> list[str]:
        """One line for each system that is asked for and not submitted."""
        return [line for suite in evaluation_suites(self.plan) for line in left_out(self.plan, suite)]

    def _stands_on(self, suite: str, row: dict[str, Any]) -> dict[str, Any]:
        names = self.plan.config["systems"][row["system"]]["branches"]
        made: dict[str, list[str]] = {}
        files: dict[str, None] = {}
        for branch in names:
            paths, weights = self._weights(branch, suite, row["seed"])
            made |= dict.fromkeys(paths)
            files |= dict.fromkeys(weights)
        return {
            "branches": {name: self.plan.config["branches"][name] for name in names},
            "made": list(made),
            "weights": list(files),
        }

    def _weights(self, branch: str, suite: str, seed: str) -> tuple[list[str], list[str]]:
        """What jobs of this workflow make of a branch's weights, and all files that hold them."""
        plan, machine = self.plan, self.plan.suites[suite].machines[0]  # every machine has a network of the same size
        kind = plan.branch_kind(branch)
        if kind == "external":
            return [], [f"branch {branch}"]
        model = plan.instance(branch, suite, PROTOCOL, machine, seed)
        if kind == "autoencoder":
            network = fill(plan.paths.autoencoder, suite=suite, model=model, machine=machine)
            return [network], [network]
        checkpoint = plan.encoder(model)["checkpoint"]
        found = file_on_disk(checkpoint) if checkpoint != "random" else None
        below = [str(found) if found else f"{model.split('@')[0]} ({checkpoint})"]
        if "@" not in model:
            return [], below
        adapter = fill(plan.paths.adapter, suite=plan.suites[suite].training_suite, model=model)
        return [adapter], [*below, *(f"{adapter}/{name}" for name in ADAPTER_WEIGHTS)]
