"""Protocols: which machines chose what, and under which protocols a branch or system can be reported.

The DAG imports it: standard library only.
"""

from collections.abc import Mapping
from typing import Any

PROTOCOLS = ("complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo")
# A fold needs other machines: to train on, and with normal and anomalous test clips to choose on; a nested one, which
# scores each selection machine with a model trained without it and without the held-out one, needs a third.
LEAST_FOLDS = {"complete_dev": 1, "fixed_lomo": 2, "cross_fitted": 2, "nested_lomo": 3}


def possible_protocols(kind: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Protocols under which a branch or system can be reported.

    A system whose weights are searched has no fixed configuration to hold out a machine from, and one whose weights
    are in the configuration has nothing to cross-fit. A branch alone has nothing to choose either; under
    `cross_fitted` it is reported beside the systems for comparison.
    """
    if kind == "branch" or len(settings["branches"]) == 1:
        return PROTOCOLS
    return ("complete_dev", "fixed_lomo") if "weights" in settings else ("complete_dev", "cross_fitted", "nested_lomo")
