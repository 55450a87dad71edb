"""The inputs of the tables of a suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_lib.evaluation.bootstrap import Resampling


@dataclass(frozen=True)
class Evidence:
    """The inputs of the tables of a suite; paths are outputs of earlier jobs."""

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
