"""The equal-weight twin of a system whose weights are searched: its name, its settings, and what it is called."""

from collections.abc import Mapping
from typing import Any

_EQUAL = "@equal"  # `@` is in no name of the configuration


def equal_twin(system: str) -> str:
    """Name of the system with the branches and the calibration of another one, and equal weights."""
    return f"{system}{_EQUAL}"


def twin_of(name: str) -> str | None:
    """The system whose twin this is; None for a name of the configuration."""
    return name.removesuffix(_EQUAL) if name.endswith(_EQUAL) else None


def twin_settings(system: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the twin of a system."""
    return {**system, "search": "none", "shrink": 0}


def system_label(name: str) -> str:
    """What a branch or system is called where people read: 'DualDL4, equal weights' for the twin of DualDL4."""
    return f"{twin_of(name)}, equal weights" if twin_of(name) else name
