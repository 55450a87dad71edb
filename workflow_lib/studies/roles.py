"""What branches are, in words made from the configuration (Table 1)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.studies.lookup import EvidenceLookup
from workflow_lib.studies.unmeasured_row import first_row

ASPECTS = ("evidence", "microphones", "conditioning", "score")
ENCODERS = {"eat": "EAT", "ced": "CED", "m2d": "M2D", "logmel": "log-mel spectra"}
STATISTICS = {
    "mean": "mean",
    "std": "standard deviation",
    "power": "mean power",
    "p95": "95th percentile",
    "delta_std": "deviation of frame differences",
}
INPUTS = {"near": "near", "far": "far", "near-far": "near minus far", "cancelled": "cancelled"}


def role_rows(settings: Mapping[str, Any], _tables: EvidenceLookup) -> list[StudyRow]:
    """Four rows of words for each branch: evidence, microphones, conditioning and score."""
    rows = []
    for number, row in enumerate(settings["rows"], 1):
        first = first_row(settings, number, {**row, "published": None}, metric="text")
        parts = branch_role(row["branch"], row["model"], row["encoder"])
        for aspect in ASPECTS:
            published, untrained = row["published"].get(aspect), row["untrained"]
            rows.append(replace(first, detail=aspect, value=parts[aspect], published=published, untrained=untrained))
    return rows


def branch_role(branch: Mapping[str, Any], model: Mapping[str, Any], encoder: Mapping[str, Any]) -> dict[str, str]:
    """The four aspects of a branch in words; `model` {} for score tables, `encoder` {} where there is none."""
    if not model:
        return dict.fromkeys(ASPECTS, "unknown: score tables made elsewhere")
    if not encoder:
        return _autoencoder_role(branch["scorer"], model)
    microphones = "near and far through the head" if branch["view"] == ["head"] else " and ".join(branch["view"])
    return {
        "evidence": _evidence(branch, model, encoder),
        "microphones": microphones + ("; encoder adapted on near and far" if model["kind"] == "adapted" else ""),
        "conditioning": _conditioning(branch["conditioning"]),
        "score": _score(branch["scorer"]),
    }


def _autoencoder_role(scorer: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str]:
    mahalanobis = scorer["kind"] == "mahalanobis"
    return {
        "evidence": "log-mel reconstruction residual",
        "microphones": INPUTS[model["input"]],
        "conditioning": "covariance of normal residuals, by domain" if mahalanobis else "none",
        "score": f"Mahalanobis ({scorer['reading']}), smaller of both domains" if mahalanobis else "mean squared error",
    }


def _evidence(branch: Mapping[str, Any], model: Mapping[str, Any], encoder: Mapping[str, Any]) -> str:
    name = ENCODERS.get(encoder["encoder"], encoder["encoder"])
    state = "adapted " if model["kind"] == "adapted" else ""
    if branch["view"] == ["head"]:
        return f"embedding of the head of {state}{name}"
    of_block = f"block {branch['block']} of " if "block" in branch else ""
    return f"{' and '.join(STATISTICS[name] for name in branch['statistics'])} of {of_block}{state}{name}"


def _score(settings: Mapping[str, Any]) -> str:
    if settings["kind"] != "local_density":
        options = [f"{key} {value}" for key, value in settings.items() if key != "kind"]
        return ", ".join([settings["kind"].replace("_", " "), *options])
    k_source, k_target = [settings["k"]] * 2 if isinstance(settings["k"], int) else settings["k"]
    k = f"K = {k_source}, one bank" if settings["banks"] == "pooled" else f"K = {k_source}/{k_target}"
    parts = ["DLD", settings["metric"], k]
    # What the paper's branches share is not said.
    parts += ["mean scale"] if settings["scale"] == "mean" else []
    if settings["match"] == "ratio":
        parts.append(f"least {settings['form']}")
    elif settings["form"] == "difference":
        parts.append("difference")
    return ", ".join(parts)


def _conditioning(settings: Mapping[str, Any]) -> str:
    if settings.get("covariance"):
        return "standardised, Ledoit-Wolf whitening"
    parts = ["standardised"] if settings["standardise"] else []
    if settings["components"] is not None:
        parts.append(f"PCA-{settings['components']}" + (" whitening" if settings["whiten"] else ""))
    return ", ".join(parts) or "none"
