"""Branches and systems of a suite under each protocol, in the order of the page, and the one that leads."""

import math
from collections.abc import Iterable, Mapping, Sequence

from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import Entry, OfficialRow, RankingRow
from workflow_lib.report.page.glossary import protocol_order
from workflow_lib.report.suite_tables import SuiteTables

# {(protocol, entry): {machine: rows by rank}}
Rankings = Mapping[tuple[str, Entry], Mapping[str, Sequence[RankingRow]]]


def rankings_of(suite: SuiteTables) -> Rankings:
    """ranking.csv by protocol, entry and machine, each by rank; read once, as it is the long table."""
    found: dict[tuple[str, Entry], dict[str, list[RankingRow]]] = {}
    groups = grouped(suite.ranking, lambda row: (row.protocol, row.entry, row.machine))
    for (protocol, entry, machine), rows in groups.items():
        found.setdefault((protocol, entry), {})[machine] = sorted(rows, key=lambda row: row.rank)
    return {key: dict(sorted(machines.items())) for key, machines in found.items()}


def protocols_of(suite: SuiteTables) -> list[str]:
    """All protocols of a suite, in the order of the page."""
    tables = (suite.official, suite.machines, suite.ranking, suite.weights)
    return sorted({row.protocol for rows in tables for row in rows}, key=protocol_order)


def by_omega(rows: Iterable[OfficialRow]) -> list[OfficialRow]:
    """Largest Ω first, undefined last; of equal ones systems first, as some are one branch, then by name and seed."""

    def key(row: OfficialRow) -> tuple[float, bool, str, str]:
        return (math.inf if row.omega is None else -row.omega, row.kind != "system", row.name, row.seed)

    return sorted(rows, key=key)


def official_of(suite: SuiteTables, protocol: str) -> list[OfficialRow]:
    """official.csv of a protocol in the order of `by_omega`, first without and then with untrained models."""
    return sorted(by_omega(row for row in suite.official if row.protocol == protocol), key=suite.is_untrained)


def entries_of(suite: SuiteTables, protocol: str, rankings: Rankings) -> list[Entry]:
    """Entries of a protocol: those with an Ω from the best down, then those that are only ranked or have weights.

    First all entries without, then all with untrained models.
    """
    official = [row.entry for row in official_of(suite, protocol)]
    others = [row.entry for row in suite.machines if row.protocol == protocol]
    others += [entry for place, entry in rankings if place == protocol]
    others += [Entry("system", row.system, row.seed) for row in suite.weights if row.protocol == protocol]
    return sorted(dict.fromkeys([*official, *others]), key=suite.is_untrained)


def first_entries(suite: SuiteTables, entries: Sequence[Entry]) -> list[Entry]:
    """The entries without untrained models; all where each has one."""
    return [entry for entry in entries if not suite.is_untrained(entry)] or list(entries)


def leading_entry(suite: SuiteTables, entries: Sequence[Entry]) -> Entry | None:
    """The entry that is shown machine by machine: the best system, or the best branch without systems.

    An entry with an untrained model leads only where there is no other.
    """
    first = first_entries(suite, entries)
    systems = [entry for entry in first if entry.kind == "system"]
    return next(iter(systems or first), None)


def wrong_clips(rows: Sequence[RankingRow], number: int) -> list[tuple[str, RankingRow]]:
    """(why, row) of the clips of one machine that its scores get most wrong; `rows` by rank.

    Of a machine without labels, nobody can say what is wrong: the clips with the highest scores.
    """
    normal = [row for row in rows if row.anomaly is False][:number]
    anomalous = [row for row in reversed(rows) if row.anomaly is True][:number]
    if normal or anomalous:
        return [*(("normal, scored high", row) for row in normal), *(("anomaly, scored low", row) for row in anomalous)]
    return [("highest score", row) for row in rows[:number]]


def shown_clips(suite: SuiteTables, number: int) -> list[tuple[str, str]]:
    """(machine, clip) of all clips that the page shows with their sound, sorted, each once."""
    rankings = rankings_of(suite)
    entries = {protocol: entries_of(suite, protocol, rankings) for protocol in protocols_of(suite)}
    leading = {protocol: leading_entry(suite, found) for protocol, found in entries.items()}
    machines = [rankings.get((protocol, entry), {}) for protocol, entry in leading.items() if entry]
    rows = [row for tables in machines for rows in tables.values() for _, row in wrong_clips(rows, number)]
    return sorted({(row.machine, row.clip) for row in rows})
