"""Fusion of branches (paper, Eq. 4): calibration, weight searches, cross-fitting, choice of candidates. No torch."""

from workflow_lib.fusion.calibration import RobustSigmoid
from workflow_lib.fusion.cross_fit import CrossFit, Fold, Fusion, cross_fit, fit_fusion
from workflow_lib.fusion.weight_grid import simplex_grid

__all__ = ["CrossFit", "Fold", "Fusion", "RobustSigmoid", "cross_fit", "fit_fusion", "simplex_grid"]
