"""What is to be made, decided from the configuration alone; each subject has a module of its own.

Imported while the DAG is built, so only the standard library, yaml and jsonschema lie below it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workflow_lib import __version__
from workflow_lib.digest import settings_digest
from workflow_lib.plan.evaluations import Evaluations
from workflow_lib.plan.folds import Folds
from workflow_lib.plan.models import Models
from workflow_lib.plan.paths import Paths
from workflow_lib.plan.recordings import Recordings
from workflow_lib.plan.reported import Reported
from workflow_lib.plan.scores import Scores
from workflow_lib.plan.suites import Suite


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole run."""

    config: Mapping[str, Any]  # with the defaults of all keys that are left out
    suites: Mapping[str, Suite]
    run_suites: tuple[str, ...]
    written: Mapping[str, Any]  # without them

    @property
    def provenance(self) -> dict[str, str]:
        """What the report says it was made from."""
        return {"version": __version__, "configuration digest": settings_digest(dict(self.config))}

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.config["results"])

    @cached_property
    def recordings(self) -> Recordings:
        return Recordings(self.config, self.suites, self.run_suites, self.paths)

    @cached_property
    def folds(self) -> Folds:
        return Folds(self.suites, self.config["folds"]["size"])

    @cached_property
    def models(self) -> Models:
        return Models(self.config, self.suites, self.folds, self.paths)

    @cached_property
    def reported(self) -> Reported:
        return Reported(self.config, self.suites, self.folds, self.models)

    @cached_property
    def scores(self) -> Scores:
        return Scores(self.run_suites, self.folds, self.models, self.reported, self.paths)

    @cached_property
    def evaluations(self) -> Evaluations:
        return Evaluations(self.scores)
