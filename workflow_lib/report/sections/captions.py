"""Charts of rows of the tables, with title, caption and description."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import (
    Entry,
    MachineRow,
    OfficialRow,
    RankingRow,
    UncertaintyRow,
    WeightRow,
    ends_of,
)
from workflow_lib.report.charts.calibration import calibration_curves
from workflow_lib.report.charts.plots import GROUPS, Bar, comparison, distributions, heat_map
from workflow_lib.report.charts.roc import Roc, machine_panels, roc_panels, rocs_of
from workflow_lib.report.charts.title import Mark, headed
from workflow_lib.report.charts.training_curves import MEDIAN_FROM, Curve, Panel, smoothing_window, training_curves
from workflow_lib.report.page.cells import entry_label, entry_title, number
from workflow_lib.report.page.content import Chart
from workflow_lib.report.page.glossary import METRICS, UNTRAINED_BASE
from workflow_lib.report.sections.adapted_models import Run, caveat
from workflow_lib.report.sections.uncertainty import interval_head, intervals_of
from workflow_lib.report.suite_tables import SuiteTables

Shown = TypeVar("Shown", str, Mark)


def comparison_chart(suite: SuiteTables, protocol: str, rows: Sequence[OfficialRow]) -> Chart:
    """Ω of all entries of one protocol, in the order of `rows`."""
    intervals = intervals_of(suite, protocol)
    bars = [_bar(suite, row, intervals.get(row.entry)) for row in rows]
    text = "; ".join(f"{bar.label} {_bar_text(bar)}" for bar in bars)
    untrained = " (untrained)" if all(bar.untrained for bar in bars) else ""
    title = f"Ω of systems and branches{untrained}, suite {suite.name}, protocol {protocol}"
    marks = [
        *_if(any(bar.system for bar in bars), Mark.SYSTEM),
        *_if(not all(bar.system for bar in bars), Mark.BRANCH),
        *_if(any(bar.untrained for bar in bars), Mark.UNTRAINED),
        *_if(any(bar.interval for bar in bars), Mark.INTERVAL),
    ]
    lines = f"Lines: {interval_head(intervals.values())}. " if any(bar.interval for bar in bars) else ""
    return Chart(
        name=f"{suite.name}-{protocol}-omega",
        title=title,
        caption=f"{title}. {lines}Filled: system; hollow: branch; grey: untrained.",
        description=f"Dot chart of {title}: {text}.",
        drawing=headed(comparison(bars), title, marks),
        protocol=protocol,
    )


def _bar(suite: SuiteTables, row: OfficialRow, interval: UncertaintyRow | None) -> Bar:
    untrained = (row.kind, row.name) in suite.untrained
    label = entry_label(row.entry) + (" (untrained)" if untrained else "")
    return Bar(label, row.omega, row.kind == "system", untrained, ends_of(interval) if interval else None)


def _bar_text(bar: Bar) -> str:
    known = bar.omega is not None and bar.interval is not None
    return number(bar.omega).text + (" from {:.4f} to {:.4f}".format(*bar.interval or ()) if known else "")


@dataclass(frozen=True)
class _Subject:
    """What a chart is about: one entry of a suite under one protocol."""

    suite: SuiteTables
    protocol: str
    entry: Entry

    @property
    def title(self) -> str:
        untrained = " (untrained)" if (self.entry.kind, self.entry.name) in self.suite.untrained else ""
        return f"{entry_title(self.entry)}{untrained}, suite {self.suite.name}, protocol {self.protocol}"

    def chart(
        self, name: str, title: str, caption: str, description: str, drawing: Figure, marks: Sequence[Mark] = ()
    ) -> Chart:
        """A chart whose drawing carries the title, which the caption goes on from; `name` ends its file name."""
        stem = f"{self.suite.name}-{self.protocol}-{self.entry.name}-{self.entry.seed}-{name}"
        return Chart(stem, title, f"{title}{caption}", description, headed(drawing, title, marks), self.protocol)


def heat_map_chart(suite: SuiteTables, protocol: str, entry: Entry, rows: Sequence[MachineRow]) -> Chart:
    """The figures of one entry by machine; `rows` are its rows of machines.csv."""
    subject = _Subject(suite, protocol, entry)
    return subject.chart(
        "machines",
        f"{subject.title}: figures by machine",
        ". Teal is better than guessing (0.5), orange worse.",
        f"Heat map of {subject.title}. The numbers are in the table with the same name.",
        heat_map({row.machine: {metric: getattr(row, metric) for metric in METRICS} for row in rows}),
    )


def distribution_chart(
    suite: SuiteTables,
    protocol: str,
    entry: Entry,
    machines: Mapping[str, Sequence[RankingRow]],
    thresholds: Mapping[str, float | None],
) -> Chart:
    """The scores of one entry by machine, domain and label; `machines` are its rows of ranking.csv."""
    subject, dashed = _Subject(suite, protocol, entry), _dashed(thresholds.values())
    return subject.chart(
        "scores",
        f"{subject.title}: anomaly scores",
        " of the test clips; further right is more anomalous. Every dot is a clip "
        "(of more than 200 in a group, 200 evenly spaced in rank); the upright mark is the median, "
        f"the line the middle half.{dashed} Each machine has its own scale.",
        f"Scores of {subject.title}, one panel for each of: {', '.join(machines)}.",
        distributions({machine: _groups(rows) for machine, rows in machines.items()}, thresholds),
        _if(dashed != "", Mark.THRESHOLD),
    )


def _dashed(thresholds: Iterable[float | None]) -> str:
    return "" if all(value is None for value in thresholds) else " Dashed: the decision threshold."


def roc_chart(suite: SuiteTables, protocol: str, entry: Entry, curves: Mapping[str, Mapping[str, Roc]]) -> Chart:
    """ROC curves of one entry, a panel for each machine."""
    subject = _Subject(suite, protocol, entry)
    described = f"ROC curves of {subject.title}, one panel for each of: {', '.join(curves)}."
    described += " The areas are in the table by machine."
    title = f"{subject.title}: ROC by machine"
    return subject.chart("roc", title, f". {_ROC_READING}", described, roc_panels(curves))


def machine_chart(
    suite: SuiteTables, protocol: str, entry: Entry, rows: Sequence[RankingRow], threshold: float | None
) -> Chart:
    """Scores and ROC curves of one entry on one machine; `rows` are those of ranking.csv."""
    subject, machine, curves = _Subject(suite, protocol, entry), rows[0].machine, rocs_of(rows)
    title = f"{machine}: {subject.title}"
    clips = "Every dot is a clip; the upright mark is the median, the line the middle half."
    return subject.chart(
        f"machine-{machine}",
        title,
        f". {clips}{_dashed([threshold])}{f' {_ROC_READING}' if curves else ''}",
        f"{'Anomaly scores and ROC curves' if curves else 'Anomaly scores'} of {title}.",
        machine_panels(_groups(rows), threshold, curves),
    )


def calibration_chart(suite: SuiteTables, rows: Sequence[WeightRow]) -> list[Chart]:
    """The calibration curve of every branch of one system, a line for each fold; nothing where none is known."""
    curves: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        if row.median is not None and row.iqr is not None:
            curves.setdefault(row.branch, {})[row.held_out or "none"] = (row.median, row.iqr)
    if not curves:
        return []
    subject = _Subject(suite, rows[0].protocol, Entry("system", rows[0].system, rows[0].seed))
    chart = subject.chart(
        "calibration",
        f"{subject.title}: calibration",
        " g of each branch, 1 / (1 + exp(-(score - median) / IQR)), a line for each held-out "
        "machine. Where the lines lie together, the calibration does not depend on who was held out.",
        f"Calibration curves of {subject.title}. Median and IQR of each are in the table below.",
        calibration_curves(curves),
    )
    return [chart]


_ROC_READING = (
    "ROC: share of anomalous clips found (up) against share of normal clips that raise a false alarm (across). "
    "Shaded: at most 10 % false alarms, the region of the pAUC."
)


def _groups(rows: Sequence[RankingRow]) -> dict[str, np.ndarray]:
    """Scores by group, in the order of GROUPS."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        label = {True: "anomaly", False: "normal", None: ""}[row.anomaly]
        domain = row.domain if row.domain in ("source", "target") else ""
        groups.setdefault(f"{domain} {label}".strip() or "all test clips", []).append(row.score)
    return {name: np.array(groups[name]) for name in GROUPS if name in groups}


def training_chart(suite: SuiteTables, runs: Sequence[Run]) -> Chart:
    """Loss by step of all adapted models, and accuracy by epoch where clips were withheld; a row for each group."""
    groups = {}
    for name, members in grouped(runs, lambda run: run.group).items():
        groups[name + (f" ({UNTRAINED_BASE})" if any(run.untrained for run in members) else "")] = members
    text = "; ".join(f"{name}: {_group_text(members)}" for name, members in groups.items())
    panels = [
        Panel(name, tuple(map(_curve, members)), tuple(run.validation[-1].chance for run in members if run.validation))
        for name, members in groups.items()
    ]
    grey = _if(any(run.untrained for run in runs), Mark.UNTRAINED)
    title = f"Training of adapted models, suite {suite.name}{caveat(runs)}"
    return Chart(
        name=f"{suite.name}-training",
        title=title,
        caption=_training_caption(suite, runs),
        description=f"Line chart of the training of adapted models, suite {suite.name}. {text}.",
        drawing=headed(training_curves(panels), title, grey),
    )


def _training_caption(suite: SuiteTables, runs: Sequence[Run]) -> str:
    window = smoothing_window(max(len(run.steps) for run in runs))
    drawn = f"a moving mean over {window} steps for" if window > 1 else "a line for"
    parts = [
        f"Training of adapted models, suite {suite.name}: loss by optimiser step, {drawn} each model.",
        *_if(any(run.held_out == () for run in runs), "Thick: the model that saw all machines (full)."),
        "Shaded: from the lowest to the highest single step of any model of the panel, cut off above its edge.",
        *_if(max(Counter(run.group for run in runs).values()) >= MEDIAN_FROM, "Dashed, dark: their median."),
        *_if(any(run.validation for run in runs), "Right: share of withheld clips whose class the model names."),
        *_if(any(run.untrained for run in runs), f"Grey lines: {UNTRAINED_BASE}, adapted on top of random weights."),
    ]
    return " ".join(parts)


def _if(condition: bool, words: Shown) -> list[Shown]:
    return [words] if condition else []


def _group_text(runs: Sequence[Run]) -> str:
    """What the curves of a group show, in words; the numbers of each model are in the table."""
    first, last = ([getattr(run, loss) for run in runs] for loss in ("first_loss", "last_loss"))
    models = "1 model" if len(runs) == 1 else f"{len(runs)} models"
    text = f"{models}, median loss from {median(first):.4g} to {median(last):.4g}"
    known = [run.validation[-1] for run in runs if run.validation]
    if not known:
        return text
    right, chance = median(row.accuracy_attribute for row in known), median(row.chance for row in known)
    return f"{text}, median attribute accuracy on withheld clips {right:.3f}, chance {chance:.3f}"


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
