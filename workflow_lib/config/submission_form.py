"""The form of a package of 2026: labels, file names, evaluation clips and the fields of the meta file.

docs/submission.md says where each name comes from.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from workflow_lib.config.schema import definition
from workflow_lib.errors import UserError

FOLDER = "task2"
MAX_SYSTEMS = 4
ABBREVIATION = 10  # characters
NAME_IN_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
LABEL = re.compile(rf"(?P<team>{NAME_IN_LABEL.pattern}_{NAME_IN_LABEL.pattern})_task2_(?P<index>[1-{MAX_SYSTEMS}])")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
OUTPUT = re.compile(r"(anomaly_score|decision_result)_(.+)_section_([0-9][0-9])_test\.csv")
REPORT = ".technical_report.pdf"
META = ".meta.yaml"
LARGEST_REPORT = 48 << 20  # bytes
MACHINES_2026 = ("BlowerDustCollector", "Sander", "SewingMachine", "ToothBrush", "ToyDrone")
CLIPS_2026 = 200  # of each machine: section_00_0000.wav to section_00_0199.wav
SECTION = re.compile(r"section_([0-9][0-9])_")
AUDIO = (".wav", ".flac")

AUTHOR = ("firstname", "lastname", "email")
AFFILIATION = ("institution", "location")
DESCRIPTION = tuple(definition("system_meta")["properties"]["description"]["propertyNames"]["enum"])
FIGURES = ("auc_source", "auc_target", "pauc")

Expected = Mapping[tuple[str, str], frozenset[str]]  # (machine, section) -> names of its test clips


def output_name(kind: str, machine: str, section: str) -> str:
    """anomaly_score_<machine>_section_00_test.csv, or decision_result_..."""
    return f"{kind}_{machine}_section_{section}_test.csv"


def label_of(lastname: str, institute: str, index: int) -> str:
    """<Lastname>_<Inst>_task2_<index>."""
    return f"{lastname}_{institute}_task2_{index}"


def expected_2026() -> Expected:
    """The evaluation clips of 2026."""
    clips = frozenset(f"section_00_{number:04d}.wav" for number in range(CLIPS_2026))
    return {(machine, "00"): clips for machine in MACHINES_2026}


def expected_of(machines: Mapping[str, Iterable[str]]) -> Expected:
    """The clips of any suite, by machine and section; a name without a section counts as section 00."""
    found: dict[tuple[str, str], set[str]] = {}
    for machine, clips in machines.items():
        for clip in clips:
            found.setdefault((machine, section_of(clip)), set()).add(clip)
    return {place: frozenset(clips) for place, clips in sorted(found.items())}


def expected_in(root: Path) -> Expected:
    """The test clips that lie below a suite's folder: <machine>/test/*.wav; UserError if there are none."""
    machines = {
        folder.parent.name: [clip.name for clip in folder.iterdir() if clip.suffix.lower() in AUDIO]
        for folder in sorted(root.glob("*/test"))
        if folder.is_dir()
    }
    if expected := expected_of(machines):
        return expected
    raise UserError(f"{root}: no recordings in <machine>/test: give the folder that holds the machines' folders")


def section_of(clip: str) -> str:
    """The two digits of a clip name's section."""
    found = SECTION.match(clip)
    return found[1] if found else "00"
