"""The meta file of one system, from the configuration and the run, in the fields of 2026.

What is known from neither is null, or comes from `submission.meta` of the configuration.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from workflow_lib.config.channel_names import CANCELLED
from workflow_lib.config.submission_form import DESCRIPTION, FIGURES
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import MachineRow

METHODS = {
    "mse": "AE",
    "mahalanobis": "AE, Mahalanobis distance",
    "local_density": "k-NN, local density",
    "gaussian": "Gaussian, Mahalanobis distance",
}
# State of a network that is not trained by its loss: running statistics, and the covariances of the residuals.
NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked", "cov_source", "cov_target")
EMBEDDED_LOG_MEL = ("eat", "ced", "m2d", "logmel")  # encoders whose front end is known
STATISTICS = {
    "mean": "average",
    "std": "standard deviation",
    "power": "average of powers",
    "p95": "95th percentile",
    "delta_std": "standard deviation of frame differences",
}
RESULTS = """# Official figures on the development set, in percent, under the protocol complete_dev: calibration,
# weights and adaptation, if any, were chosen on these same machines, so they are no estimate for new ones."""
NO_RESULTS = "# No development results under the protocol complete_dev in this run."
UNTRAINED = "# A model with random weights takes part: this is a test of the workflow, not a system to submit."


@dataclass(frozen=True)
class SystemFacts:
    """Contents of a meta file."""

    label: str
    system: str
    branches: Mapping[str, Mapping[str, Any]]  # of the system, by name
    models: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]  # the section `submission`
    threshold: Mapping[str, Any]
    sample_rate: int
    parameters: int | None
    not_counted: Sequence[str]
    results: Mapping[str, Mapping[str, float | None]]  # machine -> figures in percent
    untrained: bool


def meta_text(facts: SystemFacts) -> str:
    """The meta file."""
    given = facts.settings["meta"].get(facts.system, {"description": {}})
    own = {"name": facts.system, "abbreviation": facts.system, "total_parameters": facts.parameters, **given}
    complexity = {"total_parameters": own["total_parameters"]}
    system = {
        "description": {**_description(facts), **own["description"]},
        "complexity": complexity | ({"MACS": own["macs"]} if "macs" in own else {}),
        "external_datasets": facts.settings["external_datasets"] or [{"name": None, "url": None}],
        "source_code": facts.settings["source_code"],
    }
    submission = {
        "label": facts.label,
        "name": own["name"],
        "abbreviation": own["abbreviation"],
        "authors": [_author(author) for author in facts.settings["authors"]],
    }
    lines = ["# Submission information", _yaml("submission", submission), "# System information"]
    lines += [UNTRAINED] if facts.untrained else []
    if facts.not_counted and "total_parameters" not in given:
        counted = f"# total_parameters: not counted, {', '.join(facts.not_counted)} cannot be read as safetensors."
        lines.append(counted)
    results = {"development_dataset": dict(facts.results)}
    lines += [_yaml("system", system), RESULTS if facts.results else NO_RESULTS, _yaml("results", results)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _yaml(name: str, section: Mapping[str, Any]) -> str:
    return yaml.safe_dump({name: section}, sort_keys=False, allow_unicode=True, width=1000)


def _author(author: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are filled in, in the order of the template; copied, or YAML would write references."""
    affiliation = {key: value for key, value in author["affiliation"].items() if value}
    names = {key: author[key] for key in ("firstname", "lastname", "email")}
    corresponding = {"corresponding": True} if author["corresponding"] else {}
    return {**names, **corresponding, "affiliation": affiliation}


def _description(facts: SystemFacts) -> dict[str, Any]:
    """All fields of the description; null where nothing is used or nothing is known."""
    models = [facts.models[branch["model"]] for branch in facts.branches.values() if "model" in branch]
    bases = [facts.models[model["base"]] if model["kind"] == "adapted" else model for model in models]
    encoders = [base for base in bases if base["kind"] == "frozen"]
    adapted = any(model["kind"] == "adapted" for model in models)
    scorers = [branch["scorer"]["kind"] for branch in facts.branches.values() if "scorer" in branch]
    methods = [METHODS.get(kind, kind.replace("_", " ")) for kind in scorers] + (["LoRA", "ArcFace"] if adapted else [])
    statistics = [b["statistics"] if "view" in b else ["mean"] for b in facts.branches.values()]
    pooled = dict.fromkeys(name for names in statistics for name in names)
    heard = {
        *(model.get("input") for model in models),
        *(c for b in facts.branches.values() for c in b.get("view", ())),
    }
    quantile = f"{100 * facts.threshold['quantile']:g} %"
    fitted = "of a gamma distribution fitted to" if facts.threshold["method"] == "gamma" else "of"
    threshold = f"threshold at the {quantile} quantile {fitted} the scores of normal training clips"
    several = len(facts.branches) > 1
    known = all("model" in branch for branch in facts.branches.values()) and all(
        base["kind"] == "autoencoder" or base["encoder"] in EMBEDDED_LOG_MEL for base in bases
    )
    values = {
        "input_sampling_rate": f"{facts.sample_rate / 1000:g}kHz",
        "data_augmentation": "time masking, frequency masking" if adapted else None,
        "acoustic_features": "log-mel energies" if known else None,
        "front_end": "cancellation of what the far channel predicts of the near one" if CANCELLED in heard else None,
        "embeddings": ", ".join(dict.fromkeys(e["encoder"].upper() for e in encoders if e["checkpoint"])) or None,
        "machine_learning_method": ", ".join(dict.fromkeys(methods)) or None,
        "aggregation_method": ", ".join(STATISTICS[name] for name in pooled) if models else None,
        "domain_generalization_method": (
            "minimum of source and target score" if any(map(_scores_by_domain, facts.branches.values())) else None
        ),
        "ensemble_method_subsystem_count": len(facts.branches) if several else None,
        "decision_making": f"weighted average, {threshold}" if several else threshold,
        "attribute_usage": "classes of the adaptation" if adapted else None,
        "external_data_usage": "pre-trained model"
        if any(e["checkpoint"] not in (None, "random") for e in encoders)
        else None,
        "development_data_usage": "development, training" if adapted else "development",
    }
    return {name: values.get(name) for name in DESCRIPTION}


def _scores_by_domain(branch: Mapping[str, Any]) -> bool:
    """Whether a branch takes the smaller of a clip's scores in the two domains."""
    scorer = branch.get("scorer", {"kind": "external"})
    return scorer["kind"] in ("mahalanobis", "local_density", "gaussian") and scorer.get("banks") != "pooled"


def count_parameters(files: Iterable[str]) -> int:
    """Values of all weights in safetensors files, from their headers alone."""
    total = 0
    for file in files:
        try:
            with safe_open(file, "numpy") as weights:
                shapes = {name: weights.get_slice(name).get_shape() for name in weights.offset_keys()}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{file}: its parameters cannot be counted ({error}): get the file again") from None
        total += sum(prod(shape) for name, shape in shapes.items() if name.rpartition(".")[2] not in NOT_PARAMETERS)
    return total


def percent(row: MachineRow) -> dict[str, float | None]:
    """Source AUC, target AUC and pAUC of a machine in percent."""
    figures = zip(FIGURES, (row.source_auc, row.target_auc, row.pauc), strict=True)
    return {name: None if value is None else round(100 * value, 4) for name, value in figures}
