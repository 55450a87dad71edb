"""Suites of the configuration: keys that do not go together, names that lead nowhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflow_lib.config.faults import unknown_names
from workflow_lib.errors import nearest
from workflow_lib.fetch.sets import published_sets


def suite_faults(suites: Mapping[str, Any]) -> Iterator[str]:
    """Faults of all suites; their shape is sound."""
    chained = [key for key, value in suites.items() if value["select_on"] not in (None, key)]
    for name, suite in suites.items():
        place, other = f"suites.{name}", suite["select_on"]
        free = [key for key in suites if key not in (name, *chained)]
        if suite["simulate"]:
            if suite["channels"] == 1:
                yield f"{place}.channels: a simulated suite has two channels: write 2"
            low, high = suite["simulate"]["severity"]
            if low > high:
                write = f"write [{high:g}, {low:g}], the lowest first"
                yield f"{place}.simulate.severity: {low:g} is above {high:g}: {write}"
        if suite["fetch"]:
            yield from _fetch_faults(place, suite)
        if other and other == name:
            yield f"{place}.select_on: {other!r} is this suite itself: leave it out"
        elif other in chained:
            yield f"{place}.select_on: {other!r} has a select_on of its own and chooses nothing: {nearest(other, free)}"
        elif other and other not in suites:
            yield f"{place}.select_on: there is no other suite {other!r}: {nearest(other, free)}"


def _fetch_faults(place: str, suite: Mapping[str, Any]) -> Iterator[str]:
    published = published_sets().get(suite["fetch"])
    if published is None:
        yield from unknown_names(f"{place}.fetch", "published set", [suite["fetch"]], published_sets())
        return
    for machine in suite["machines"] or ():
        if machine not in published.machines:
            where = f"{place}.machines: {published.name} has no {machine}"
            yield f"{where}: {nearest(machine, published.machines)}"
    if (suite["channels"] or 1) > published.channels:
        yield f"{place}.channels: {published.name} is mono: write 1"
