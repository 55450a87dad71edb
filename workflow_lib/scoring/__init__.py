"""From stores to score tables: conditioning, local density, Mahalanobis, normal scores, thresholds. No torch."""

from workflow_lib.scoring.conditioning import Conditioner
from workflow_lib.scoring.local_density import domain_conditioned_score, local_density_score
from workflow_lib.scoring.mahalanobis import invert_covariances
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_file import read_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable

__all__ = [
    "Conditioner",
    "Result",
    "ScoreTable",
    "domain_conditioned_score",
    "invert_covariances",
    "local_density_score",
    "read_scores",
    "write_scores",
]
