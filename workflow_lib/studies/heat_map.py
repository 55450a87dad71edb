"""Source AUC, target AUC and pAUC of one branch or system by machine (Figure 3b)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.studies.comparison import filled
from workflow_lib.studies.lookup import EvidenceLookup
from workflow_lib.studies.unmeasured_row import first_row

SHOWN = ("source_auc", "target_auc", "pauc")


def heat_map_rows(settings: Mapping[str, Any], tables: EvidenceLookup) -> list[StudyRow]:
    """Three rows for each machine of the suite, then those of published machines that it does not have."""
    (entry,), published = settings["rows"], settings["published"]
    who = (entry["protocol"], entry["kind"], entry["entry"])
    found = {} if entry["absent"] else {metric: tables.machine_figures(*who, metric) for metric in SHOWN}
    machines = found.get(SHOWN[0], {})  # in the order of the table
    rows = []
    for number, machine in enumerate(dict.fromkeys([*machines, *published]), 1):
        first = first_row(settings, number, {**entry, "label": machine, "published": None})
        for metric in SHOWN:
            row = replace(first, metric=metric, published=published.get(machine, {}).get(metric))
            if machine in machines:
                rows.append(filled(row, found[metric][machine]))
            elif row.published is not None:
                rows.append(row if entry["absent"] else row.with_remark(f"not part of this run: machine {machine}"))
    return rows or [first_row(settings, 1, entry, metric="source_auc")]
