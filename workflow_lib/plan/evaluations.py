"""One line of evidence as it is planned: which score tables, under which protocol and seed."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """One line of evidence: the score tables of a branch or system, under one protocol and seed."""

    suite: str
    protocol: str
    kind: str  # branch or system
    name: str
    seed: str  # "seed13711", or "noseed" where no adapted model takes part
    tables: Mapping[str, str]  # machine -> score table
    fused: str | None = None  # the system whose folds made the tables; None for a branch's own tables
