"""A branch scores test clips and, each without itself, the normal training clips it was fitted on."""

import json

import numpy as np
import pytest
from one_line import one_line_error

from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.store import create_store, statistics_name
from workflow_lib.scoring import Conditioner, domain_conditioned_score
from workflow_lib.scoring.job import ELSEWHERE, FULL_RANK_NOTE, OWN_SCORE, score_branches, score_model
from workflow_lib.scoring.score_file import read_normal_scores, read_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.scorers import fit_scorer
from workflow_lib.scoring.scorers.local_density import SELF_EXCLUDED

BRANCH = {
    "model": "eat",
    "block": 10,
    "statistics": ["mean", "std"],
    "view": ["near"],
    "conditioning": {"standardise": True, "components": 4, "whiten": True},
    "scorer": {"kind": "local_density", "k": [3, 2], "metric": "euclidean", "match": "nearest", "scale": "sum"},
}


def clip(name, split, domain, label) -> Clip:
    values = {"machine": "fan", "split": split, "clip": name, "domain": domain, "label": label}
    return Clip(**(dict.fromkeys(Clip.__dataclass_fields__) | values))


def clips(n_source=12, n_target=3):
    normal = [clip(f"s{i:02d}.wav", "train", "source", "normal") for i in range(n_source)]
    normal += [clip(f"t{i:02d}.wav", "train", "target", "normal") for i in range(n_target)]
    # Not in order of name, as no store has to be.
    return [clip(f"section_00_{i:04d}.wav", "test", None, None) for i in range(5)][::-1] + normal


def store(path, listed, rows=slice(None)):
    """rows: the clips that are written, of all that are drawn."""
    statistics = np.random.default_rng(0).normal(size=(len(listed), 3)).astype(np.float32)[rows]
    listed = listed[rows]
    with create_store(path, listed, {"trained": "yes"}) as file:
        for moment in ("mean", "std"):
            file.create_dataset(statistics_name(10, "near", moment), data=statistics + (moment == "std"))
    return np.concatenate([statistics, statistics + 1], axis=1).astype(np.float64)


def scored(path, branch):
    """Scores of a store by one branch alone."""
    ((_, scores),) = score_branches(str(path), {"one": branch})
    return scores


def test_normal_clips_are_scored_against_the_banks_without_them(tmp_path):
    listed = clips()
    vectors = store(tmp_path / "fan.h5", listed)
    scores = scored(tmp_path / "fan.h5", BRANCH)
    assert scores.normal.clip.tolist() == [c.clip for c in listed[5:]]
    assert scores.normal.anomaly.tolist() == [0] * 15 and scores.normal_kind == SELF_EXCLUDED
    z = Conditioner(**BRANCH["conditioning"]).fit(vectors[5:]).transform(vectors)
    source, target = z[5:17], z[17:]
    first = domain_conditioned_score(source[:1], source[1:], target, (3, 2))
    last = domain_conditioned_score(target[2:], source, target[:2], (3, 2))
    assert scores.normal.score[[0, -1]].tolist() == [first[0], last[0]]
    expected = domain_conditioned_score(z[:5], source, target, (3, 2))
    assert scores.table.score.tolist() == expected[::-1].tolist()  # test clips as before, sorted by name
    scores.write_notes(tmp_path / "fan.json")
    assert json.loads((tmp_path / "fan.json").read_text(encoding="utf-8"))["normal_scores"] == SELF_EXCLUDED


def test_a_shrunk_covariance_says_nothing_of_full_rank(tmp_path):
    """That whitening by all directions of a PCA makes clips equally far apart holds for no shrunk covariance."""
    store(tmp_path / "fan.h5", clips(3, 1))
    pca = scored(tmp_path / "fan.h5", {**BRANCH, "conditioning": {**BRANCH["conditioning"], "components": 3}})
    scores = scored(tmp_path / "fan.h5", {**BRANCH, "conditioning": {"covariance": "ledoit_wolf"}})
    assert [note for note in pca.notes if note not in scores.notes] == [FULL_RANK_NOTE.format(3)]
    assert np.isfinite(scores.table.score).all() and np.isfinite(scores.normal.score).all()


@pytest.mark.parametrize("conditioning", [BRANCH["conditioning"], {"covariance": "ledoit_wolf"}], ids=["pca", "shrunk"])
@pytest.mark.parametrize(
    "scorer",
    [
        BRANCH["scorer"],
        {"kind": "gaussian"},
        {"kind": "local_density", "k": 2, "banks": "pooled", "form": "difference"},
    ],
    ids=["domains", "gaussian", "pooled"],
)
def test_test_clips_change_neither_each_other_nor_the_normal_scores(tmp_path, conditioning, scorer):
    branch = {**BRANCH, "conditioning": conditioning, "scorer": scorer}
    store(tmp_path / "all.h5", clips())
    store(tmp_path / "some.h5", clips(), slice(3, None))
    every, some = scored(tmp_path / "all.h5", branch), scored(tmp_path / "some.h5", branch)
    assert len(every.table.clip) == 5 and len(some.table.clip) == 2
    kept = np.isin(every.table.clip, some.table.clip)
    assert every.table.score[kept].tobytes() == some.table.score.tobytes()
    assert every.normal.score.tobytes() == some.normal.score.tobytes() and every.notes == some.notes


def test_a_scorer_says_how_it_scored_normal_clips(tmp_path):
    vectors = store(tmp_path / "fan.h5", clips())
    branch = {**BRANCH, "conditioning": {"covariance": "ledoit_wolf"}, "scorer": {"kind": "gaussian"}}
    scores = scored(tmp_path / "fan.h5", branch)
    z = Conditioner(covariance="ledoit_wolf").fit(vectors[5:]).transform(vectors)
    scorer = fit_scorer({"kind": "gaussian"}, z[5:17], z[17:])
    assert scores.normal_kind == scorer.normal_kind != SELF_EXCLUDED
    assert scores.table.score[::-1].tobytes() == scorer.score(z[:5]).tobytes()
    assert scores.normal.score.tobytes() == np.concatenate(scorer.normal_scores()).tobytes()


def test_the_only_normal_clip_of_a_machine_has_no_score(tmp_path):
    branch = {**BRANCH, "conditioning": {"standardise": False, "components": None, "whiten": False}}
    store(tmp_path / "fan.h5", clips(1, 0))
    scores = scored(tmp_path / "fan.h5", branch)
    assert len(scores.normal.clip) == 0 and len(scores.table.clip) == 5


def test_an_autoencoders_normal_scores_are_its_own(tmp_path):
    listed = clips()
    error = np.arange(len(listed), dtype=np.float64)

    def scored_errors():
        with create_store(tmp_path / "fan.h5", listed, {"notes": ""}) as file:
            file.create_dataset("residuals/mse", data=error)
        return scored(tmp_path / "fan.h5", {"model": "ae", "scorer": {"kind": "mse"}})

    scores = scored_errors()
    assert scores.normal.score.tolist() == error[5:].tolist() and scores.normal_kind == OWN_SCORE
    error[7] = np.inf
    with one_line_error("1 normal training clips have no finite score"):
        scored_errors()


def test_all_branches_of_a_model_are_scored_as_each_alone(tmp_path):
    store(tmp_path / "fan.h5", clips())
    branches = {"one": BRANCH, "two": {**BRANCH, "scorer": {**BRANCH["scorer"], "metric": "cosine"}}}
    score_model([str(tmp_path / "fan.h5")], branches, tmp_path / "scores", tmp_path / "normal")
    for name, branch in branches.items():
        alone = scored(tmp_path / "fan.h5", branch)
        assert read_scores(tmp_path / f"scores/{name}.csv").score.tolist() == alone.table.score.tolist()
        assert read_scores(tmp_path / f"normal/{name}.csv").score.tolist() == alone.normal.score.tolist()
        facts = json.loads((tmp_path / f"scores/{name}.json").read_text(encoding="utf-8"))
        assert facts == {"notes": alone.notes, "normal_scores": SELF_EXCLUDED, "provenance": alone.provenance}
        assert facts["provenance"]["trained"] == "yes"


def score_external(tmp_path, *normal):
    """Two branches made elsewhere, theirs/fan.csv and others/fan.csv; the normal scores are of the first."""
    branches = {"theirs": {"scores": "theirs"}, "others": {"scores": "others"}}
    sources, tables = (
        [str(tmp_path / place) for place in places] for places in (("theirs/fan.csv", "others/fan.csv"), normal)
    )
    score_model(sources, branches, tmp_path / "scores", tmp_path / "normal_scores", tables)


def test_a_branch_made_elsewhere_has_the_normal_scores_that_lie_beside_it(tmp_path):
    store(tmp_path / "fan.h5", clips())
    made = scored(tmp_path / "fan.h5", BRANCH)
    for place, table in (("theirs", made.table), ("theirs/normal", made.normal), ("others", made.table)):
        (tmp_path / place).mkdir()
        write_scores(tmp_path / place / "fan.csv", table)
    score_external(tmp_path, "theirs/normal/fan.csv")
    theirs, others = (read_normal_scores(tmp_path / f"normal_scores/{name}.csv") for name in ("theirs", "others"))
    assert theirs.score.tolist() == made.normal.score.tolist() and len(others.clip) == 0
    assert json.loads((tmp_path / "scores/theirs.json").read_text(encoding="utf-8"))["normal_scores"] == ELSEWHERE


def test_test_clips_among_normal_scores_made_elsewhere_are_refused(tmp_path):
    """A planted leak: thresholds that have seen the test set."""
    (tmp_path / "theirs" / "normal").mkdir(parents=True)
    table = ScoreTable(["section_00_0000.wav", "section_00_0001.wav"], ["", ""], ["", ""], [1.0, 2.0])
    write_scores(tmp_path / "theirs/fan.csv", table)
    leak = ScoreTable(["a.wav", "section_00_0001.wav"], ["", ""], ["", ""], [1.0, 2.0])
    write_scores(tmp_path / "theirs/normal/fan.csv", leak)
    with one_line_error(r"normal/fan\.csv: .* remove section_00_0001\.wav \(a test clip of this machine\)"):
        score_external(tmp_path, "theirs/normal/fan.csv")
