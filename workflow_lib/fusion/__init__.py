"""Fusion of branches (paper, Eq. 4): calibration, weight searches, cross-fitting, choice of candidates. No torch."""

from workflow_lib.fusion.calibration import NormalScale, RobustSigmoid
from workflow_lib.fusion.cross_fit import CrossFit, Fold, Fusion, cross_fit, fit_fusion, label_free_fusion
from workflow_lib.fusion.pseudo_weights import PseudoWeights, pseudo_weights
from workflow_lib.fusion.shrinkage import Shrinkage
from workflow_lib.fusion.weight_grid import simplex_grid

__all__ = [
    "CrossFit",
    "Fold",
    "Fusion",
    "NormalScale",
    "PseudoWeights",
    "RobustSigmoid",
    "Shrinkage",
    "cross_fit",
    "fit_fusion",
    "label_free_fusion",
    "pseudo_weights",
    "simplex_grid",
]
