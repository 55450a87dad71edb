"""From rows of the tables to figures with caption and description."""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow_lib.report.content import Figure, entry_label, entry_title
from workflow_lib.report.figures import GROUPS, Bar, comparison, distributions, heat_map
from workflow_lib.report.reading import Entry, MachineRow, OfficialRow, RankingRow, SuiteTables
from workflow_lib.report.words import METRICS


def comparison_chart(suite: SuiteTables, protocol: str, rows: Sequence[OfficialRow]) -> Figure:
    """Ω of all entries of one protocol, in the order of `rows`."""
    bars = [_bar(suite, row) for row in rows]
    told = "; ".join(f"{bar.label} {'undefined' if bar.omega is None else f'{bar.omega:.4f}'}" for bar in bars)
    return Figure(
        name=f"{suite.name}-{protocol}-omega",
        caption=f"Ω, suite {suite.name}, protocol {protocol}. Filled: system; hollow: branch; grey: untrained.",
        description=f"Dot chart of Ω, suite {suite.name}, protocol {protocol}: {told}.",
        drawing=comparison(bars),
    )


def _bar(suite: SuiteTables, row: OfficialRow) -> Bar:
    untrained = (row.kind, row.name) in suite.untrained
    label = entry_label(row.entry) + (" (untrained)" if untrained else "")
    return Bar(label, row.omega, row.kind == "system", untrained)


def heat_map_chart(suite: SuiteTables, protocol: str, entry: Entry, rows: Sequence[MachineRow]) -> Figure:
    """The figures of one entry by machine; `rows` are its rows of machines.csv."""
    figures = [{metric: getattr(row, metric) for metric in METRICS} for row in rows]
    title = f"{_titled(suite, entry)}, suite {suite.name}, protocol {protocol}"
    return Figure(
        name=f"{suite.name}-{protocol}-{entry.name}-{entry.seed}-machines",
        caption=f"{title}: figures by machine. Teal is better than guessing (0.5), orange worse.",
        description=f"Heat map of {title}. The numbers are in the table with the same name.",
        drawing=heat_map([row.machine for row in rows], figures),
    )


def distribution_chart(
    suite: SuiteTables, protocol: str, entry: Entry, machines: Mapping[str, Sequence[RankingRow]]
) -> Figure:
    """The scores of one entry by machine, domain and label; `machines` are its rows of ranking.csv."""
    title = f"{_titled(suite, entry)}, suite {suite.name}, protocol {protocol}"
    return Figure(
        name=f"{suite.name}-{protocol}-{entry.name}-{entry.seed}-scores",
        caption=(
            f"{title}: anomaly scores of the test clips; further right is more anomalous. Every dot is a clip "
            "(of more than 200 in a group, 200 evenly spaced in rank); the upright mark is the median, "
            "the line the middle half. Each machine has its own scale."
        ),
        description=f"Scores of {title}, one panel for each of: {', '.join(machines)}.",
        drawing=distributions({machine: _groups(rows) for machine, rows in machines.items()}),
    )


def _titled(suite: SuiteTables, entry: Entry) -> str:
    return entry_title(entry) + (" (untrained)" if (entry.kind, entry.name) in suite.untrained else "")


def _groups(rows: Sequence[RankingRow]) -> dict[str, np.ndarray]:
    """Scores by group, in the order of GROUPS."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row.score)
    return {name: np.array(groups[name]) for name in GROUPS if name in groups}


def _group(row: RankingRow) -> str:
    label = {True: "anomaly", False: "normal", None: ""}[row.anomaly]
    domain = row.domain if row.domain in ("source", "target") else ""
    return f"{domain} {label}".strip() or "all test clips"
