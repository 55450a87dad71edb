"""A package on disk: score and decision files, meta files, and the zip, the same bytes for the same content."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from workflow_lib.config.submission_form import FOLDER, output_name, section_of
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.thresholds import Threshold
from workflow_lib.submission.baseline_files import csv_lines

MOMENT = (2026, 1, 1, 0, 0, 0)  # of every file in a zip, whose bytes must not depend on the time
MODE = 0o100644 << 16
UNIX = 3


def output_files(label: str, machine: str, table: ScoreTable, threshold: Threshold) -> dict[str, bytes]:
    """Score and decision files of one machine by path in the package; clips are sorted by name."""
    scores = [repr(value) for value in table.score.tolist()]
    decisions = [str(value) for value in threshold.decide(table.score).tolist()]
    clips = table.clip.tolist()
    files = {}
    for section in sorted({section_of(clip) for clip in clips}):
        for kind, values in (("anomaly_score", scores), ("decision_result", decisions)):
            rows = [(c, v) for c, v in zip(clips, values, strict=True) if section_of(c) == section]
            files[f"{FOLDER}/{label}/{output_name(kind, machine, section)}"] = csv_lines(rows)
    return files


def write_package(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write all files below a folder, and the zip of them beside; returns the zip."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    zipped = folder / name
    zipped.write_bytes(zip_bytes(files))
    return zipped


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by path, sorted, of one date and mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, MOMENT)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, MODE, UNIX
            archive.writestr(entry, content, compresslevel=9)
    return buffer.getvalue()
