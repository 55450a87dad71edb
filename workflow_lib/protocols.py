"""Protocols: which machines chose what, and under which protocols a branch or system can be reported.

Imported while the DAG is built, so only the standard library lies below it.
"""

from collections.abc import Mapping
from typing import Any

PROTOCOLS = ("complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo")
# A fold needs other machines: to train on, and with normal and anomalous test clips to choose on; a nested one, which
# scores each choosing machine with a model that heard neither it nor the held-out one, needs a third.
LEAST_FOLDS = {"complete_dev": 1, "fixed_lomo": 2, "cross_fitted": 2, "nested_lomo": 3}


def possible_protocols(kind: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Protocols that say something true of a branch or system.

    A system whose weights are searched has no fixed configuration to hold out a machine from, and one whose weights
    stand in the configuration has nothing to cross-fit. A branch alone has nothing to choose either: under
    `cross_fitted` it stands beside the systems as what they are to be compared with.
    """
    if kind == "branch" or len(settings["branches"]) == 1:
        return PROTOCOLS
    return ("complete_dev", "fixed_lomo") if "weights" in settings else ("complete_dev", "cross_fitted", "nested_lomo")
