"""Branches, from a store to score tables: view, conditioning and scorer as the config declares them. No torch."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_lib.embedding.store import StoredClips, open_store, read_residuals, read_statistics
from workflow_lib.errors import UserError
from workflow_lib.scoring.conditioning import Conditioner, view_matrix
from workflow_lib.scoring.mahalanobis import score_residuals
from workflow_lib.scoring.score_file import read_normal_scores, read_scores, write_scores
from workflow_lib.scoring.score_table import COLUMNS, ScoreTable, stored_scores
from workflow_lib.scoring.scorers import fit_scorer

log = logging.getLogger(__name__)
# Whitened by all their own directions, n normal clips are the corners of a regular simplex.
FULL_RANK_NOTE = (
    "whitening by all {} directions makes all normal clips equally far apart: fewer components keep density"
)
MONO_NOTE = "mono recordings: {} in place of {}"
# How the normal training clips were scored: written beside the scores, because a threshold depends on it.
OWN_SCORE = "the clip's own score: the network and its covariances have seen it, only a new training could leave it out"
ELSEWHERE = "made elsewhere"
Scored = tuple[NDArray[np.floating], str, list[str]]  # scores (clips,), how normal clips were scored, notes
EMPTY = ScoreTable.from_any({name: [] for name in COLUMNS})


@dataclass(frozen=True)
class BranchScores:
    """Scores of the test clips and of the normal training clips of one machine, with notes on reduced settings."""

    table: ScoreTable
    normal: ScoreTable  # without a row where the branch can score no normal clip
    normal_kind: str
    notes: list[str]
    provenance: dict[str, str] = field(default_factory=dict)

    def write_notes(self, path: Path) -> None:
        """Write notes, the kind of the normal scores and provenance as JSON."""
        facts = {"notes": self.notes, "normal_scores": self.normal_kind, "provenance": self.provenance}
        path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def score_model(
    sources: Sequence[str],
    branches: Mapping[str, Mapping[str, Any]],
    folder: Path,
    normal_folder: Path,
    normal_tables: Sequence[str] | None = None,
) -> None:
    """Write the scores of one machine by all branches of a model into two new folders.

    sources: the model's store, or for branches made elsewhere a score table each. normal_tables: scores of normal
    training clips that such a branch may have, named after the machine in the folder `normal` beside its table.
    folder: <branch>.csv and <branch>.json (notes and provenance); normal_folder: <branch>.csv. UserError names the
    source where a clip has no finite score.
    """
    for new in (folder, normal_folder):
        new.mkdir(parents=True)
    external = all("scores" in branch for branch in branches.values())
    scored = _external(sources, branches, normal_tables or ()) if external else score_branches(sources[0], branches)
    for name, scores in scored:
        write_scores(folder / f"{name}.csv", scores.table)
        write_scores(normal_folder / f"{name}.csv", scores.normal)
        scores.write_notes(folder / f"{name}.json")


def _external(
    sources: Sequence[str], branches: Mapping[str, Mapping[str, Any]], normal_tables: Sequence[str]
) -> Iterator[tuple[str, BranchScores]]:
    for name, source in zip(branches, sources, strict=True):
        table, beside = read_scores(source), str(Path(source).parent / "normal" / Path(source).name)
        normal = read_normal_scores(beside, table.clip) if beside in normal_tables else EMPTY
        yield name, BranchScores(table, normal, ELSEWHERE, [])


def score_branches(source: str, branches: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, BranchScores]]:
    """(name, scores) of each branch of one model from its store of a machine."""
    with open_store(source) as (store, clips):
        provenance = {key: str(value) for key, value in store.attrs.items()}
        scorer = _scorer(store, clips)
        for name, branch in branches.items():
            score, kind, notes = scorer(branch)
            notes = list(dict.fromkeys(notes))
            for note in notes:
                log.info("%s: %s", name, note)
            yield name, _tables(source, clips, score, kind, notes, provenance)


def _tables(
    source: str,
    clips: StoredClips,
    score: NDArray[np.floating],
    normal_kind: str,
    notes: list[str],
    provenance: dict[str, str],
) -> BranchScores:
    """Scores (clips,) as tables of the test and the normal training clips; normal_kind: how these were scored."""
    test, trained = clips.split == "test", clips.training("source") | clips.training("target")
    if trained.sum() == 1 and normal_kind != OWN_SCORE:
        trained &= np.isfinite(score)  # the only clip of a machine has no other to be scored against
    for mask, what in ((test, "test"), (trained, "normal training")):
        if not np.isfinite(score[mask]).all():
            infinite = int((~np.isfinite(score[mask])).sum())
            raise UserError(f"{source}: {infinite} {what} clips have no finite score: check the recordings")
    table, normal = stored_scores(clips, test, score), stored_scores(clips, trained, score)
    return BranchScores(table, normal, normal_kind, notes, provenance)


def _scorer(store: Any, clips: StoredClips) -> Callable[[Mapping[str, Any]], Scored]:
    """What scores a branch (its settings) from a store; data are read once."""
    if "residuals" in store:
        return partial(_score_residuals, read_residuals(store), store.attrs["notes"].splitlines())

    @cache
    def statistics(block: int | None) -> dict[str, Any]:
        return read_statistics(store, block)

    def vectors(branch: Mapping[str, Any]) -> NDArray[np.float64]:
        if branch["view"] == ["head"]:
            return store["head/embedding"][:].astype(np.float64)
        return view_matrix(statistics(branch.get("block")), branch["view"], branch["statistics"])

    return lambda branch: _score_vectors(vectors(branch), clips, branch)


def _score_vectors(vectors: NDArray[np.float64], clips: StoredClips, branch: Mapping[str, Any]) -> Scored:
    """Scores of a view (clips, dimensions), conditioned, by the branch's scorer; NaN for clips not scored."""
    source, target = clips.training("source"), clips.training("target")
    conditioner = Conditioner(**branch["conditioning"]).fit(vectors[source | target])
    test = clips.split == "test"
    query, source_bank, target_bank = (conditioner.transform(vectors[mask]) for mask in (test, source, target))
    scorer = fit_scorer(branch["scorer"], source_bank, target_bank)
    notes = conditioner.notes + scorer.notes
    axes = conditioner.components_
    full_rank = axes is not None and len(axes) >= int((source | target).sum()) - 1
    if conditioner.components and conditioner.whiten and full_rank:  # of PCA: a shrunk covariance keeps density
        notes.append(FULL_RANK_NOTE.format(conditioner.n_components_))
    if "in_place_of" in branch:
        notes.append(MONO_NOTE.format(", ".join(branch["view"]), ", ".join(branch["in_place_of"])))
    score = np.full(len(test), np.nan)
    score[test] = scorer.score(query)
    score[source], score[target] = scorer.normal_scores()
    return score, scorer.normal_kind, notes


def _score_residuals(
    residuals: Mapping[str, NDArray[np.floating]], store_notes: list[str], branch: Mapping[str, Any]
) -> Scored:
    """Reconstruction scores (clips,): mean squared error or selective Mahalanobis (paper, section 2.1)."""
    scorer = branch["scorer"]
    if scorer["kind"] == "mse":
        return residuals["mse"], OWN_SCORE, []
    score, notes = score_residuals(residuals, scorer["reading"], scorer["shrinkage"])
    return score, OWN_SCORE, [*store_notes, *notes]
