"""The branches and systems of a suite with their score tables, every label filled in that any table knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_lib.errors import UserError
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.scoring.score_table import ScoreTable

WORDS = {0.0: "normal", 1.0: "anomaly"}
VALUES = {"normal": 0.0, "anomaly": 1.0, "": float("nan")}
Identity = tuple[str, str, str, str, str, bool]  # suite, protocol, kind, name, seed, untrained
Labels = dict[str, dict[str, tuple[str, str]]]  # machine: {clip: (domain, label)}, "" where no table knows
Scored = Sequence[tuple[Mapping[str, Any], Mapping[str, ScoreTable]]]  # evaluations with their tables by machine


@dataclass(frozen=True, eq=False)
class LabelledEntry:
    """The score tables of a branch or system under one protocol and seed; untrained: a random model takes part."""

    suite: str
    untrained: bool
    result: Result

    @property
    def identity(self) -> Identity:
        """The columns of `EntryRow`."""
        result = self.result
        return (self.suite, result.protocol, result.kind, result.name, result.seed, self.untrained)


def read_entries(evaluations: Sequence[Mapping[str, Any]]) -> tuple[list[LabelledEntry], Labels]:
    """All entries, sorted, and what their tables together know of each clip."""
    scored = [(e, {m: read_scores(path) for m, path in sorted(e["tables"].items())}) for e in evaluations]
    labels = _known_labels(scored)
    entries = []
    for evaluation, tables in scored:
        suite, protocol, kind, name, seed, untrained = identity_of(evaluation)
        filled = {machine: _filled(table, labels[machine]) for machine, table in tables.items()}
        entries.append(LabelledEntry(suite, untrained, Result(kind, name, protocol, seed, filled)))
    return sorted(entries, key=lambda entry: entry.identity), labels


def identity_of(evaluation: Mapping[str, Any]) -> Identity:
    """The columns of `EntryRow` of a branch or system as the plan names it."""
    suite, protocol, kind, name, seed = (evaluation[key] for key in ("suite", "protocol", "kind", "name", "seed"))
    return suite, protocol, kind, name, seed, evaluation["untrained"]


def _known_labels(scored: Scored) -> Labels:
    """What all tables of a machine together know of its clips; UserError where two contradict each other."""
    found: Labels = {}
    for evaluation, tables in scored:
        for machine, table in tables.items():
            labels, path = found.setdefault(machine, {}), evaluation["tables"][machine]
            columns = (column.tolist() for column in (table.clip, table.domain, table.anomaly))
            for clip, domain, anomaly in zip(*columns, strict=True):
                known, new = labels.get(clip, ("", "")), (domain, WORDS.get(anomaly, ""))
                labels[clip] = (_agreed(known[0], new[0], path, clip), _agreed(known[1], new[1], path, clip))
    return found


def _agreed(known: str, new: str, path: str, clip: str) -> str:
    if known and new and known != new:
        text = f"{clip} is {new} here, but {known} in another table of this machine: correct the one that is wrong"
        raise UserError(f"{path}: {text}")
    return known or new


def _filled(table: ScoreTable, labels: Mapping[str, tuple[str, str]]) -> ScoreTable:
    """The table with the domains and labels that it lacks and other tables of its machine know."""
    if not (np.isnan(table.anomaly) | (table.domain == "")).any():
        return table
    known = [labels[clip] for clip in table.clip.tolist()]
    domain, anomaly = [domain for domain, _ in known], [VALUES[label] for _, label in known]
    return ScoreTable(table.clip, np.array(domain), np.array(anomaly), table.score)
