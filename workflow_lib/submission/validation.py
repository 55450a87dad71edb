"""Faults of a submission package, one line each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from workflow_lib.config import submission_form as form
from workflow_lib.dataset.clip_name import one_line
from workflow_lib.errors import nearest
from workflow_lib.submission.field_faults import meta_faults
from workflow_lib.submission.outputs import disagreements, output_faults
from workflow_lib.submission.reading import Package, read_package

KINDS = ("anomaly_score", "decision_result")
LONGEST_LINE = 1000  # characters: names in a zip may have 65,535
Files = dict[str, bytes | None]


def package_faults(path: Path, expected: form.Expected | None = None) -> list[str]:
    """All faults of a zip or folder; `expected`: clips that it must score, by default those of 2026."""
    package = read_package(path)
    faults = [*package.faults, *_faults(package, expected or form.expected_2026())]
    return [one_line(fault[:LONGEST_LINE]) for fault in faults]


def _faults(package: Package, expected: form.Expected) -> Iterator[str]:
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
    folders: dict[PurePosixPath, Files] = {}
    for name, content in sorted(files.items()):
        path = PurePosixPath(name)
        folders.setdefault(path.parent, {})[path.name] = content
    return {
        folder.as_posix(): held
        for folder, held in sorted(folders.items())
        if form.LABEL.fullmatch(folder.name)
        or any(name.endswith(form.META) or form.OUTPUT.fullmatch(name) for name in held)
    }


def _label_faults(folders: list[str]) -> Iterator[str]:
    if len(folders) > form.MAX_SYSTEMS:
        yield f"{len(folders)} systems, at most {form.MAX_SYSTEMS}: {', '.join(folders)}"
    found = {folder: form.LABEL.fullmatch(PurePosixPath(folder).name) for folder in folders}
    for folder, match in found.items():
        if match is None:
            label = f"<Lastname>_<Inst>_task2_<1 to {form.MAX_SYSTEMS}>"
            yield f"{folder}: no label: call the folder {label}, of letters A to Z, digits and '-'"
        elif folder != f"{form.FOLDER}/{match[0]}":
            yield f"{folder}: not below {form.FOLDER}: put it at {form.FOLDER}/{match[0]}"
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
    beside = {f"{form.FOLDER}/{name}{form.REPORT}" for label in labels for name in (label, label.rpartition("_")[0])}
    for name in sorted(files):
        if PurePosixPath(name).parent.as_posix() not in systems and name not in beside:
            yield f"{name}: not part of a submission: leave it out"


def _report_faults(package: Package, systems: Iterable[str]) -> Iterator[str]:
    for name in sorted(name for name in package.files if name.endswith(form.REPORT)):
        if package.sizes[name] == 0:
            yield f"{name}: it is empty: put the technical report there"
    for folder in systems:
        reports = [n for n in package.files if n.endswith(form.REPORT) and PurePosixPath(n).parent.as_posix() == folder]
        reports += [name for name in (f"{folder}{form.REPORT}",) if name in package.files]
        if len(reports) > 1:
            yield f"{folder}: more than one technical report: {', '.join(sorted(reports))}: leave one"


def _system_faults(folder: str, files: Files, expected: form.Expected) -> Iterator[str]:
    label = PurePosixPath(folder).name
    wanted = {form.output_name(kind, *place): (kind, place) for place in expected for kind in KINDS}
    meta = label + form.META
    for name in (meta, *wanted):
        if name not in files:
            yield f"{folder}/{name}: missing"
    for name in files:
        if name not in wanted and name != meta and not name.endswith(form.REPORT):
            advice = nearest(name, [meta, *wanted])
            instead = "leave it out" if advice.startswith("write one of") else f"leave it out, or {advice}"
            yield f"{folder}/{name}: not part of a submission: {instead}"
    for name, content in files.items():
        if content is None:
            continue
        if name in wanted:
            kind, place = wanted[name]
            yield from output_faults(f"{folder}/{name}", content, kind, expected[place])
        elif name.endswith(form.META):
            yield from meta_faults(f"{folder}/{name}", content, label)
    for machine, section in expected:
        score, decision = (files.get(form.output_name(kind, machine, section)) for kind in KINDS)
        if score and decision:
            said = f"{folder}: scores and decisions of {machine}"
            yield from (f"{said} {disagreement}" for disagreement in disagreements(score, decision))
