"""What the figures were made from: clips, models, notes and the training logs of adapted models."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from workflow_lib.config.twins import twin_of
from workflow_lib.csv_rows import grouped, read_rows
from workflow_lib.dataset.manifest import Clip, read_manifest
from workflow_lib.evaluation.evidence_rows import (
    EQUAL_WEIGHTS,
    FIXED_WEIGHTS,
    NORMAL_CALIBRATION,
    PSEUDO_WEIGHTS,
    ClipsRow,
    ModelRow,
    NoteRow,
    TrainingRow,
    ValidationRow,
)
from workflow_lib.evaluation.inputs import Evidence
from workflow_lib.evaluation.labelled_entries import Labels
from workflow_lib.fetch.licence import licence_of
from workflow_lib.fusion import NormalScale
from workflow_lib.plan.model_name import ModelName
from workflow_lib.plan.paths import NO_ONE
from workflow_lib.protocols import weighted_by_pseudo_anomalies
from workflow_lib.scoring.score_file import read_normal_scores

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
    return [*rows, *_system_notes(evidence), *_shrink_notes(evidence), *_pseudo_notes(evidence)]


def _system_notes(evidence: Evidence) -> Iterator[NoteRow]:
    """How systems are weighted and calibrated, where other machines do not choose it; twins are named after it."""
    of_systems = [entry for entry in evidence.evaluations if entry["kind"] == "system" and not twin_of(entry["name"])]
    for name, entries in grouped(of_systems, lambda entry: entry["name"]).items():
        settings = evidence.config["systems"][name]
        if settings.get("weights"):
            yield NoteRow(evidence.suite, name, "", "", FIXED_WEIGHTS)
        elif settings.get("search") == "none" and len(settings["branches"]) > 1:
            yield NoteRow(evidence.suite, name, "", "", EQUAL_WEIGHTS)
        elif weighted_by_pseudo_anomalies(settings):
            yield NoteRow(evidence.suite, name, "", "", PSEUDO_WEIGHTS)
        if settings.get("calibration") == "normal" and len(settings["branches"]) > 1:
            yield NoteRow(evidence.suite, name, "", "", NORMAL_CALIBRATION)
            yield from _scale_notes(evidence.suite, name, entries)


def _scale_notes(suite: str, name: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[NoteRow]:
    """Machines on which a branch's normal scores have no spread to calibrate with."""
    files = {
        (machine, branch, path)
        for entry in entries
        for machine, paths in entry["normal"].items()
        for branch, path in paths.items()
    }
    notes = {(m, branch, NormalScale.fit(read_normal_scores(path).score).note) for m, branch, path in files}
    yield from (NoteRow(suite, name, "", machine, f"{branch}: {note}") for machine, branch, note in notes if note)


def _shrink_notes(evidence: Evidence) -> Iterator[NoteRow]:
    """Folds in which the share of equal weights could not be chosen."""
    for path in evidence.folds:
        fold = json.loads(Path(path).read_text(encoding="utf-8"))
        if note := fold.get("shrink", {}).get("note"):
            held_out = "" if fold["held_out"] == NO_ONE else f", held out: {fold['held_out']}"
            yield NoteRow(evidence.suite, fold["system"], "", "", f"shrink ({fold['protocol']}{held_out}): {note}")


def _pseudo_notes(evidence: Evidence) -> Iterator[NoteRow]:
    """Machines whose pseudo-anomalies no branch finds."""
    for path in evidence.folds:
        fold = json.loads(Path(path).read_text(encoding="utf-8"))
        if note := fold.get("pseudo", {}).get("note"):
            yield NoteRow(evidence.suite, fold["system"], "", fold["held_out"], f"{note} ({fold['protocol']})")


def log_rows(evidence: Evidence, file_name: str, row_type: type[Log]) -> Iterator[Log]:
    """The logs of all adapted models, one behind the other: their columns, behind suite and model."""
    for folder in sorted(map(Path, evidence.adapters)):
        remake = f"remove {folder} and train the model again"
        yield from read_rows(folder / file_name, row_type, remake, suite=evidence.suite, model=folder.name)


def _facts(paths: Sequence[str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(branch, model, machine, facts) from the notes beside the score tables: .../<model>/<machine>/<branch>.json."""
    places = [(Path(path).stem, Path(path).parts[-3], Path(path).parts[-2], path) for path in paths]
    return [(*place, json.loads(Path(path).read_text(encoding="utf-8"))) for *place, path in places]
