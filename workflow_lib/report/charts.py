"""From rows of the tables to figures with caption and description."""

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from workflow_lib.report.content import Figure, entry_label, entry_title
from workflow_lib.report.curves import MEDIAN_FROM, Curve, Panel, smoothing_window, training_curves
from workflow_lib.report.figures import GROUPS, Bar, comparison, distributions, heat_map
from workflow_lib.report.reading import SuiteTables
from workflow_lib.report.rows import Entry, MachineRow, OfficialRow, RankingRow
from workflow_lib.report.runs import Run, groups_of
from workflow_lib.report.words import METRICS, UNTRAINED_BASE


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


def training_chart(suite: SuiteTables, runs: Sequence[Run]) -> Figure:
    """Loss by step of all adapted models, and accuracy by epoch where clips were withheld; a row for each group."""
    groups = {_group_title(name, members): members for name, members in groups_of(runs).items()}
    told = "; ".join(f"{title}: {_group_told(members)}" for title, members in groups.items())
    return Figure(
        name=f"{suite.name}-training",
        caption=_training_caption(suite, runs),
        description=f"Line chart of the training of adapted models, suite {suite.name}. {told}.",
        drawing=training_curves([_group_panel(title, members) for title, members in groups.items()]),
    )


def _training_caption(suite: SuiteTables, runs: Sequence[Run]) -> str:
    window = smoothing_window(max(len(run.steps) for run in runs))
    drawn = f"a moving mean over {window} steps for" if window > 1 else "a line for"
    told = [
        f"Training of adapted models, suite {suite.name}: loss by optimiser step, {drawn} each model.",
        *_if(any(run.held_out == () for run in runs), "Thick: the model that saw all machines (full)."),
        "Shaded: from the lowest to the highest single step of any model of the panel, cut off above its edge.",
        *_if(max(map(len, groups_of(runs).values())) >= MEDIAN_FROM, "Dashed, dark: their median."),
        *_if(any(run.validation for run in runs), "Right: share of withheld clips whose class the model names."),
        *_if(any(run.untrained for run in runs), f"Grey lines: {UNTRAINED_BASE}, adapted on top of random weights."),
    ]
    return " ".join(told)


def _if(condition: bool, words: str) -> list[str]:
    return [words] if condition else []


def _group_title(name: str, runs: Sequence[Run]) -> str:
    return name + (f" ({UNTRAINED_BASE})" if any(run.untrained for run in runs) else "")


def _group_told(runs: Sequence[Run]) -> str:
    """What the curves of a group show, in words; the numbers of each model are in the table."""
    first, last = ([getattr(run, loss) for run in runs] for loss in ("first_loss", "last_loss"))
    told = (
        f"{len(runs)} model{'s' if len(runs) > 1 else ''}, median loss from {median(first):.4g} to {median(last):.4g}"
    )
    known = [run.validation[-1] for run in runs if run.validation]
    if not known:
        return told
    right, chance = (
        median(figures) for figures in zip(*((r.accuracy_attribute, r.chance) for r in known), strict=True)
    )
    return f"{told}, median attribute accuracy on withheld clips {right:.3f}, chance {chance:.3f}"


def _group_panel(title: str, runs: Sequence[Run]) -> Panel:
    chances = tuple(run.validation[-1].chance for run in runs if run.validation)
    return Panel(title, tuple(map(_curve, runs)), chances)


def _curve(run: Run) -> Curve:
    return Curve(
        label=run.scope,
        emphasised=run.held_out == (),
        untrained=run.untrained,
        steps=np.array([row.step for row in run.steps]),
        losses=np.array([row.loss for row in run.steps]),
        epochs=np.array([row.epoch for row in run.validation]),
        accuracies=np.array([row.accuracy_attribute for row in run.validation]),
    )
