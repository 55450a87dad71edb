"""What the figures were made from: clips, models, notes and the training logs of adapted models."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.csv_rows import grouped, read_rows
from workflow_lib.dataset.manifest import Clip, read_manifest
from workflow_lib.evaluation.evidence_rows import (
    FIXED_WEIGHTS,
    ClipsRow,
    ModelRow,
    NoteRow,
    TrainingRow,
    ValidationRow,
)
from workflow_lib.evaluation.inputs import Evidence
from workflow_lib.evaluation.labelled_entries import Labels
from workflow_lib.fetch.licence import licence_of
from workflow_lib.plan.model_name import ModelName

Log = TypeVar("Log", TrainingRow, ValidationRow)


def clip_rows(evidence: Evidence) -> Iterator[ClipsRow]:
    """Clips by sort and format: where a machine mixes formats, each has its own row."""
    clips = sorted((clip for path in evidence.manifests for clip in read_manifest(path)), key=_cell)
    for (machine, split, domain, label, channels, sample_rate), group in groupby(clips, key=_cell):
        seconds = [clip.frames / clip.sample_rate for clip in group]
        shape = (len(seconds), channels, sample_rate, min(seconds), max(seconds))
        yield ClipsRow(evidence.suite, machine, split, domain, label, *shape)


def _cell(clip: Clip) -> tuple[str, str, str, str, int, int]:
    return clip.machine, clip.split, clip.domain or "", clip.label or "", clip.channels, clip.sample_rate


def scored_clip_rows(suite: str, labels: Labels) -> Iterator[ClipsRow]:
    """Test clips of a suite without recordings, by what the score tables know; their format is unknown."""
    for machine, clips in sorted(labels.items()):
        for (domain, label), count in sorted(Counter(clips.values()).items()):
            yield ClipsRow(suite, machine, "test", domain, label, count, None, None, None, None)


def model_rows(evidence: Evidence) -> list[ModelRow]:
    """One row for each model behind the branches of the suite, with its weights' digest where there is one for all."""
    rows = []
    for model, facts in sorted(grouped(_facts(evidence.notes), lambda fact: fact[1]).items()):
        provenance = [fact["provenance"] for *_, fact in facts]
        settings = evidence.config["models"].get(ModelName.parse(model).model, {"kind": "external"})
        trained = {p.get("trained", "unknown") for p in provenance}
        digests = {p.get("weights_digest", "")[:16] for p in provenance}
        digest = digests.pop() if len(digests) == 1 else "one per machine"
        state = trained.pop() if len(trained) == 1 else "unknown"
        branches = tuple(sorted({branch for branch, *_ in facts}))
        licence = licence_of(ModelName.parse(model).model, evidence.config["models"])
        shown = (f"{key} {value}" for key, value in settings.items() if key != "kind" and value != {})
        description = "; ".join(shown) or "score tables made elsewhere"
        facts_of = (settings["kind"], state, description, digest, branches, licence)
        rows.append(ModelRow(evidence.suite, model, *facts_of))
    return rows


def note_rows(evidence: Evidence) -> list[NoteRow]:
    """What was reduced, left out or fixed, in no order."""
    suite = evidence.suite
    rows = [
        NoteRow(suite, branch, model, machine, note)
        for branch, model, machine, fact in _facts(evidence.notes)
        for note in fact["notes"]
    ]
    rows += [NoteRow(suite, name, "", "", f"left out: {reason}") for name, reason in evidence.left_out]
    systems = {evaluation["name"] for evaluation in evidence.evaluations if evaluation["kind"] == "system"}
    fixed = [name for name in systems if evidence.config["systems"][name].get("weights")]
    return rows + [NoteRow(suite, name, "", "", FIXED_WEIGHTS) for name in fixed]


def log_rows(evidence: Evidence, file_name: str, row_type: type[Log]) -> Iterator[Log]:
    """The logs of all adapted models, one behind the other: their columns, behind suite and model."""
    for folder in sorted(map(Path, evidence.adapters)):
        remake = f"remove {folder} and train the model again"
        yield from read_rows(folder / file_name, row_type, remake, suite=evidence.suite, model=folder.name)


def _facts(paths: Sequence[str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(branch, model, machine, facts) from the notes beside the score tables: .../<model>/<machine>/<branch>.json."""
    places = [(Path(path).stem, Path(path).parts[-3], Path(path).parts[-2], path) for path in paths]
    return [(*place, json.loads(Path(path).read_text(encoding="utf-8"))) for *place, path in places]
