"""Protocols: which machines chose what, whether any did, and under which protocols something can be reported.

The DAG imports it: standard library only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

PROTOCOLS = ("complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo")
# A fold needs other machines: to train on, and with normal and anomalous test clips to choose on; a nested one, which
# scores each selection machine with a model trained without it and without the held-out one, needs a third.
LABEL_FREE = ("none", "pseudo")  # searches that need no other machine
LEAST_FOLDS = {"complete_dev": 1, "fixed_lomo": 2, "cross_fitted": 2, "nested_lomo": 3}


def chooses_nothing(system: Mapping[str, Any]) -> bool:
    """Whether a system takes neither weights nor calibration from other machines, by its settings.

    Its weights are equal, given or by the machine's own pseudo-anomalies, and its own normal training clips calibrate.
    """
    return system.get("calibration") == "normal" and ("weights" in system or system["search"] in LABEL_FREE)


def weighted_by_pseudo_anomalies(system: Mapping[str, Any]) -> bool:
    """Whether each machine's own pseudo-anomalies weight several branches, by a system's settings."""
    return len(system["branches"]) > 1 and "weights" not in system and system.get("search") == "pseudo"


def has_searched_weights(system: Mapping[str, Any]) -> bool:
    """Whether machines choose the weights of several branches, by a system's settings."""
    return len(system["branches"]) > 1 and "weights" not in system and system["search"] not in LABEL_FREE


def needs_fold(system: Mapping[str, Any], candidates: Mapping[str, Sequence[str]]) -> bool:
    """Whether a fold chooses anything for a system: calibration, weights, or among candidates of a branch."""
    return not chooses_nothing(system) or any(len(names) > 1 for names in candidates.values())


def possible_protocols(kind: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Protocols under which a branch or system can be reported.

    A system whose weights are searched has no fixed configuration to hold out a machine from, and one whose weights
    are in the configuration has nothing to cross-fit. A branch alone, and a system that needs no other machine, have
    nothing to choose either; under `cross_fitted` they are reported beside the systems for comparison.
    """
    if kind == "branch" or len(settings["branches"]) == 1:
        return PROTOCOLS
    if "weights" in settings:
        return ("complete_dev", "fixed_lomo")
    if weighted_by_pseudo_anomalies(settings):
        return ("complete_dev", "fixed_lomo", "cross_fitted")  # nested_lomo chooses settings of branches by labels
    return PROTOCOLS if chooses_nothing(settings) else ("complete_dev", "cross_fitted", "nested_lomo")
