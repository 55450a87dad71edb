"""The rows of a study before their numbers are known, and the names of its files."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_lib.evaluation.evidence_rows import StudyRow

METRICS = {
    "omega": "Ω",
    "source_auc": "source AUC",
    "target_auc": "target AUC",
    "pauc": "pAUC",
    "change": "change of Ω",
    "pseudo_auc": "AUC, pseudo-anomalies",
    "text": "",
}


def first_row(settings: Mapping[str, Any], number: int, row: Mapping[str, Any], metric: str = "omega") -> StudyRow:
    """The row of an entry before its number is known: whose it is, what is published, and why it is absent."""
    place_in_paper = f"{settings['paper']}: " if settings["paper"] else ""
    stand_in = f"stand-in: {row['entry']}" if row["stand_in"] else ""
    return StudyRow(
        study=settings["name"],
        kind=settings["kind"],
        title=place_in_paper + settings["title"],
        row=number,
        label=row["label"],
        detail=row["detail"],
        metric=metric,
        suite=settings["suite"],
        protocol=row["protocol"],
        entry_kind=row["kind"],
        entry=row["entry"],
        published=row["published"],
        remark="; ".join(filter(None, (stand_in, row["absent"]))),
    )


def file_stem(rows: Sequence[StudyRow]) -> str:
    """Name of a study's files: with the protocol, where all its numbers have one."""
    protocols = {row.protocol for row in rows}
    return "-".join(filter(None, (rows[0].study, protocols.pop() if len(protocols) == 1 else "")))
