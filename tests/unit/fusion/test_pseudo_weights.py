"""Weights by pseudo-anomalies: against a plain computation, and in the job that fuses a machine."""

import json
import math

import numpy as np
import pytest
from one_line import one_line_error

from workflow_lib.fusion import label_free_fusion, pseudo_weights
from workflow_lib.fusion.fold_file import fuse_machine, read_fold
from workflow_lib.scoring.score_file import read_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable

BRANCHES = ["good", "poor", "worse"]
SHIFT = {"good": 2.0, "poor": 0.7, "worse": -1.0}  # of the disturbed clips, in deviations


def table(rng, shift: float, split: str = "test", normal: int = 7, disturbed: int = 12) -> ScoreTable:
    """Scores of clips; those of the second domain tell as much as those of the first."""
    anomaly = np.repeat([0, 1], [normal, disturbed])
    words = np.where(anomaly == 1, "anomaly", "normal")
    domains = np.where(np.arange(normal + disturbed) % 3 == 0, "target", "source")
    clips = [f"section_00_{d}_{split}_{w}_{i:04d}.wav" for i, (d, w) in enumerate(zip(domains, words, strict=True))]
    return ScoreTable(np.array(clips), domains, anomaly, rng.normal(size=len(clips)).round(1) + shift * anomaly)


@pytest.fixture
def tables():
    rng = np.random.default_rng(3)
    return {branch: table(rng, SHIFT[branch]) for branch in BRANCHES}


def plain_weights(tables):
    """w = max(logit(AUC), 0)^2 of every pair of a disturbed and an untouched clip, ties half."""
    raw = {}
    for branch, scores in tables.items():
        low, high = scores.score[scores.anomaly == 0], scores.score[scores.anomaly == 1]
        wins = [1.0 if b > a else 0.5 if b == a else 0.0 for a in low for b in high]
        auc = min(max(sum(wins) / len(wins), 0.5 / len(wins)), 1 - 0.5 / len(wins))
        raw[branch] = max(math.log(auc / (1 - auc)), 0.0) ** 2
    return {branch: weight / sum(raw.values()) for branch, weight in raw.items()}


def test_the_weights_are_the_squared_logits_of_the_auc(tables):
    found = pseudo_weights(tables, BRANCHES)
    assert found.weights == pytest.approx(plain_weights(tables), rel=1e-12)
    assert found.weights["worse"] == 0 < found.weights["poor"] < found.weights["good"] < 1
    assert (found.normal_clips, found.disturbed_clips, found.note) == (7, 12, "")


def test_a_branch_that_makes_no_mistake_is_kept_half_a_pair_away_from_one(tables):
    tables["good"] = table(np.random.default_rng(4), 50.0)
    found = pseudo_weights(tables, BRANCHES)
    assert found.auc["good"] == 1 and found.weights == pytest.approx(plain_weights(tables), rel=1e-12)
    pairs = 7 * 12
    ratio = math.log(2 * pairs - 1) / math.log(found.auc["poor"] / (1 - found.auc["poor"]))
    assert found.weights["good"] / found.weights["poor"] == pytest.approx(ratio**2)


@pytest.mark.parametrize("disturbed", [12, 0])
def test_weights_are_equal_with_a_note_where_no_branch_is_better_than_chance(caplog, disturbed):
    rng = np.random.default_rng(5)
    found = pseudo_weights({b: table(rng, -3.0, disturbed=disturbed) for b in BRANCHES}, BRANCHES, "fan")
    assert found.weights == dict.fromkeys(BRANCHES, 1 / 3)
    assert "equal weights" in found.note and f"fan: {found.note}" in caplog.text


def test_the_job_of_a_machine_writes_its_weights_and_fuses_by_them(tables, tmp_path):
    """z over the machine's own normal clips, weighted by its pseudo-anomalies: other tables are not read."""
    rng = np.random.default_rng(6)
    judged = {branch: table(rng, SHIFT[branch]) for branch in BRANCHES}
    normal = {branch: table(rng, 0.0, "train", disturbed=0) for branch in BRANCHES}
    kinds = {"pseudo": tables, "scores": judged, "normal": normal}
    folders = {kind: tmp_path / kind / "tiny" / "fan" for kind in kinds}
    for kind, folder in folders.items():
        folder.mkdir(parents=True)
        for branch, scores in kinds[kind].items():
            write_scores(folder / f"{branch}.csv", scores)
    settings = {"branches": BRANCHES, "search": "pseudo", "calibration": "normal", "step": 0.1, "shrink": 0}
    system = {"settings": settings, "candidates": {b: [b] for b in BRANCHES}, "seeds": [""]}
    system["models"] = dict.fromkeys(BRANCHES, "tiny")
    fuse_machine(
        tmp_path / "fused",
        [folders["scores"]],
        None,
        "fan",
        {"own": system},
        [folders["normal"]],
        pseudo_folders=[folders["pseudo"]],
        suite="mine",
        protocol="cross_fitted",
    )
    weights = plain_weights(tables)
    z = {b: (judged[b].score - normal[b].score.mean()) / normal[b].score.std() for b in BRANCHES}
    fused = read_scores(tmp_path / "fused/own/noseed.csv")
    np.testing.assert_allclose(fused.score, sum(weights[b] * z[b] for b in BRANCHES), rtol=1e-12)
    facts = json.loads((tmp_path / "fused/own/noseed.json").read_text(encoding="utf-8"))
    assert (facts["suite"], facts["system"], facts["held_out"], facts["search"]) == ("mine", "own", "fan", "pseudo")
    assert facts["pseudo"]["auc"] == pseudo_weights(tables, BRANCHES).auc and facts["machines"] == []
    again = read_fold(tmp_path / "fused/own/noseed.json")
    assert again.apply(judged, "fan", normal).score.tolist() == fused.score.tolist()
    equal = label_free_fusion(BRANCHES).apply(judged, "fan", normal)
    assert equal.score.tolist() != fused.score.tolist()


def test_tables_of_different_clips_are_an_error(tables):
    tables["poor"] = table(np.random.default_rng(7), 1.0, disturbed=11)
    with one_line_error("must score the same clips"):
        pseudo_weights(tables, BRANCHES)
