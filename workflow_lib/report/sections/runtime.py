"""Run time per stage, from the benchmark files that every job leaves: provenance, which differs from run to run."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.report.page.cells import UNKNOWN, Cell, count, measured, text
from workflow_lib.report.page.content import Prose, Section, table

KEY = "runtime"  # anchor of the section: the one part of the page that the same tables do not decide
_READING = (
    "Measured on the machine that ran the jobs; a job that did not have to run again keeps its time. Jobs ran side by "
    "side, so the times add up to more than the run took. This section alone differs between runs that are otherwise "
    "the same."
)
# Folder of the benchmark files -> what its jobs do, in the order of the flow.
STAGES = {
    "recordings": "simulate or disturb recordings",
    "fetch": "fetch recordings",
    "manifest": "index recordings",
    "health": "check recordings",
    "check": "tabulate the check",
    "autoencoders": "train autoencoders",
    "residuals": "apply autoencoders",
    "adapters": "adapt encoders",
    "embeddings": "embed recordings",
    "scores": "score branches",
    "fusion": "choose weights",
    "fused": "fuse scores",
    "tables": "tabulate the evidence",
    "clips": "illustrate clips",
    "studies": "make studies",
    "submission": "write the submission",
}


@dataclass(frozen=True)
class StageTimes:
    """All jobs of one stage of a suite: seconds of each, and memory in MB where it was measured."""

    suite: str
    stage: str
    seconds: tuple[float, ...]
    memory_mb: tuple[float, ...]


def stages_of(folder: Path) -> list[StageTimes]:
    """Stages with their jobs from <folder>/<suite>/<stage>/**.tsv, in the order of the flow; none without a folder."""
    jobs: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        suite, *inner = path.relative_to(folder).with_suffix("").parts
        if inner:  # directly below lies the job that writes the page: it is not over yet
            with path.open(encoding="utf-8", newline="") as file:
                jobs.setdefault((suite, inner[0]), []).extend(csv.DictReader(file, delimiter="\t"))
    stages = [
        StageTimes(suite, stage, _numbers(lines, "s"), _numbers(lines, "max_rss"))
        for (suite, stage), lines in jobs.items()
    ]
    order = list(STAGES)
    return sorted(stages, key=lambda s: (s.suite, order.index(s.stage) if s.stage in order else len(order), s.stage))


def _numbers(lines: Iterable[dict[str, str]], name: str) -> tuple[float, ...]:
    """What was measured; of a job shorter than the sampling interval Snakemake knows no memory ("-" or "NA")."""
    return tuple(float(line[name]) for line in lines if line.get(name, "NA") not in ("-", "NA", ""))


def runtime_section(folder: Path | None) -> list[Section]:
    """The section, nothing where no job left its time."""
    stages = stages_of(Path(folder)) if folder else []
    if not stages:
        return []
    cells: dict[str, Callable[[StageTimes], Cell]] = {
        "Suite": lambda stage: text(stage.suite),
        "Stage": lambda stage: text(STAGES.get(stage.stage, stage.stage)),
        "Jobs": lambda stage: count(len(stage.seconds)),
        "Time of all jobs": lambda stage: _duration(sum(stage.seconds)),
        "Longest job": lambda stage: _duration(max(stage.seconds, default=0.0)),
        "Most memory": lambda stage: (
            measured(f"{max(stage.memory_mb):.0f} MB", max(stage.memory_mb)) if stage.memory_mb else UNKNOWN
        ),
    }
    note = "Data: benchmarks/. Memory: resident, of one job."
    times = table("Run time per stage", stages, cells, head=1, note=note)
    return [Section(KEY, "Run time", (Prose(_READING), times))]


def _duration(seconds: float) -> Cell:
    """'3.2 s', '4 min 05 s', '2 h 07 min'."""
    minutes, rest = divmod(round(seconds), 60)
    shown = f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
    return measured(f"{seconds:.1f} s" if seconds < 60 else shown, seconds)
