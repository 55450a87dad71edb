"""Input functions of the rules that write the official baseline's files."""

from dataclasses import dataclass
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.plan.paths import fill
from workflow_lib.plan.plan import Plan


@dataclass(frozen=True)
class BaselineInputs:
    """Named input functions; Snakemake calls each with the wildcards of a job."""

    plan: Plan

    def residuals(self, wildcards: Any) -> list[str]:
        """Residuals of all machines of a suite, in their order."""
        return self._of_machines(self.plan.paths.residuals, wildcards)

    def batch_values(self, wildcards: Any) -> list[str]:
        """What the thresholds are fitted to, machine by machine."""
        return self._of_machines(self.plan.paths.batch_values, wildcards)

    def folders(self, wildcards: Any) -> list[str]:
        """One folder for each suite of the run and autoencoder that a branch there stands on."""
        found = [
            fill(self.plan.paths.baseline, suite=suite, model=model)
            for suite in self.plan.run_suites
            for model in self._autoencoders(suite)
        ]
        if not found:
            raise UserError("run: no suite has a branch of an autoencoder: add ae_mse to run.branches")
        return found

    def _of_machines(self, pattern: str, wildcards: Any) -> list[str]:
        machines = self.plan.suites[wildcards.suite].machines
        return [fill(pattern, suite=wildcards.suite, model=wildcards.model, machine=machine) for machine in machines]

    def _autoencoders(self, suite: str) -> list[str]:
        branches = self.plan.scored_branches(suite)
        models = [
            self.plan.config["branches"][b]["model"] for b in branches if self.plan.branch_kind(b) == "autoencoder"
        ]
        return list(dict.fromkeys(models))
