"""A package as this workflow writes it, for made-up scores of the real evaluation clips."""

import numpy as np

from workflow_lib.config.submission_form import expected_2026
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.thresholds import decision_threshold
from workflow_lib.submission.meta import SystemFacts, meta_text
from workflow_lib.submission.package import output_files

AUTHOR = {
    "firstname": "Ada",
    "lastname": "Lei",
    "email": "ada@example.org",
    "corresponding": True,
    "affiliation": {"institution": "Centre for Rotating Records", "department": None, "location": "Rotterdam, NL"},
}
SETTINGS = {"authors": [AUTHOR], "meta": {}, "external_datasets": [], "source_code": None}
AUTOENCODER = {"ae_mahalanobis": {"model": "ae", "scorer": {"kind": "mahalanobis", "reading": "official"}}}
MODELS = {
    "ae": {"kind": "autoencoder"},
    "eat": {"kind": "frozen", "encoder": "eat", "checkpoint": "weights/eat.safetensors"},
    "dualmic": {"kind": "adapted", "base": "eat"},
}


def facts(label="Lei_CRRC_task2_1", **changed) -> SystemFacts:
    values = {
        "label": label,
        "system": "NearMah",
        "branches": AUTOENCODER,
        "models": MODELS,
        "settings": SETTINGS,
        "threshold": {"method": "gamma", "quantile": 0.9},
        "sample_rate": 16000,
        "parameters": 266000,
        "not_counted": [],
        "results": {"fan": {"auc_source": 61.25, "auc_target": 55.0, "pauc": 52.5}},
        "untrained": False,
    }
    return SystemFacts(**{**values, **changed})


def table(clips, seed=0) -> ScoreTable:
    score = np.random.default_rng(seed).gamma(3.0, size=len(clips))
    return ScoreTable(sorted(clips), [""] * len(clips), [""] * len(clips), score)


def package(labels=("Lei_CRRC_task2_1", "Lei_CRRC_task2_2")) -> dict[str, bytes]:
    """Files by path."""
    files = {}
    for label in labels:
        for number, ((machine, _), clips) in enumerate(expected_2026().items()):
            scores = table(clips, number)
            files |= output_files(label, machine, scores, decision_threshold(scores.score))
        files[f"task2/{label}/{label}.meta.yaml"] = meta_text(facts(label)).encode()
    return files
