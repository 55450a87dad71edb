"""What is to be made, decided from the configuration alone; each subject has a module of its own.

Loaded while the DAG is built, so it imports only the standard library, yaml and jsonschema.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workflow_lib import __version__
from workflow_lib.digest import settings_digest
from workflow_lib.fetch.sets import SPLITS
from workflow_lib.plan.evaluations import Evaluations
from workflow_lib.plan.folds import Folds
from workflow_lib.plan.model_name import EXTERNAL, scope_pattern
from workflow_lib.plan.models import Models
from workflow_lib.plan.paths import NO_ONE, Paths
from workflow_lib.plan.recordings import Recordings
from workflow_lib.plan.reported import Reported
from workflow_lib.plan.scores import Scores
from workflow_lib.plan.suites import PSEUDO, Suite
from workflow_lib.protocols import PROTOCOLS


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

    @property
    def wildcards(self) -> dict[str, str]:
        """Wildcard of the path patterns -> regular expression of its names; a path that no plan names is no target."""
        folds = _one_of(fold for suite in self.folds.by_name.values() for fold in suite)
        return {
            "suite": _one_of(self.suites),
            "pseudo_suite": _one_of([n for n, suite in self.suites.items() if suite.made_from] or [PSEUDO]),
            "machine": _one_of(machine for suite in self.suites.values() for machine in suite.machines),
            "held_out": rf"(?:{NO_ONE}|{folds})",
            "model": rf"{_one_of([*self.config['models'], EXTERNAL])}(?:{scope_pattern(folds)})?",
            "model_without_weights": _one_of(self.models.without_weights or [EXTERNAL]),  # which is not embedded
            "protocol": _one_of(PROTOCOLS),
            "part": _one_of(SPLITS),
        }


def _one_of(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name) for name in dict.fromkeys(names)) + ")"
