"""One row of a study for each shown number; every row carries its protocol. Columns are the fields, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from workflow_lib.files import write_csv

METRICS = {
    "omega": "Ω",
    "source_auc": "source AUC",
    "target_auc": "target AUC",
    "pauc": "pAUC",
    "change": "change of Ω",
    "text": "",
}


@dataclass(frozen=True)
class StudyRow:
    """A number (or words) of this run beside the published one; "" where there is none, and `remark` says why."""

    study: str
    kind: str
    title: str
    row: int
    label: str
    detail: str
    metric: str
    suite: str
    protocol: str
    entry_kind: str
    entry: str
    seeds: str = ""
    value: float | str = ""
    sd: float | str = ""
    low: float | str = ""
    high: float | str = ""
    same_sign: float | str = ""  # of a change: fraction of replicates with its sign
    published: float | str = ""
    untrained: str = "no"  # yes: a model with random weights stands behind `value`
    remark: str = ""

    def with_remark(self, text: str) -> "StudyRow":
        """The same row with one more remark; an empty one changes nothing."""
        return replace(self, remark="; ".join(filter(None, (self.remark, text))))


def first_row(settings: Mapping[str, Any], number: int, row: Mapping[str, Any], metric: str = "omega") -> StudyRow:
    """The row of an entry before its number is known: whose it is, what is published, and why it is absent."""
    published = row.get("published")
    return StudyRow(
        study=settings["name"],
        kind=settings["kind"],
        title=titled(settings),
        row=number,
        label=row["label"],
        detail=row.get("detail", ""),
        metric=metric,
        suite=settings["suite"],
        protocol=row.get("protocol", ""),
        entry_kind=row.get("kind", "branch"),
        entry=row["entry"],
        published="" if published is None else published,
        remark="; ".join(filter(None, (stand_in_remark(row), row.get("absent", "")))),
    )


def file_stem(rows: Sequence[StudyRow]) -> str:
    """Name of a study's files: with the protocol, where all its numbers have one."""
    protocols = {row.protocol for row in rows}
    return "-".join(filter(None, (rows[0].study, protocols.pop() if len(protocols) == 1 else "")))


def titled(settings: Mapping[str, Any]) -> str:
    """Title with its place in the paper."""
    return f"{settings['paper']}: {settings['title']}" if settings["paper"] else settings["title"]


def stand_in_remark(row: Mapping[str, Any]) -> str:
    """Says that another branch or system stands for the paper's."""
    return f"stand-in: {row['entry']}" if row.get("stand_in") else ""


def write_rows(path: Path, rows: Sequence[StudyRow]) -> None:
    """Write rows as CSV, in their order; numbers in their shortest exact form."""
    names = [field.name for field in fields(StudyRow)]
    write_csv(path, names, ([_cell(getattr(row, name)) for name in names] for row in rows))


def _cell(value: float | str) -> str:
    return repr(value) if isinstance(value, float) else str(value)
