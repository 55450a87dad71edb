"""Rows of branches and systems: under one protocol with differences, or under several and never compared."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.scoring.result import one_protocol
from workflow_lib.studies.lookup import Estimate, EvidenceLookup
from workflow_lib.studies.unmeasured_row import first_row


def comparison_rows(settings: Mapping[str, Any], tables: EvidenceLookup) -> list[StudyRow]:
    """Ω of every row, then where it is asked for the difference to the row `against`; UserError for two protocols."""
    one_protocol(row["protocol"] for row in settings["rows"])
    rows = scope_rows(settings, tables)
    return [*rows, *_changes(settings, rows, tables)] if "against" in settings else rows


def scope_rows(settings: Mapping[str, Any], tables: EvidenceLookup) -> list[StudyRow]:
    """Ω of every row under its own protocol: nothing is compared."""
    return [measured(settings, number, row, tables) for number, row in enumerate(settings["rows"], 1)]


def measured(settings: Mapping[str, Any], number: int, row: Mapping[str, Any], tables: EvidenceLookup) -> StudyRow:
    """Ω of an entry, if this run has it."""
    first = first_row(settings, number, row)
    if row["absent"]:
        return first
    return filled(first, tables.omega(row["protocol"], row["kind"], row["entry"], row["seed"], settings["seeds"]))


def filled(row: StudyRow, found: Estimate) -> StudyRow:
    """The row with our number, or the remark that it is undefined."""
    names = ("value", "sd", "low", "high", "same_sign", "seeds", "untrained")
    row = replace(row, **{name: getattr(found, name) for name in names})
    if found.value is None:
        return row.with_remark("undefined: its test clips lack a label, a domain or a class")
    several = found.interval_seed and found.low is not None
    row = row.with_remark(f"interval of seed {found.interval_seed}" if several else "")
    sign = found.same_sign
    return row if sign is None else row.with_remark(f"the sign holds in {100 * sign:.1f} % of the replicates")


def _changes(settings: Mapping[str, Any], rows: list[StudyRow], tables: EvidenceLookup) -> Iterator[StudyRow]:
    """Ω minus that of the row `against`, for all other rows that this run has; none is derived for the paper."""
    shown = list(zip(rows, [row["seed"] for row in settings["rows"]], strict=True))
    base, another = next(pair for pair in shown if pair[0].label == settings["against"])
    for row, one in shown:
        if row is base or None in (row.value, base.value):
            continue
        stand_in = "; ".join(part for part in row.remark.split("; ") if part.startswith("stand-in"))
        change = replace(row, metric="change", detail=f"against {base.label}", published=None, remark=stand_in)
        seeds = [(one or another, another or one)] if one or another else [(seed, seed) for seed in settings["seeds"]]
        ends = ((row.entry_kind, row.entry), (base.entry_kind, base.entry))
        yield filled(change, tables.change(row.protocol, *ends, seeds))
