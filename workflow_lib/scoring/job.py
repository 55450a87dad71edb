"""A branch, from a store to a score table: view, conditioning and scorer as the config declares them. No torch."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_lib.embedding.store import StoredClips, open_store, provenance_of, read_residuals, read_statistics
from workflow_lib.errors import UserError
from workflow_lib.scoring.local_density import Conditioner, domain_conditioned_score, neighbourhood_notes, view_matrix
from workflow_lib.scoring.mahalanobis import score_residuals
from workflow_lib.scoring.normal_scores import self_excluded_scores
from workflow_lib.scoring.score_file import read_normal_scores, read_scores
from workflow_lib.scoring.score_table import ScoreTable, stored_scores

log = logging.getLogger(__name__)
# Whitened by all their own directions, n normal clips are the corners of a regular simplex.
FULL_RANK_NOTE = (
    "whitening by all {} directions makes all normal clips equally far apart: fewer components keep density"
)
# What the scores of the normal training clips stand on: written beside them, a threshold depends on it.
SELF_EXCLUDED = "each clip against the banks without it; the conditioner, and an adapted model, have seen it"
OWN_SCORE = "the clip's own score: the network and its covariances have seen it, only a new training could leave it out"
ELSEWHERE = "made elsewhere"
EMPTY = ScoreTable([], [], [], [])


@dataclass(frozen=True)
class BranchScores:
    """Scores of the test clips and of the normal training clips of one machine, and what had to be reduced for them."""

    table: ScoreTable
    normal: ScoreTable  # without a row where the branch can score no normal clip
    normal_kind: str
    notes: list[str]
    provenance: dict[str, str] = field(default_factory=dict)

    def write_notes(self, path: Path) -> None:
        """Write notes, the kind of the normal scores and provenance as JSON."""
        facts = {"notes": self.notes, "normal_scores": self.normal_kind, "provenance": self.provenance}
        path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def score_branch(source: str, branch: Mapping[str, Any], kind: str, normal_tables: Sequence[str] = ()) -> BranchScores:
    """Score a machine with a branch: `source` is a store, or for an external branch a score table.

    normal_tables: the one table of normal training clips that an external branch may have.
    """
    if kind == "external":
        table = read_scores(source)
        normal = read_normal_scores(normal_tables[0], table.clip) if normal_tables else EMPTY
        return BranchScores(table, normal, ELSEWHERE, [])
    scorer, normal_kind = (_score_residuals, OWN_SCORE) if kind == "autoencoder" else (_score_vectors, SELF_EXCLUDED)
    with open_store(source) as (store, clips):
        score, notes = scorer(store, clips, branch)
    notes = list(dict.fromkeys(notes))
    for note in notes:
        log.info("%s", note)
    test, normal = clips.split == "test", clips.training("source") | clips.training("target")
    if normal.sum() == 1 and kind == "embedding":
        normal &= np.isfinite(score)  # the only clip of a machine has no other to be scored against
    for mask, what in ((test, "test"), (normal, "normal training")):
        if not np.isfinite(score[mask]).all():
            infinite = int((~np.isfinite(score[mask])).sum())
            raise UserError(f"{source}: {infinite} {what} clips have no finite score: check the recordings")
    tables = (stored_scores(clips, mask, score) for mask in (test, normal))
    return BranchScores(*tables, normal_kind, notes, provenance_of(source))


def _score_vectors(store: Any, clips: StoredClips, branch: Mapping[str, Any]) -> tuple[NDArray[np.float64], list[str]]:
    """Local-density scores (clips,) of the branch's view of the statistics (Eq. 2 and 3); NaN for clips not scored."""
    vectors = _vectors(store, branch)
    source, target = clips.training("source"), clips.training("target")
    conditioner = Conditioner(**branch["conditioning"]).fit(vectors[source | target])
    options = {key: value for key, value in branch["scorer"].items() if key != "kind"}
    notes = conditioner.notes + neighbourhood_notes(int(source.sum()), int(target.sum()), options["k"])
    full_rank = conditioner.components_ is not None and conditioner.n_components_ >= int((source | target).sum()) - 1
    if branch["conditioning"]["whiten"] and full_rank:
        notes.append(FULL_RANK_NOTE.format(conditioner.n_components_))
    test = clips.split == "test"
    query, *banks = (conditioner.transform(vectors[mask]) for mask in (test, source, target))
    score = np.full(len(test), np.nan)
    score[test] = domain_conditioned_score(query, *banks, **options)
    score[source], score[target] = self_excluded_scores(*banks, **options)
    return score, notes


def _vectors(store: Any, branch: Mapping[str, Any]) -> NDArray[np.float64]:
    """The branch's view, (clips, dimensions)."""
    if branch["view"] == ["head"]:
        return store["head/embedding"][:].astype(np.float64)
    return view_matrix(read_statistics(store, branch["block"]), branch["view"])


def _score_residuals(
    store: Any, clips: StoredClips, branch: Mapping[str, Any]
) -> tuple[NDArray[np.float64], list[str]]:
    """Reconstruction scores (clips,): mean squared error or selective Mahalanobis (paper, section 2.1)."""
    residuals = read_residuals(store)
    scorer = branch["scorer"]
    if scorer["kind"] == "mse":
        return residuals["mse"], []
    score, notes = score_residuals(residuals, scorer["reading"], scorer["shrinkage"])
    return score, [*store.attrs["notes"].splitlines(), *notes]
