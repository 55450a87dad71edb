"""What is to be made, decided from the configuration alone; each subject has a module of its own.

Imported while the DAG is built, so only the standard library, yaml and jsonschema lie below it.
"""

from collections.abc import Mapping
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


class Plan:
    """The whole run."""

    def __init__(
        self,
        config: Mapping[str, Any],
        suites: Mapping[str, Suite],
        run_suites: tuple[str, ...],
        written: Mapping[str, Any],
    ) -> None:
        """config: with the defaults of all keys that are left out; written: without them."""
        self.config, self.suites, self.run_suites, self.written = config, suites, run_suites, written
        self.paths = Paths(config["results"])
        self.recordings = Recordings(config, suites, run_suites, self.paths)
        self.folds = Folds(suites, config["folds"]["size"])
        self.models = Models(config, suites, self.folds, self.paths)
        self.reported = Reported(config, suites, self.folds, self.models)
        self.scores = Scores(run_suites, self.folds, self.models, self.reported, self.paths)
        self.evaluations = Evaluations(self.scores)

    @property
    def provenance(self) -> dict[str, str]:
        """What the report says it was made from."""
        return {"version": __version__, "configuration digest": settings_digest(dict(self.config))}
