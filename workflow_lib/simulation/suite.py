"""The clips of one simulated machine: their plan, their sound at both microphones, their files."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

from workflow_lib.errors import UserError
from workflow_lib.simulation.background import SOURCES
from workflow_lib.simulation.model import (
    SAMPLE_RATE_HZ,
    Condition,
    Machine,
    generator,
    load_machine,
    make_operation,
)
from workflow_lib.simulation.room import Acoustics, draw_room

REFERENCE_SAMPLES = 2 * SAMPLE_RATE_HZ
MACHINE_LEVEL = 0.028  # RMS of the machine at the near microphone, full scale 1: -31 dBFS, room for the peaks
SENSOR_NOISE_LEVEL = 0.00015
SECTION = "00"


@dataclass(frozen=True)
class PlannedClip:
    """A clip before it is rendered: the parts of its name, the condition the machine runs under, its fault if any."""

    split: str
    domain: str
    number: int
    condition: Condition
    fault: str | None = None

    @property
    def name(self) -> str:
        """File name in the challenge's grammar."""
        label = "anomaly" if self.fault else "normal"
        return f"section_{SECTION}_{self.domain}_{self.split}_{label}_{self.number:04d}_{self.condition.attributes}.wav"


def plan_clips(machine: Machine, train_source: int, train_target: int, test_per_cell: int) -> list[PlannedClip]:
    """All clips of a machine, train first, sorted by name; conditions take turns, and so do the faults within each."""
    train = [
        _plan_clip(machine, "train", domain, number, faulty=False)
        for domain, count in (("source", train_source), ("target", train_target))
        for number in range(count)
    ]
    cells = product(("source", "target"), (True, False), range(test_per_cell))
    test = [_plan_clip(machine, "test", domain, number, faulty) for domain, faulty, number in cells]
    return train + test


def _plan_clip(machine: Machine, split: str, domain: str, number: int, faulty: bool) -> PlannedClip:
    conditions = machine.conditions(domain)
    fault = machine.faults[number // len(conditions) % len(machine.faults)] if faulty else None
    return PlannedClip(split, domain, number, conditions[number % len(conditions)], fault)


class Studio:
    """One machine set up in its room, ready to be recorded: everything that the clips of a seed share."""

    def __init__(self, name: str, seed: int, seconds: float):
        self.machine = load_machine(name)
        self._name, self._seed = name, seed
        self.room = draw_room(generator(seed, name, "room"), tuple(SOURCES))
        self.acoustics = Acoustics(self.room, round(seconds * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
        self._machine_gain = MACHINE_LEVEL / self._reference_rms()

    def _reference_rms(self) -> float:
        """RMS of the machine in its first source condition, in its own unit; one clip length for all suites."""
        rng = generator(self._seed, self._name, "reference")
        sound = self.machine.sound(make_operation(REFERENCE_SAMPLES, self.machine.source[0], rng))
        return float(np.sqrt(np.mean(sound**2)))

    def parts(self, clip: PlannedClip, severity: tuple[float, float]) -> dict[str, np.ndarray]:
        """What sounds in the room during a clip: {"machine" or background source: (source samples,)}."""
        machine_rng, scene_rng, grade_rng = generator(self._seed, self._name, clip.name).spawn(3)
        grade = grade_rng.uniform(*severity) if clip.fault else 0.0
        operation = make_operation(self.acoustics.source_samples, clip.condition, machine_rng, clip.fault, grade)
        gain = self._machine_gain * _decibels(scene_rng.normal(0, 0.5))
        return {"machine": gain * self.machine.sound(operation), **self._background(clip.condition, scene_rng)}

    def _background(self, condition: Condition, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Sounds of the running background sources, scaled to a ratio to the machine drawn for this clip."""
        ratio_db = rng.uniform(*self.machine.near_ratio_db) - condition.background_db
        shares = rng.dirichlet(np.full(len(condition.background), 2.0))
        level = MACHINE_LEVEL / _decibels(ratio_db)
        return {
            kind: level * np.sqrt(share) * SOURCES[kind](rng, self.acoustics.source_samples, SAMPLE_RATE_HZ)
            for kind, share in zip(condition.background, shares, strict=True)
        }

    def record(self, clip: PlannedClip, severity: tuple[float, float]) -> np.ndarray:
        """The clip, (samples, 2) int16: machine, background and the microphones' own noise, near first."""
        signal = self.acoustics.record(self.parts(clip, severity))
        sensor_rng = generator(self._seed, self._name, clip.name, "sensor")
        signal = signal + SENSOR_NOISE_LEVEL * sensor_rng.standard_normal(signal.shape, dtype=np.float32)
        return np.clip(np.rint(signal.T * 32768), -32768, 32767).astype(np.int16)


def _decibels(level_db: float) -> float:
    return 10 ** (level_db / 20)


def write_machine(
    name: str,
    folder: Path,
    seed: int,
    seconds: float,
    counts: tuple[int, int, int],
    severity: tuple[float, float],
) -> list[Path]:
    """Record and write all clips of a machine (see `workflow_lib.simulation.simulate_machine`)."""
    _check(seed, seconds, counts, severity)
    clips = plan_clips(load_machine(name), *counts)
    paths = [folder / clip.split / clip.name for clip in clips]
    _check_folder(folder, set(paths))
    _make_folders(folder)
    studio = Studio(name, seed, seconds)
    for clip, path in zip(clips, paths, strict=True):
        _write_whole(path, studio.record(clip, severity))
    return paths


def _check(seed: int, seconds: float, counts: tuple[int, int, int], severity: tuple[float, float]) -> None:
    complaints = list(_complaints(seed, seconds, counts, severity))
    if complaints:
        raise UserError("\n".join(f"simulate: {complaint}" for complaint in complaints))


def _complaints(
    seed: int, seconds: float, counts: tuple[int, int, int], severity: tuple[float, float]
) -> Iterator[str]:
    if seed < 0:
        yield f"seed is {seed}: give a whole number from 0"
    if not 0.5 <= seconds <= 600:
        yield f"seconds is {seconds}: give a length between 0.5 and 600 s"
    for word, count in zip(("train_source", "train_target", "test_per_cell"), counts, strict=True):
        if not 0 <= count <= 10000:
            yield f"{word} is {count}: give a number of clips from 0 to 10000 (a clip name has four digits)"
    if not 0 < severity[0] <= severity[1] <= 1:
        yield f"severity is {severity}: give the lowest and the highest grade, 0 < lowest <= highest <= 1"


def _check_folder(folder: Path, planned: set[Path]) -> None:
    """Clips of another plan would slip into the suite unnoticed: refuse, and delete nothing of the user's."""
    strangers = sorted(path for path in folder.glob("*/*.wav") if path not in planned)
    if strangers:
        raise UserError(
            f"simulate: {folder} holds {len(strangers)} clips that this simulation does not make, "
            f"the first is {strangers[0].name}: remove the folder or choose another"
        )


def _make_folders(folder: Path) -> None:
    try:
        for split in ("train", "test"):
            (folder / split).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"simulate: cannot make {error.filename}: {error.strerror}: choose another folder") from error


def _write_whole(path: Path, samples: np.ndarray) -> None:
    """Write a 16-bit PCM WAV that appears under its name only when it is complete."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    # Not `files.replacing`: what a kill leaves must not end in .wav, it would count as a clip.
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(buffer.getvalue())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
