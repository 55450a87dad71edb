"""Scorers of clip vectors behind one interface, `fit_scorer(settings, source, target)`.

A scorer is one file: the module `<name>.py` of this folder that defines `fit_<name>(source, target, **options)`, and,
if it has options, their definition `<name>_scorer` in config/schema.yaml.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workflow_lib.config.scorers import scorer_names
from workflow_lib.errors import UserError, nearest

__all__ = ["Scorer", "fit_scorer"]


class Scorer(Protocol):
    """A scorer fitted to the normal training vectors of a machine: arrays and options, nothing of a test clip."""

    @property
    def notes(self) -> list[str]:
        """One line for each setting that the training set reduced."""

    @property
    def normal_kind(self) -> str:
        """How `normal_scores` scores normal clips, in one line."""

    def score(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n,) float64, higher is more anomalous; a clip's bytes do not depend on the other clips."""

    def normal_scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (m_s,) and (m_t,) float64 of the training vectors, each without itself; NaN where no other is left."""


def fit_scorer(settings: Mapping[str, Any], source: NDArray[np.float64], target: NDArray[np.float64]) -> Scorer:
    """Fit the scorer of a branch: its `kind` and options.

    source (m_s, d), target (m_t, d): conditioned normal training vectors of the two domains, float64; one of them may
    have no rows. UserError: a kind that is none, or options that the scorer cannot use.
    """
    kind = settings["kind"]
    if kind not in scorer_names():
        raise UserError(f"there is no scorer named {kind!r}: {nearest(kind, scorer_names())}")
    options = {key: value for key, value in settings.items() if key != "kind"}
    scorer: Scorer = getattr(import_module(f"{__name__}.{kind}"), f"fit_{kind}")(source, target, **options)
    return scorer
