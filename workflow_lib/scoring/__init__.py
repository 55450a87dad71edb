"""From stores to score tables: conditioning, local density, Mahalanobis, normal scores, thresholds. No torch."""

from workflow_lib.scoring.conditioning import Conditioner
from workflow_lib.scoring.local_density import domain_conditioned_score, local_density_score
from workflow_lib.scoring.score_table import ScoreTable

__all__ = ["Conditioner", "ScoreTable", "domain_conditioned_score", "local_density_score"]
