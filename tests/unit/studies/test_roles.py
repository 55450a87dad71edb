"""What a branch is, in words."""

import pytest

from workflow_lib.config.schema import definition, filled
from workflow_lib.studies.roles import branch_role

RAW = {"standardise": False, "components": None, "whiten": False}


def role(scorer, model=None, **settings):
    model = model or {"kind": "frozen", "encoder": "eat"}
    branch = {"model": "x", "view": ["near"], "conditioning": RAW, "scorer": scorer, **settings}
    return branch_role(filled(branch, definition("embedding_branch")), model, model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": [16, 9]}, "DLD, euclidean, K = 16/9"),
        ({"k": 5, "metric": "cosine"}, "DLD, cosine, K = 5/5"),
        ({"scale": "mean"}, "DLD, euclidean, K = 8/5, mean scale"),
        ({"k": 1, "match": "ratio", "banks": "pooled"}, "DLD, euclidean, K = 1, one bank, least ratio"),
        ({"form": "difference"}, "DLD, euclidean, K = 8/5, difference"),
        ({"form": "difference", "match": "ratio"}, "DLD, euclidean, K = 8/5, least difference"),
    ],
)
def test_a_local_density_names_what_differs_from_the_papers(settings, words):
    assert role({"kind": "local_density", **settings}, block=10)["score"] == words


def test_a_scorer_of_another_file_is_named_with_its_options():
    assert role({"kind": "gaussian"}, block=10)["score"] == "gaussian"


def test_statistics_without_a_block_are_those_of_the_spectra():
    model = {"kind": "frozen", "encoder": "logmel"}
    told = role({"kind": "gaussian"}, model, view=["cancelled"], statistics=["mean", "delta_std"])
    assert told["evidence"] == "mean and deviation of frame differences of log-mel spectra"
    assert told["microphones"] == "cancelled"
