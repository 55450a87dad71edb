"""One regular expression for each wildcard of the path patterns, made of the names in the configuration."""

import re
from collections.abc import Iterable

from workflow_lib.fetch.sets import SPLITS
from workflow_lib.plan.model_name import EXTERNAL, scope_pattern
from workflow_lib.plan.paths import NO_ONE
from workflow_lib.plan.plan import Plan
from workflow_lib.protocols import PROTOCOLS


def constraints_of(plan: Plan) -> dict[str, str]:
    """Wildcard -> what it may be; a path that no plan names is no target."""
    every = [machine for suite in plan.suites.values() for machine in suite.machines]
    models = _alternatives([*plan.config["models"], EXTERNAL])
    folds = _alternatives(fold for suite in plan.folds.by_name.values() for fold in suite)
    return {
        "suite": _alternatives(plan.suites),
        "machine": _alternatives(every),
        "held_out": rf"(?:{NO_ONE}|{folds})",
        "model": rf"{models}(?:{scope_pattern(folds)})?",
        "protocol": _alternatives(PROTOCOLS),
        "part": _alternatives(SPLITS),
    }


def _alternatives(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name) for name in dict.fromkeys(names)) + ")"
