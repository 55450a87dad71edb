"""Faults of a submission package, one line each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from workflow_lib.config.submission_form import (
    FOLDER,
    LABEL,
    MAX_SYSTEMS,
    META,
    OUTPUT,
    REPORT,
    Expected,
    expected_2026,
    output_name,
)
from workflow_lib.dataset.clip_name import one_line
from workflow_lib.errors import and_more, nearest
from workflow_lib.submission.meta_check import meta_faults
from workflow_lib.submission.outputs import clips_of, contradiction, output_faults
from workflow_lib.submission.reading import Package, read_package

KINDS = ("anomaly_score", "decision_result")
LONGEST_LINE = 1000  # characters: names in a zip may have 65,535
Files = dict[str, bytes | None]


def package_faults(path: Path, expected: Expected | None = None) -> list[str]:
    """All faults of a zip or folder; `expected`: clips that it must score, by default those of 2026."""
    package = read_package(path)
    faults = [*package.faults, *_faults(package, expected or expected_2026())]
    return [one_line(fault[:LONGEST_LINE]) for fault in faults]


def has_report(path: Path) -> bool:
    """Whether a technical report lies in a package."""
    return any(name.endswith(REPORT) for name in read_package(path).files)


def _faults(package: Package, expected: Expected) -> Iterator[str]:
    systems = _systems(package.files)
    if not systems:
        if not package.faults or package.files:
            yield "no system in it: put each in a folder <Lastname>_<Inst>_task2_<1 to 4>, below task2"
        return
    yield from _label_faults(list(systems))
    yield from _stray_faults(package.files, systems)
    yield from _report_faults(package, systems)
    for folder, files in systems.items():
        yield from _system_faults(folder, files, expected)


def _systems(files: Files) -> dict[str, Files]:
    """Folders that hold a meta file or outputs, or have the name of a system, with their files."""
    parents = {PurePosixPath(name).parent for name in files}
    named = {parent for parent in parents if LABEL.fullmatch(parent.name)}
    telling = {PurePosixPath(n).parent for n in files if n.endswith(META) or OUTPUT.fullmatch(PurePosixPath(n).name)}
    return {
        folder.as_posix(): {
            PurePosixPath(n).name: c for n, c in sorted(files.items()) if PurePosixPath(n).parent == folder
        }
        for folder in sorted(named | telling)
    }


def _label_faults(folders: list[str]) -> Iterator[str]:
    if len(folders) > MAX_SYSTEMS:
        yield f"{len(folders)} systems, at most {MAX_SYSTEMS}: {', '.join(folders)}"
    found = {folder: LABEL.fullmatch(PurePosixPath(folder).name) for folder in folders}
    for folder, match in found.items():
        if match is None:
            label = f"<Lastname>_<Inst>_task2_<1 to {MAX_SYSTEMS}>"
            yield f"{folder}: no label: call the folder {label}, of letters A to Z, digits and '-'"
        elif folder != f"{FOLDER}/{match[0]}":
            yield f"{folder}: not below {FOLDER}: put it at {FOLDER}/{match[0]}"
    labels = [PurePosixPath(folder).name for folder in folders]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        yield f"more than one folder of {', '.join(twice)}: leave one out"
    if len(teams := sorted({match["team"] for match in found.values() if match})) > 1:
        yield f"labels of more than one team: {', '.join(teams)}"
    indices = Counter(match["index"] for match in found.values() if match)
    if twice := sorted(index for index, count in indices.items() if count > 1):
        yield f"more than one system with index {', '.join(twice)}: number them from 1"


def _stray_faults(files: Files, systems: dict[str, Files]) -> Iterator[str]:
    # Technical reports may lie beside the systems' folders: one for each, or one of the team.
    labels = [PurePosixPath(folder).name for folder in systems]
    beside = {f"{FOLDER}/{name}{REPORT}" for label in labels for name in (label, label.rpartition("_")[0])}
    for name in sorted(files):
        if PurePosixPath(name).parent.as_posix() not in systems and name not in beside:
            yield f"{name}: not part of a submission: leave it out"


def _report_faults(package: Package, systems: Iterable[str]) -> Iterator[str]:
    for name in sorted(name for name in package.files if name.endswith(REPORT)):
        if package.sizes[name] == 0:
            yield f"{name}: it is empty: put the technical report there"
    for folder in systems:
        reports = [n for n in package.files if n.endswith(REPORT) and PurePosixPath(n).parent.as_posix() == folder]
        reports += [name for name in (f"{folder}{REPORT}",) if name in package.files]
        if len(reports) > 1:
            yield f"{folder}: more than one technical report: {', '.join(sorted(reports))}: leave one"


def _system_faults(folder: str, files: Files, expected: Expected) -> Iterator[str]:
    label = PurePosixPath(folder).name
    wanted = {output_name(kind, *place): (kind, place) for place in expected for kind in KINDS}
    meta = label + META
    for name in (meta, *wanted):
        if name not in files:
            yield f"{folder}/{name}: missing"
    for name in files:
        if name not in wanted and name != meta and not name.endswith(REPORT):
            advice = nearest(name, [meta, *wanted])
            instead = "leave it out" if advice.startswith("write one of") else f"leave it out, or {advice}"
            yield f"{folder}/{name}: not part of a submission: {instead}"
    for name, content in files.items():
        if content is None:
            continue
        if name in wanted:
            kind, place = wanted[name]
            yield from output_faults(f"{folder}/{name}", content, kind, expected[place])
        elif name.endswith(META):
            yield from meta_faults(f"{folder}/{name}", content, label)
    for place in expected:
        yield from _disagreement(folder, files, place)


def _disagreement(folder: str, files: Files, place: tuple[str, str]) -> Iterator[str]:
    """Score and decision files of one machine that do not hold the same clips."""
    score, decision = (files.get(output_name(kind, *place)) for kind in KINDS)
    if not score or not decision:
        return
    only = sorted(clips_of(score) ^ clips_of(decision))
    if only:
        named = and_more((clip[:60] for clip in only), shown=1)
        yield f"{folder}: scores and decisions of {place[0]} differ in clips: only one has {named}"
    if clips := contradiction(score, decision):
        yield f"{folder}: decisions of {place[0]} contradict the scores, the more anomalous has 1: {clips}"
