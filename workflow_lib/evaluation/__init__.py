"""Score tables of a suite become its tables of evidence; every row carries its protocol. No torch.

`write_tables` writes them all into a folder; `evidence_rows` declares their columns.
"""

from workflow_lib.evaluation.ablation import leave_one_branch_out
from workflow_lib.evaluation.bootstrap import Resampling, compare, resample
from workflow_lib.evaluation.evidence_rows import FIXED_WEIGHTS
from workflow_lib.evaluation.inputs import Evidence
from workflow_lib.evaluation.job import write_tables

__all__ = ["FIXED_WEIGHTS", "Evidence", "Resampling", "compare", "leave_one_branch_out", "resample", "write_tables"]
