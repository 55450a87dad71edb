"""From the tables of a suite to its submission: decisions, meta files, the zip, and afterwards the figures."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.config.submission_form import FOLDER, META, REPORT, expected_of
from workflow_lib.csv_rows import Share, read_rows, write_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import TABLES, EntryRow, MachineRow, OfficialRow, ThresholdRow
from workflow_lib.plan.submission import PROTOCOL
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.scoring.thresholds import Threshold
from workflow_lib.submission.meta import SystemFacts, count_parameters, meta_text, percent
from workflow_lib.submission.package import output_files, write_package
from workflow_lib.submission.validation import package_faults

AFTERWARDS = "scores_after_the_fact.csv"
REMARK = "after the fact: the labels were published with the results and had no part in what was submitted"
NOT_EVALUATED = f"the suite is not evaluated under {PROTOCOL}"
Row = TypeVar("Row", bound=EntryRow)


@dataclass(frozen=True)
class AfterwardsRow:
    """One row of the figures after the fact: of one machine, or Omega of all; None where it is not of that kind."""

    suite: str
    protocol: str
    system: str
    label: str
    seed: str
    untrained: bool
    machine: str
    source_auc: Share | None
    target_auc: Share | None
    pauc: Share | None
    harmonic_mean: Share | None
    omega: Share | None
    remark: str


@dataclass(frozen=True)
class Submission:
    """All that a submission of one suite is made of."""

    suite: str
    systems: Sequence[Mapping[str, Any]]  # plan.submission.submitted, with `branches` and `weights`
    settings: Mapping[str, Any]  # the section `submission`
    threshold: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    sample_rate: int
    tables: Path  # of the suite
    development_tables: Path | None
    afterwards: bool  # the ground truth is known


def write_submission(submission: Submission, folder: Path) -> None:
    """Write a package into a new folder; UserError, and nothing written, where a threshold is missing."""
    rows: Sequence[ThresholdRow] = _read(submission.tables, "thresholds")
    thresholds: dict[str, dict[str, Threshold]] = {system["system"]: {} for system in submission.systems}
    for system in submission.systems:
        for row in _of(rows, system):
            value = math.nan if row.threshold is None else row.threshold
            thresholds[system["system"]][row.machine] = Threshold(value, row.normal_clips or 0, row.note)
    faults = [line for system in submission.systems for line in _faults(submission.suite, system, thresholds)]
    if faults:
        raise UserError("\n".join(faults))
    tables = {s["system"]: {m: read_scores(p) for m, p in s["tables"].items()} for s in submission.systems}
    files: dict[str, bytes] = {}
    for system in submission.systems:
        name, label = system["system"], system["label"]
        for machine, table in tables[name].items():
            files |= output_files(label, machine, table, thresholds[name][machine])
        files[f"{FOLDER}/{label}/{label}{META}"] = meta_text(_facts(submission, system)).encode()
        if report := submission.settings["technical_report"]:
            files[f"{FOLDER}/{label}/{label}{REPORT}"] = Path(report).read_bytes()
    folder.mkdir(parents=True)
    zipped = write_package(folder, submission.systems[0]["label"].rpartition("_")[0] + ".zip", files)
    # What was written is held against the rules that everybody's package is held against.
    expected = expected_of({machine: table.clip.tolist() for machine, table in next(iter(tables.values())).items()})
    if faults := package_faults(zipped, expected):
        raise UserError("\n".join(f"submission: {fault}" for fault in faults))
    if submission.afterwards:
        write_rows(folder / AFTERWARDS, AfterwardsRow, _afterwards(submission))


def _read(tables: Path, name: str) -> tuple[Any, ...]:
    return read_rows(tables / f"{name}.csv", TABLES[name], "evaluate the suite again")


def _of(rows: Sequence[Row], system: Mapping[str, Any]) -> list[Row]:
    """Rows of a table that are about a submitted system."""
    wanted = (PROTOCOL, ("system", system["system"], system["seed"]))
    return [row for row in rows if (row.protocol, row.entry) == wanted]


def _faults(suite: str, system: Mapping[str, Any], thresholds: Mapping[str, Mapping[str, Threshold]]) -> Iterator[str]:
    for machine in system["tables"]:
        threshold = thresholds[system["system"]].get(machine, Threshold(math.nan, 0, NOT_EVALUATED))
        if not math.isnan(threshold.value):
            continue
        advice = "put its normal scores into the folder `normal` beside its tables (docs/fusion.md)"
        if threshold.note == NOT_EVALUATED:
            advice = f"add {PROTOCOL} to run.protocols"
        elif threshold.normal_clips:
            advice = "look at its normal scores, or write evidence.threshold.method: quantile"
        yield f"suite {suite}: no threshold of {system['system']} for {machine}: {threshold.note}: {advice}"


def _facts(submission: Submission, system: Mapping[str, Any]) -> SystemFacts:
    countable = [file for file in system["weights"] if file.endswith(".safetensors")]
    others = [file for file in system["weights"] if file not in countable]
    development = _read(submission.development_tables, "machines") if submission.development_tables else ()
    thresholds = _of(_read(submission.tables, "thresholds"), system)
    return SystemFacts(
        label=system["label"],
        system=system["system"],
        branches=system["branches"],
        models=submission.models,
        settings=submission.settings,
        threshold=submission.threshold,
        sample_rate=submission.sample_rate,
        parameters=count_parameters(countable) if countable and not others else None,
        not_counted=others,
        results={row.machine: percent(row) for row in _of(development, system)},
        untrained=any(row.untrained for row in thresholds),
    )


def _afterwards(submission: Submission) -> Iterator[AfterwardsRow]:
    """Figures of each machine, then Omega, of each system; every row says what it is."""
    machines: Sequence[MachineRow] = _read(submission.tables, "machines")
    official: Sequence[OfficialRow] = _read(submission.tables, "official")
    for system in submission.systems:
        who = (system["system"], system["label"])
        for row in _of(machines, system):
            figures = (row.source_auc, row.target_auc, row.pauc, row.harmonic_mean, None)
            yield AfterwardsRow(row.suite, PROTOCOL, *who, row.seed, row.untrained, row.machine, *figures, REMARK)
        for total in _of(official, system):
            omega, of = (None, None, None, None, total.omega), f"all {total.machines}"
            yield AfterwardsRow(total.suite, PROTOCOL, *who, total.seed, total.untrained, of, *omega, REMARK)


def submission_lines(packages: Iterable[str], remarks: Iterable[str]) -> list[str]:
    """The last lines of `snakemake submission`: remarks, a line for each zip, and for figures after the fact."""
    lines = list(remarks)
    for package in map(Path, packages):
        (zipped,) = package.glob("*.zip")
        systems = sorted(path.name for path in package.glob("*/*") if path.is_dir())
        lines.append(f"{zipped}: {', '.join(systems)}: valid")
        if (package / AFTERWARDS).is_file():
            lines.append(f"{package / AFTERWARDS}: scored after the fact")
    return lines
