"""Local density (paper section 2.4, Eq. 2 and 3) and its forms in the literature, as a scorer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_lib.scoring.local_density import domain_conditioned_score, neighbourhood_notes
from workflow_lib.scoring.normal_scores import self_excluded_scores

SELF_EXCLUDED = "each clip against the banks without it; the conditioner, and an adapted model, have seen it"


@dataclass(frozen=True, eq=False)
class LocalDensity:
    """The banks (m_s, d) and (m_t, d) float64, and the options of `domain_conditioned_score`."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    options: dict[str, Any]
    notes: list[str]
    normal_kind: str = SELF_EXCLUDED

    def score(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n,) float64."""
        return domain_conditioned_score(query, self.source, self.target, **self.options)

    def normal_scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (m_s,) and (m_t,), each as if its bank had been made without the clip."""
        return self_excluded_scores(self.source, self.target, **self.options)


def fit_local_density(source: NDArray[np.float64], target: NDArray[np.float64], **options: Any) -> LocalDensity:
    """Keep the banks; options: k, metric, match, scale, eps, banks, form."""
    settings = {key: options[key] for key in ("k", "banks") if key in options}
    return LocalDensity(source, target, options, neighbourhood_notes(len(source), len(target), **settings))
