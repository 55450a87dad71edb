"""The manifest of a machine: its clips in a suite, or all faults of them."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from workflow_lib.dataset.audio import AudioInfo, audio_info, rate_fault
from workflow_lib.dataset.clip_name import SPLITS, Fault, FaultError, one_line
from workflow_lib.dataset.ground_truth import truth_of
from workflow_lib.dataset.survey import FoundClip, survey_machine
from workflow_lib.errors import UserError
from workflow_lib.files import replacing, write_csv

CHOICES = {"split": SPLITS, "domain": ("source", "target", ""), "label": ("normal", "anomaly", "")}
NUMBERS = ("channels", "sample_rate", "frames")


@dataclass(frozen=True)
class Clip:
    """One row of a manifest; domain and label are None, and attributes is empty, for an unlabelled test clip.

    sample_rate (Hz), channels and frames are the file's own, also where the suite lets it be resampled.
    """

    machine: str
    clip: str
    split: str
    domain: str | None
    label: str | None
    attributes: str
    channels: int
    sample_rate: int
    frames: int
    path: str


COLUMNS = tuple(field.name for field in fields(Clip))


@dataclass(frozen=True)
class IndexRules:
    """Requirements of a suite on its clips; `suite` is the name that remedies quote."""

    sample_rate: int = 16000  # Hz
    channels: int = 2  # the least number; 1 if no branch uses the far microphone
    resample: bool = False
    allow_no_target: bool = False
    min_seconds: float = 0.0  # shorter clips are too short for the models
    ground_truth: str | None = None  # file with the true names of unlabelled test clips
    suite: str = "<name>"


def index_machine(root: str | Path, machine: str, **rules: Any) -> tuple[list[Clip], list[Fault]]:
    """All clips of a machine, sorted by split (train first) and name, and all its faults, sorted, one per path.

    The keywords are the fields of IndexRules. Clips with a fault may or may not be in the list.
    """
    wanted, folder = IndexRules(**rules), Path(root) / machine
    if not folder.is_dir():
        return [], [Fault(str(folder), "no such folder", "create it, or correct the machine's name in the config")]
    truth = truth_of(wanted.ground_truth, machine)
    found, faults = survey_machine(folder, allow_no_target=wanted.allow_no_target, suite=wanted.suite, truth=truth)
    clips = [clip for item in found if (clip := _inspect(machine, item, wanted, faults))]
    clips.sort(key=lambda clip: (SPLITS.index(clip.split), clip.clip))
    return clips, _one_per_path(faults)


def index_suite(root: str | Path, machines: Iterable[str], **rules: Any) -> tuple[dict[str, list[Clip]], list[Fault]]:
    """The clips of each machine and the sorted faults of all of them; keywords as in index_machine."""
    indexed = {machine: index_machine(root, machine, **rules) for machine in machines}
    faults = sorted(fault for _, of_machine in indexed.values() for fault in of_machine)
    return {machine: clips for machine, (clips, _) in indexed.items()}, faults


def index_to_file(output: Path, root: str | Path, machine: str, **rules: Any) -> None:
    """Write the manifest of a machine; UserError that lists its faults. Keywords as in index_machine."""
    clips, faults = index_machine(root, machine, **rules)
    if faults:
        raise UserError(format_faults(faults))
    write_manifest(output, clips)


def format_faults(faults: Iterable[Fault]) -> str:
    """A header line with the number of faults, then one line each."""
    lines = [str(fault) for fault in faults]
    counted = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    return "\n".join([f"{counted} in the recordings, nothing was written:", *lines])


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write clips as CSV, in the order given, so that the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        write_csv(beside, COLUMNS, map(astuple, clips))


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest; UserError names the line and the column where it is none."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != COLUMNS:
                raise _not_a_manifest(f"{path}, line 1", f"the header is not {','.join(COLUMNS)}")
            return [_parse_row(f"{path}, line {rows.line_num}", row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _not_a_manifest(str(path), f"it cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _parse_row(where: str, row: list[str]) -> Clip:
    if len(row) != len(COLUMNS):
        raise _not_a_manifest(where, f"{len(row)} cells where {len(COLUMNS)} are needed")
    cells: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    for column, values in CHOICES.items():
        if cells[column] not in values:
            raise _not_a_manifest(where, f"{column} is {cells[column]!r}, not {' or '.join(filter(None, values))}")
    for column in NUMBERS:
        if not (cells[column].isascii() and cells[column].isdecimal()):
            raise _not_a_manifest(where, f"{column} is {cells[column]!r}, not a whole number")
    numbers = {column: int(cells[column]) for column in NUMBERS}
    return Clip(**cells | numbers | {"domain": cells["domain"] or None, "label": cells["label"] or None})


def _not_a_manifest(where: str, problem: str) -> UserError:
    return UserError(one_line(f"{where}: not a manifest: {problem}: delete the file and index the suite again"))


def _inspect(machine: str, item: FoundClip, wanted: IndexRules, faults: list[Fault]) -> Clip | None:
    """The manifest row of a sound file, or None; its faults are added to the list."""
    try:
        info = audio_info(item.path)
    except FaultError as error:
        faults.append(error.fault)
        return None
    faults += _sound_faults(item.path, info, wanted)
    name = item.name
    if name is None:
        return None
    attributes = name.attribute_string if name.label else ""  # unknown, which differs from none
    described = (machine, item.path.name, item.split, name.domain, name.label, attributes)
    return Clip(*described, info.channels, info.sample_rate, info.frames, item.path.as_posix())


def _sound_faults(path: Path, info: AudioInfo, wanted: IndexRules) -> Iterator[Fault]:
    """Faults by the rules of the suite."""
    fault = rate_fault(path, info, wanted.sample_rate, wanted.suite)
    if fault and not wanted.resample:
        yield fault
    if info.channels < wanted.channels:
        problem = "mono where two channels are needed (near, far)"
        yield Fault(str(path), problem, f"record both, or set suites.{wanted.suite}.channels: 1 to use near alone")
    seconds = info.frames / info.sample_rate
    if seconds < wanted.min_seconds:
        problem = f"{seconds:.3f} s long where {wanted.min_seconds:g} s are needed"
        yield Fault(str(path), problem, "record longer, or remove it")
    if info.channels > 2:
        problem = f"{info.channels} channels where near and far are expected"
        yield Fault(str(path), problem, "keep these two, near first")


def _one_per_path(faults: Iterable[Fault]) -> list[Fault]:
    """Sorted faults, those of one path joined: a user mends a file once."""
    by_path: dict[str, list[Fault]] = {}
    for fault in faults:
        by_path.setdefault(fault.path, []).append(fault)
    return [
        Fault(path, "; ".join(f.problem for f in group), "; ".join(dict.fromkeys(f.remedy for f in group)))
        for path, group in sorted(by_path.items())
    ]
