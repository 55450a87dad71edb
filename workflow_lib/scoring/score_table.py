"""Score tables in memory: one anomaly score per clip with its labels, and several branches side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_lib.embedding.store import StoredClips
from workflow_lib.errors import UserError, and_more
from workflow_lib.metrics import MachineMetrics, machine_metrics

DOMAINS = ("source", "target", "")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of one machine by one branch or system, sorted by clip name; every column is (n,).

    clip: unique file names; domain: "source", "target" or "" where unknown; anomaly: float64 0, 1 or NaN where unknown;
    score: finite float64, higher is more anomalous.
    """

    clip: NDArray[np.str_]
    domain: NDArray[np.str_]
    anomaly: NDArray[np.float64]
    score: NDArray[np.floating]

    def __post_init__(self) -> None:
        """Convert, check and sort the columns, which may be given as any sequences."""
        columns = {name: np.asarray(getattr(self, name)) for name in COLUMNS}
        if len({column.shape for column in columns.values()}) != 1 or columns["clip"].ndim != 1:
            sizes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
            raise UserError(f"the columns must be lists of one length, but have the shapes {sizes}")
        names = _texts(columns["clip"])
        clip, order = np.unique(names, return_index=True)
        _forbid(np.unique(np.delete(names, order)), "clips that are named more than once")
        domain, anomaly = _texts(columns["domain"][order]), columns["anomaly"][order]
        label, score = _numbers(anomaly), _numbers(columns["score"][order])
        _forbid(clip[~np.isin(domain, DOMAINS)], "clips whose domain is neither source, target nor empty")
        wrong = ~np.isin(label, (0, 1)) & (_texts(anomaly) != "")
        _forbid(clip[wrong], "clips whose anomaly is neither 0, 1 nor empty")
        _forbid(clip[~np.isfinite(score)], "clips whose score is not a finite number")
        for name, column in zip(COLUMNS, (clip, domain, label, score), strict=True):
            object.__setattr__(self, name, column)

    @classmethod
    def from_any(cls, table: Any, where: str = "score table") -> "ScoreTable":
        """Table from a ScoreTable, a data frame, a mapping of columns or a list of rows (mappings).

        Columns clip, domain, anomaly, score; None, NaN and "" are unknown domains and labels. `where` begins the
        UserError that names what is wrong: a missing column, a clip named twice, a score that is not finite, ...
        """
        if isinstance(table, ScoreTable):
            return table
        try:
            return cls(*(_column(table, name) for name in COLUMNS))
        except UserError as error:
            raise UserError(f"{where}: {error}") from None

    def check_labels(self) -> None:
        """UserError that names clips whose label or domain is unknown."""
        _forbid(self.clip[_unknown(self.anomaly)], "the metrics need every clip's label; clips without one")
        _forbid(self.clip[_unknown(self.domain)], "the metrics need every clip's domain; clips without one")

    def metrics(self) -> MachineMetrics:
        """The official figures of the table; UserError where a label or domain is unknown."""
        self.check_labels()
        return machine_metrics(self.score, self.anomaly, self.domain)

    def defined_metrics(self) -> MachineMetrics:
        """As `metrics`, but NaN where an unknown label, or for an AUC a normal clip's domain, leaves it undefined."""
        undefined = float("nan")
        if _unknown(self.anomaly).any():
            return MachineMetrics(undefined, undefined, undefined)
        somewhere = _unknown(self.domain)
        metrics = machine_metrics(self.score, self.anomaly, np.where(somewhere, "source", self.domain))
        if (somewhere & (self.anomaly == 0)).any():
            # Both AUCs share all anomalies, the pAUC all clips.
            return MachineMetrics(undefined, undefined, metrics.pauc)
        return metrics


COLUMNS = tuple(field.name for field in fields(ScoreTable))


@dataclass(frozen=True, eq=False)
class AlignedScores:
    """Several branches' scores of the same clips of one machine, sorted by clip name: score is (branches, n)."""

    clip: NDArray[np.str_]
    domain: NDArray[np.str_]
    anomaly: NDArray[np.float64]
    branches: tuple[str, ...]
    score: NDArray[np.float64]

    def with_score(self, score: NDArray[np.float64]) -> ScoreTable:
        """The table of one score (n,) for these clips."""
        return ScoreTable(self.clip, self.domain, self.anomaly, score)


def align_branches(tables: Mapping[str, Any], branches: Sequence[str], machine: str) -> AlignedScores:
    """Put the branches of one machine side by side, matched by clip name; tables: branch -> anything `from_any` takes.

    A domain or label that one branch lacks comes from another. UserError: a branch without a table,
    clips that only some branches have, domains or labels that contradict each other.
    """
    missing = [branch for branch in branches if branch not in tables]
    if missing:
        raise UserError(f"{machine}: no score table of branch {', '.join(missing)}; there are: {', '.join(tables)}")
    aligned = {branch: ScoreTable.from_any(tables[branch], f"{machine}/{branch}") for branch in branches}
    first = aligned[branches[0]]
    clip, domain, anomaly = first.clip, first.domain, first.anomaly
    for branch, table in aligned.items():
        pair = f"{machine}: branches {branches[0]} and {branch}"
        _forbid(np.setxor1d(clip, table.clip), f"{pair} must score the same clips; only one of them has")
        domain = _merge(clip, domain, table.domain, f"{pair} differ in the domain of")
        anomaly = _merge(clip, anomaly, table.anomaly, f"{pair} differ in the label of")
    return AlignedScores(clip, domain, anomaly, tuple(branches), np.stack([t.score for t in aligned.values()]))


def _merge(clip: NDArray[np.str_], a: NDArray, b: NDArray, what: str) -> NDArray:
    """Values of `a`, of `b` where `a` has none; UserError where both are known and differ."""
    _forbid(clip[~_unknown(a) & ~_unknown(b) & (a != b)], what)
    return np.where(_unknown(a), b, a)


def _unknown(values: NDArray) -> NDArray[np.bool_]:
    """Which domains ("") or labels (NaN) are not known."""
    return values == "" if values.dtype.kind == "U" else np.isnan(values)


def _column(table: Any, name: str) -> NDArray:
    """One column of a data frame, a mapping of columns or a list of row mappings."""
    try:
        values = [row[name] for row in table] if isinstance(table, list | tuple) else table[name]
    except (KeyError, TypeError, IndexError, ValueError):
        raise UserError(f"the column {name!r} is missing; a score table has {', '.join(COLUMNS)}") from None
    return np.asarray(values, dtype=None if isinstance(values, np.ndarray) else object)


def _texts(values: NDArray) -> NDArray[np.str_]:
    """(n,) text without surrounding blanks; "" where a cell is None, NaN or blank."""
    if values.dtype.kind != "U":
        values = np.array(["" if value is None or value != value else str(value) for value in values], dtype=str)
    return np.strings.strip(values)


def _numbers(values: NDArray) -> NDArray[np.float64]:
    """(n,) float64; NaN where a cell is empty or no number."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.array([_number(value) for value in values.tolist()], dtype=np.float64)


def _number(value: Any) -> float:
    """A cell as a number, NaN where it is none; text counts as what it spells."""
    try:
        return float({"False": 0.0, "True": 1.0}.get(value.strip(), value) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return float("nan")


def _forbid(clips: NDArray[np.str_], what: str) -> None:
    """UserError that names the clips, if there are any."""
    if len(clips):
        raise UserError(f"{what}: {and_more(clips)}")


def stored_scores(clips: StoredClips, rows: NDArray[np.bool_], score: NDArray[np.floating]) -> ScoreTable:
    """The score table of some clips of a store, from the scores (clips,) of all."""
    label = clips.label[rows]
    anomaly = np.where(label == "", np.nan, (label == "anomaly").astype(float))
    return ScoreTable(clip=clips.name[rows], domain=clips.domain[rows], anomaly=anomaly, score=score[rows])
