"""All that the tables of a suite are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_lib.evaluation.bootstrap import Resampling


@dataclass(frozen=True)
class Evidence:
    """All that the tables of a suite are made of; paths are those of the jobs before."""

    suite: str
    labelled: bool
    evaluations: Sequence[Mapping[str, Any]]  # plan.evaluation_rows
    config: Mapping[str, Any]  # models, branches, systems
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    folds: Sequence[str]
    manifests: Sequence[str]
    adapters: Sequence[str] = ()  # folders of the adapted models
    bootstrap: Resampling = field(default_factory=Resampling)
