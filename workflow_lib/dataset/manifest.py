"""The manifest of a machine: its clips in a suite, or all faults of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from workflow_lib.csv_rows import Must, grouped, one_of, read_rows, write_rows
from workflow_lib.dataset.audio import AudioInfo, audio_info, rate_fault
from workflow_lib.dataset.clip_name import SPLITS, Fault, FaultError
from workflow_lib.dataset.ground_truth import truth_of
from workflow_lib.dataset.survey import survey_machine
from workflow_lib.errors import UserError
from workflow_lib.files import replacing

Count = Annotated[int, Must(lambda value: value > 0, "be positive")]


@dataclass(frozen=True)
class Clip:
    """One row of a manifest; domain and label are None, and attributes is empty, for an unlabelled test clip.

    sample_rate (Hz), channels and frames are the file's own, also where the suite lets it be resampled.
    """

    machine: str
    clip: str
    split: Annotated[str, one_of(*SPLITS)]
    domain: Annotated[str, one_of("source", "target")] | None
    label: Annotated[str, one_of("normal", "anomaly")] | None
    attributes: str
    channels: Count
    sample_rate: Count
    frames: Count
    path: str


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
    clips = []
    for item in found:
        try:
            info = audio_info(item.path)
        except FaultError as error:
            faults.append(error.fault)
            continue
        faults += _sound_faults(item.path, info, wanted)
        if name := item.name:
            attributes = name.attribute_string if name.label else ""  # unknown, which differs from none
            described = (machine, item.path.name, item.split, name.domain, name.label, attributes)
            clips.append(Clip(*described, info.channels, info.sample_rate, info.frames, item.path.as_posix()))
    clips.sort(key=lambda clip: (SPLITS.index(clip.split), clip.clip))
    # Faults of one path are joined: a user mends a file once.
    by_path = sorted(grouped(faults, lambda fault: fault.path).items())
    return clips, [
        Fault(path, "; ".join(f.problem for f in group), "; ".join(dict.fromkeys(f.remedy for f in group)))
        for path, group in by_path
    ]


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
        write_rows(beside, Clip, clips)


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest; UserError names the line and the column where it is none."""
    return list(read_rows(Path(path), Clip, "delete it and run `snakemake index`"))


def _sound_faults(path: Path, info: AudioInfo, wanted: IndexRules) -> Iterator[Fault]:
    """Faults by the rules of the suite."""
    if not wanted.resample and (fault := rate_fault(path, info, wanted.sample_rate, wanted.suite)):
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
