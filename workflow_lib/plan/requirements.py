"""What a run needs before it starts: recordings and published weights. It imports only the standard library."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from workflow_lib.plan.plan import Plan

NO_WEIGHTS = "the systems Spectral, SpectralEvents, NearMah and ResMah need none (run.systems, run.branches)"


def missing_suites(plan: Plan, needed: Mapping[str, Iterable[str]]) -> list[str]:
    """One line for each suite of which machines are needed whose recordings are not on disk."""
    return [line for name, machines in needed.items() if (line := plan.suites[name].absence(machines))]


def missing_weights(plan: Plan, models: Iterable[str]) -> list[str]:
    """One line for each checkpoint that these models need and that is not on disk."""
    lines = []
    for model in models:
        checkpoint = plan.models.checkpoint(model)
        if checkpoint and not Path(checkpoint).exists():
            where = f"models.{plan.models.settings(model).get('base', model)}.checkpoint"
            lines.append(f"{where}: there is no {checkpoint}: get it with `snakemake fetch_weights`; {NO_WEIGHTS}")
    return list(dict.fromkeys(lines))


def wanted_weights(plan: Plan) -> list[dict[str, str]]:
    """Model, encoder and checkpoint of each published file that the branches of this run need, once each."""
    models = plan.models
    branches = dict.fromkeys(branch for suite in plan.run_suites for branch in plan.reported.scored_branches(suite))
    used = [models.by_branch[b] for b in branches if models.kind_of(b) == "embedding"]
    bases = dict.fromkeys(models.settings(model).get("base", model) for model in used)
    wanted = {
        models.checkpoint(model): {"model": model, "encoder": models.encoder(model)["encoder"]} for model in bases
    }
    return [{**entry, "checkpoint": file} for file, entry in wanted.items() if file]
