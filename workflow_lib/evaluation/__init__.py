"""Score tables of a suite become its tables of evidence; every row carries its protocol. No torch.

`write_tables` writes them all into a folder, one function makes each; `evidence_rows` declares their columns.
"""

from workflow_lib.evaluation.evidence import Evidence
from workflow_lib.evaluation.evidence_rows import FIXED_WEIGHTS
from workflow_lib.evaluation.job import write_tables

__all__ = ["FIXED_WEIGHTS", "Evidence", "write_tables"]
