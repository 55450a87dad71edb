"""The manifest of a machine: which clips a suite holds, or everything that is wrong with them."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from workflow_lib.dataset.audio import AudioInfo, audio_info, rate_fault
from workflow_lib.dataset.clip_name import SPLITS, Fault, FaultError, one_line
from workflow_lib.dataset.ground_truth import truth_of
from workflow_lib.dataset.survey import FoundClip, discover_machines, survey_machine
from workflow_lib.errors import UserError
from workflow_lib.files import replacing, write_csv

__all__ = [
    "Clip",
    "Fault",
    "IndexRules",
    "discover_machines",
    "format_faults",
    "index_machine",
    "index_suite",
    "index_to_file",
    "index_to_files",
    "read_manifest",
    "write_manifest",
]

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
    """What a suite asks of its clips; `suite` is the name that remedies quote."""

    sample_rate: int = 16000  # Hz
    channels: int = 2  # at least so many; 1 if no branch looks at the far microphone
    resample: bool = False
    allow_no_target: bool = False
    min_seconds: float = 0.0  # what is shorter is too short for the models
    ground_truth: str | None = None  # file with the true names of unlabelled test clips
    suite: str = "<name>"


def index_machine(root: str | Path, machine: str, **rules: int | bool | str | None) -> tuple[list[Clip], list[Fault]]:
    """All clips of a machine, sorted by split (train first) and name, and all its faults, sorted, one per path.

    The keywords are the fields of IndexRules. No fault stops it; clips with a fault may or may not be in the list.
    """
    wanted, folder = IndexRules(**rules), Path(root) / machine
    if not folder.is_dir():
        return [], [Fault(str(folder), "no such folder", "create it, or correct the machine's name in the config")]
    truth = truth_of(wanted.ground_truth, machine)
    found, faults = survey_machine(folder, allow_no_target=wanted.allow_no_target, suite=wanted.suite, truth=truth)
    clips = [clip for item in found if (clip := _inspect(machine, item, wanted, faults))]
    clips.sort(key=lambda clip: (SPLITS.index(clip.split), clip.clip))
    return clips, _one_per_path(faults)


def index_suite(
    root: str | Path, machines: Iterable[str], **rules: int | bool | str | None
) -> tuple[dict[str, list[Clip]], list[Fault]]:
    """The clips of each machine and the sorted faults of all of them; keywords as in index_machine."""
    indexed = {machine: index_machine(root, machine, **rules) for machine in machines}
    faults = sorted(fault for _, of_machine in indexed.values() for fault in of_machine)
    return {machine: clips for machine, (clips, _) in indexed.items()}, faults


def index_to_files(
    outputs: Mapping[str, str | Path], root: str | Path, machines: Iterable[str], **rules: int | bool | str | None
) -> dict[str, list[Clip]]:
    """Writes the manifest of each machine in outputs, or none of them; keywords as in index_machine.

    At a fault, all other machines of the suite are looked at too, so that one UserError lists every fault of the suite.
    """
    clips, faults = index_suite(root, outputs, **rules)
    if faults:
        faults += index_suite(root, [machine for machine in machines if machine not in outputs], **rules)[1]
        raise UserError(format_faults(sorted(faults)))
    for machine, output in outputs.items():
        write_manifest(output, clips[machine])
    return clips


def index_to_file(
    output: str | Path,
    root: str | Path,
    machine: str,
    machines: Iterable[str] = (),
    **rules: int | bool | float | str | None,
) -> list[Clip]:
    """Writes the manifest of one machine, or lists every fault of the suite's machines, as index_to_files does."""
    return index_to_files({machine: output}, root, machines, **rules)[machine]


def format_faults(faults: Iterable[Fault]) -> str:
    """A header line with the number of faults, then one line each."""
    lines = [str(fault) for fault in faults]
    counted = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    return "\n".join([f"{counted} in the recordings, nothing was written:", *lines])


def write_manifest(path: str | Path, clips: Iterable[Clip]) -> None:
    """Writes clips as CSV, in the order given, so that the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        write_csv(beside, COLUMNS, (astuple(clip) for clip in clips))


def read_manifest(path: str | Path) -> list[Clip]:
    """Reads what write_manifest wrote; a UserError names the line and the column where it is no manifest."""
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
    cells = dict(zip(COLUMNS, row, strict=True))
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
    """The manifest row of a sound file, None where there can be none; its faults are added to the list."""
    try:
        info = audio_info(item.path)
    except FaultError as error:
        faults.append(error.fault)
        return None
    faults += _sound_faults(item.path, info, wanted)
    name = item.name
    if name is None:
        return None
    attributes = name.attribute_string if name.label else ""  # unknown is not the same as none
    described = (machine, item.path.name, item.split, name.domain, name.label, attributes)
    return Clip(*described, info.channels, info.sample_rate, info.frames, item.path.as_posix())


def _sound_faults(path: Path, info: AudioInfo, wanted: IndexRules) -> Iterator[Fault]:
    """What the suite, not the file format, forbids."""
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
        yield Fault(
            str(path), f"{info.channels} channels where near and far are expected", "keep these two, near first"
        )


def _one_per_path(faults: Iterable[Fault]) -> list[Fault]:
    """Sorted faults, those of one path joined: a user mends a file once."""
    by_path: dict[str, list[Fault]] = {}
    for fault in faults:
        by_path.setdefault(fault.path, []).append(fault)
    return [
        Fault(path, "; ".join(f.problem for f in group), "; ".join(dict.fromkeys(f.remedy for f in group)))
        for path, group in sorted(by_path.items())
    ]
