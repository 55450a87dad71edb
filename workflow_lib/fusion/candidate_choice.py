"""Nested choice: which candidate of a branch stands in a fold, decided on the selection machines alone.

The paper calls its cross-fitted fusion "not fully nested", since the settings inside its branches were chosen on all
machines. In `nested_lomo` they are chosen here, before calibration and weights, from the same six machines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_lib.errors import UserError
from workflow_lib.fusion.cross_fit import Tables
from workflow_lib.fusion.weight_grid import first_best
from workflow_lib.scoring.score_table import ScoreTable

Candidates = Mapping[str, Sequence[str]]  # branch -> the branches that may stand in its place, itself first


@dataclass(frozen=True)
class Choice:
    """The candidate that stands for a branch; `omega` is each candidate's Omega on the selection machines."""

    candidate: str
    omega: Mapping[str, float]


def choose_candidates(tables: Tables, candidates: Candidates) -> dict[str, Choice]:
    """Each branch's candidate of highest Omega on the given machines; a single candidate is chosen without scoring.

    tables: selection machine -> candidate -> score table, every clip labelled. Of equal candidates the first is taken:
    a later one must be better by more than 1e-12, as a point of the weight grid. UserError: no figure is defined.
    """
    choices = {}
    for branch, names in candidates.items():
        omega = {}
        if len(names) > 1:
            omega = {name: _defined_omega([of_machine[name] for of_machine in tables.values()]) for name in names}
        values = np.array(list(omega.values()))
        if omega and np.isnan(values).all():
            advice = "a choice among candidates needs normal and anomalous test clips"
            raise UserError(f"{branch}: no figure is defined on {', '.join(tables)}: {advice}")
        choices[branch] = Choice(names[first_best(values)], omega)
    return choices


def chosen_tables(tables: Mapping[str, Any], choices: Mapping[str, Choice]) -> dict[str, Any]:
    """Branch -> the table of the candidate that stands for it, from candidate -> table of one machine."""
    return {branch: tables[choice.candidate] for branch, choice in choices.items()}


def _defined_omega(tables: Sequence[Any]) -> float:
    """Harmonic mean of the figures that the machines' labels define, as in the choice of weights; NaN if none is."""
    figures = np.array([ScoreTable.from_any(table).metrics().figures for table in tables]).ravel()
    figures = figures[~np.isnan(figures)]
    with np.errstate(divide="ignore"):  # a figure of 0 makes the harmonic mean 0
        return float(figures.size / (1.0 / figures).sum()) if figures.size else float("nan")
