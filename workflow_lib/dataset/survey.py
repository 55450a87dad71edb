"""Folders of a suite, <machine>/train and <machine>/test: their clips, and the faults of names and folders.

Standard library only, because the DAG imports it; `audio` checks the sound itself.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workflow_lib.dataset.clip_name import (
    CLIP_SUFFIXES,
    SPLITS,
    ClipName,
    Fault,
    FaultError,
    fold,
    one_line,
    parse_clip_name,
)
from workflow_lib.dataset.ground_truth import Truth
from workflow_lib.errors import UserError

# Other sound files, which are reported: left out silently, they would be missed.
OTHER_SOUND_SUFFIXES = (
    *(".aac", ".aif", ".aifc", ".aiff", ".au", ".caf", ".m4a", ".mp3", ".oga", ".ogg", ".opus"),
    *(".pcm", ".raw", ".w64", ".wave", ".wma"),
)
FOREIGN_FOLDERS = ("__MACOSX", "@eaDir")  # left behind by archive tools and file servers


@dataclass(frozen=True)
class FoundClip:
    """A sound file in train/ or test/ of a machine; name is None if it cannot be parsed."""

    path: Path
    split: str
    name: ClipName | None


def discover_machines(root: str | Path) -> list[str]:
    """The sorted names of the folders below root that hold a train/ or a test/ folder; UserError if there is none."""
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"{one_line(str(root))}: no such folder: set root to the folder that holds the machine folders")
    machines = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and _is_machine(path))
    if machines:
        return machines
    if _is_machine(folder):
        problem, remedy = "is itself a machine folder", f"set root to the folder above it, {folder.absolute().parent}"
    else:
        problem = "no machine found: no folder in it has a train/ or a test/ folder"
        remedy = "lay clips out as <machine>/train/*.wav and <machine>/test/*.wav"
    raise UserError(one_line(f"{root}: {problem}: {remedy}"))


def survey_machine(
    folder: Path, *, allow_no_target: bool, suite: str, truth: Truth | None = None
) -> tuple[list[FoundClip], list[Fault]]:
    """Every WAV and FLAC file below folder/train and folder/test, and all faults of names and folders.

    `truth` holds the true names of unlabelled test clips, where they are known. Follows links and nested folders;
    ignores hidden files and files that are no sound.
    """
    found: list[FoundClip] = []
    faults: list[Fault] = []
    for split in SPLITS:
        for path in _sound_files(folder / split, faults):
            _identify(path, split, found, faults, truth)
    faults += _duplicates(found)
    faults += _named_only(folder / "test", found, truth or {})
    faults += _gaps(folder, found, allow_no_target, suite)
    return found, faults


def training_clips(folder: Path) -> list[FoundClip]:
    """Every normal clip below a folder of training clips, sorted by name; UserError that lists what is none."""
    found: list[FoundClip] = []
    faults: list[Fault] = []
    for path in _sound_files(folder, faults):
        _identify(path, "train", found, faults, None)
    if faults:
        raise UserError("\n".join(map(str, faults)))
    return sorted(found, key=lambda clip: clip.path.name)


def labels_in_names(root: str | Path, machine: str, truth: Truth | None = None) -> frozenset[str | None]:
    """Labels in the names of a machine's test clips, or in their true names: normal, anomaly, None if unknown."""
    labels, known = set(), truth or {}
    for path in _sound_files(Path(root, machine, "test"), []):
        with suppress(UserError):  # the index reports the name
            labels.add((known.get(path.name) or parse_clip_name(path.name)).label)
    return frozenset(labels)


def fingerprint(folders: Iterable[str]) -> str:
    """Digest of names, sizes and times of all sound files: changes when a clip is added, removed or written again."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in _sound_files(Path(folder), []):
            facts = (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None
            digest.update(f"{path} {facts}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _is_machine(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in SPLITS)


def _sound_files(folder: Path, faults: list[Fault], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every sound file below a folder, sorted; a link that leads back to a folder above it is not followed."""
    if not folder.is_dir() or (real := folder.resolve()) in above:
        return
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        faults.append(Fault(str(folder), f"cannot be listed ({error.strerror})", "mend its permissions"))
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name in FOREIGN_FOLDERS:
            continue
        if entry.is_dir():
            yield from _sound_files(path, faults, (*above, real))
        elif path.suffix.lower() in CLIP_SUFFIXES + OTHER_SOUND_SUFFIXES:
            yield path


def _identify(path: Path, split: str, found: list[FoundClip], faults: list[Fault], truth: Truth | None) -> None:
    if path.suffix.lower() in OTHER_SOUND_SUFFIXES:
        faults.append(Fault(str(path), "sound that is neither WAV nor FLAC", "convert it to 16-bit WAV, or remove it"))
        return
    try:
        name = parse_clip_name(path.name)
        if truth is not None and name.label is None and split == "test":
            name = truth.get(path.name, name)
            if name.label is None:
                problem = "not in the ground truth of its machine"
                faults.append(Fault(str(path), problem, "add a line for it, or remove the clip"))
        faults += [Fault(str(path), *misplacement) for misplacement in _misplacements(name, split)]
    except FaultError as error:
        name = None
        faults.append(Fault(str(path), error.fault.problem, error.fault.remedy))
    found.append(FoundClip(path, split, name))


def _named_only(folder: Path, found: list[FoundClip], truth: Truth) -> Iterator[Fault]:
    """Lines of the ground truth without a clip; none where all test clips are missing, which is a fault of its own."""
    there = {clip.path.name for clip in found if clip.split == "test"}
    for name in sorted(truth.keys() - there) if there else ():
        yield Fault(str(folder / name), "in the ground truth, but not there", "add the clip, or remove its line")


def _misplacements(name: ClipName, split: str) -> Iterator[tuple[str, str]]:
    if name.label is None and split == "train":
        yield "an unlabelled test clip in train/", "move it to test/, or give it a full training name"
    elif name.split != split:
        yield f"its name says {name.split}, its folder {split}", f"move it to {name.split}/, or rename it"
    if name.label == "anomaly" and split == "train":
        yield "an anomalous clip in train/", "move it to test/ or remove it, for training clips must be normal"


def _duplicates(found: list[FoundClip]) -> list[Fault]:
    """Clips with one name but for letter case and suffix (tables name a clip only); the plainest path stays."""
    first: dict[str, Path] = {}
    faults = []
    for clip in sorted(found, key=lambda c: (c.name is None, len(c.path.parts), c.path.suffix != ".wav", str(c.path))):
        kept = first.setdefault(fold(clip.path.stem), clip.path)
        if kept is not clip.path:
            problem = f"duplicate, the same clip name as {kept}"
            faults.append(Fault(str(clip.path), problem, "remove or rename one of them"))
    return faults


def _gaps(folder: Path, found: list[FoundClip], allow_no_target: bool, suite: str) -> Iterator[Fault]:
    """What the two folders lack; no domain where no training name can be parsed, because the names are the fault."""
    train, test = str(folder / "train"), str(folder / "test")
    for split, clips in (("train", "normal clips to learn from"), ("test", "the clips to be scored")):
        if not any(clip.split == split for clip in found):
            what = "clips" if (folder / split).is_dir() else "folder"
            yield Fault(str(folder / split), f"no {split} {what}", f"put {clips} there, as WAV files")
    names = [clip.name for clip in found if clip.name and clip.split == "train"]
    domains = {name.domain for name in names if name.label == "normal"}
    if names and "source" not in domains:
        add = "name clips of the usual condition section_00_source_train_normal_<4 digits>….wav"
        yield Fault(train, "no source normals", add)
    if names and "target" not in domains and not allow_no_target:
        add = "add section_00_target_train_normal_<4 digits>….wav"
        yield Fault(train, "no target normals", f"{add}, or set suites.{suite}.allow_no_target: true")
    labelled = Counter(clip.name.label is not None for clip in found if clip.name and clip.split == "test")
    if len(labelled) == 2:
        counts = f"{labelled[True]} labelled and {labelled[False]} unlabelled clip names"
        yield Fault(test, f"mixed test set, {counts}", "name all of them in one way, or make two suites of them")
