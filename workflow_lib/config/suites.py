"""Suites of the configuration: keys that do not go together, names that lead nowhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflow_lib.config.faults import unknown_names
from workflow_lib.errors import nearest
from workflow_lib.fetch.sets import published_sets


def suite_faults(suites: Mapping[str, Any]) -> Iterator[str]:
    """Faults of all suites; their shape is sound."""
    for name, suite in suites.items():
        place = f"suites.{name}"
        if suite["simulate"]:
            if suite["channels"] == 1:
                yield f"{place}.channels: a simulated suite has two channels: write 2"
            low, high = suite["simulate"]["severity"]
            if low > high:
                write = f"write [{high:g}, {low:g}], the lowest first"
                yield f"{place}.simulate.severity: {low:g} is above {high:g}: {write}"
        if suite["fetch"]:
            yield from _fetch_faults(place, suite)
        if suite["select_on"]:
            yield from _select_on_faults(f"{place}.select_on", name, suite["select_on"], suites)


def _fetch_faults(place: str, suite: Mapping[str, Any]) -> Iterator[str]:
    published = published_sets().get(suite["fetch"])
    if published is None:
        yield from unknown_names(f"{place}.fetch", "published set", [suite["fetch"]], published_sets())
        return
    if not suite["root"]:
        yield f"{place}.root: missing: write the folder that the recordings of {published.name} shall lie in"
    for machine in suite["machines"] or ():
        if machine not in published.machines:
            where = f"{place}.machines: {published.name} has no {machine}"
            yield f"{where}: {nearest(machine, published.machines)}"
    if (suite["channels"] or 1) > published.channels:
        yield f"{place}.channels: {published.name} is mono: write 1"


def _select_on_faults(place: str, name: str, other: str, suites: Mapping[str, Any]) -> Iterator[str]:
    chained = [key for key, value in suites.items() if value["select_on"] not in (None, key)]
    free = [key for key in suites if key not in (name, *chained)]
    if other == name:
        yield f"{place}: {other!r} is this suite itself: leave it out"
    elif other in chained:
        yield f"{place}: {other!r} has a select_on of its own and chooses nothing: {nearest(other, free)}"
    elif other not in suites:
        yield f"{place}: there is no other suite {other!r}: {nearest(other, free)}"
