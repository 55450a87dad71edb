"""Score tables of a suite become its tables of evidence; every row carries its protocol. No torch.

`write_tables` writes them all into a folder, one function makes each; their columns stand in `HEADERS`.
"""

from workflow_lib.evaluation.columns import FIXED_WEIGHTS, HEADERS, IDENTITY
from workflow_lib.evaluation.evidence import Evidence
from workflow_lib.evaluation.job import write_tables

__all__ = ["FIXED_WEIGHTS", "HEADERS", "IDENTITY", "Evidence", "write_tables"]
