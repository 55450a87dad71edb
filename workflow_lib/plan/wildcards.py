"""One regular expression for each wildcard of the path patterns, made of the names in the configuration."""

import re
from collections.abc import Iterable

from workflow_lib.fetch.sets import SPLITS
from workflow_lib.plan.paths import NO_ONE, NO_SEED
from workflow_lib.plan.plan import EXTERNAL, Plan
from workflow_lib.protocols import CHOSEN, PROTOCOLS


def constraints_of(plan: Plan) -> dict[str, str]:
    """Wildcard -> what it may be; a path that no plan names is no target."""
    config, every = plan.config, [machine for suite in plan.suites.values() for machine in suite.machines]
    machines, models = _alternatives(every), _alternatives([*config["models"], EXTERNAL])
    folds = _alternatives(fold for suite in plan.suites for fold in plan.folds[suite])
    scope = rf"@(?:full|without-{folds}(?:\+{folds})*)-seed\d+"
    return {
        "suite": _alternatives(plan.suites),
        "machine": machines,
        "held_out": rf"(?:{NO_ONE}|{folds})",
        "model": rf"{models}(?:{scope})?",
        "branch": _alternatives(config["branches"]),
        "system": _alternatives([*config["systems"], *(f"{branch}{CHOSEN}" for branch in config["branches"])]),
        "protocol": _alternatives(PROTOCOLS),
        "seed": rf"{NO_SEED}|seed\d+",
        "part": _alternatives(SPLITS),
        "study": _alternatives(config["studies"]),
    }


def _alternatives(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name) for name in dict.fromkeys(names)) + ")"
