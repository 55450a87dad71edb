"""The clips of one simulated machine: their plan, their sound at both microphones, their files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from workflow_lib.errors import UserError
from workflow_lib.files import replacing
from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.background import SOURCES
from workflow_lib.simulation.model import Condition, Machine, generator, load_machine, make_operation
from workflow_lib.simulation.room import Acoustics, draw_room
from workflow_lib.simulation.signals import band, coloured_noise

REFERENCE_SAMPLES = 2 * SAMPLE_RATE_HZ
MACHINE_LEVEL = 0.012  # RMS of the machine at the near microphone, full scale 1: -38 dBFS, room for the rest
SENSOR_NOISE_LEVEL = 0.00007
CONCENTRATION = 0.7  # of the Dirichlet distribution of the background's shares: in most clips one source prevails
DIFFUSE_DB = (-12.0, -4.0)  # diffuse noise at both microphones, relative to the machine at the near one
SECTION = "00"


@dataclass(frozen=True)
class PlannedClip:
    """A clip before it is rendered: the parts of its name, the condition of the machine, its fault if any."""

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
    cells = [("train", "source", False, train_source), ("train", "target", False, train_target)]
    cells += [("test", domain, faulty, test_per_cell) for domain in ("source", "target") for faulty in (True, False)]
    clips = []
    for split, domain, faulty, count in cells:
        conditions: tuple[Condition, ...] = getattr(machine, domain)
        for number in range(count):
            fault = machine.faults[number // len(conditions) % len(machine.faults)] if faulty else None
            clips.append(PlannedClip(split, domain, number, conditions[number % len(conditions)], fault))
    return clips


class Studio:
    """One machine in its room: everything that the clips of a seed share."""

    def __init__(self, name: str, seed: int, seconds: float):
        self.machine = load_machine(name)
        self._name, self._seed = name, seed
        self.room = draw_room(generator(seed, name, "room"), tuple(SOURCES))
        self.acoustics = Acoustics(self.room, round(seconds * SAMPLE_RATE_HZ))
        # The RMS of the machine in its first source condition, in its own unit; one clip length for all suites.
        operation = make_operation(REFERENCE_SAMPLES, self.machine.source[0], generator(seed, name, "reference"))
        self._machine_gain = MACHINE_LEVEL / float(np.sqrt(np.mean(self.machine.sound(operation) ** 2)))

    def parts(self, clip: PlannedClip, severity: tuple[float, float]) -> dict[str, np.ndarray]:
        """The sounds of the points in the room during a clip: {"machine" or background source: (source samples,)}."""
        machine_rng, scene_rng, grade_rng = generator(self._seed, self._name, clip.name).spawn(3)
        grade = grade_rng.uniform(*severity) if clip.fault else 0.0
        operation = make_operation(self.acoustics.source_samples, clip.condition, machine_rng, clip.fault, grade)
        gain = self._machine_gain * 10 ** (scene_rng.normal(0, 0.5) / 20)
        sounds = {"machine": gain * self.machine.sound(operation)}
        # Background sources, scaled to a ratio to the machine that is drawn for this clip.
        ratio_db = scene_rng.uniform(*self.machine.near_ratio_db) - clip.condition.background_db
        shares = scene_rng.dirichlet(np.full(len(clip.condition.background), CONCENTRATION))
        level = MACHINE_LEVEL / 10 ** (ratio_db / 20)
        for kind, share in zip(clip.condition.background, shares, strict=True):
            sound = SOURCES[kind](scene_rng, self.acoustics.source_samples)
            sounds[kind] = level * np.sqrt(share) * sound
        return sounds

    def diffuse(self, clip: PlannedClip) -> np.ndarray:
        """Noise that reaches both microphones from all sides, (2, clip samples): alike in spectrum and level.

        It is independent between them: sinc(2 pi f d / c), the coherence of a diffuse field, is below 0.1 from 250 Hz
        for microphones d = 2.5 m apart (Cook et al., "Measurement of correlation coefficients in reverberant sound
        fields", J. Acoust. Soc. Am. 27, 1955). No cancelling takes it out.
        """
        rng = generator(self._seed, self._name, clip.name, "diffuse")
        level = MACHINE_LEVEL * 10 ** ((rng.uniform(*DIFFUSE_DB) + clip.condition.background_db) / 20)
        gain = band(60, 300 * 5 ** rng.uniform(), 1)
        return level * np.stack([coloured_noise(rng, self.acoustics.clip_samples, gain) for _ in range(2)])

    def record(self, clip: PlannedClip, severity: tuple[float, float]) -> np.ndarray:
        """The clip, (samples, 2) int16: machine, background, diffuse and the microphones' own noise, near first."""
        signal = self.acoustics.record(self.parts(clip, severity)) + self.diffuse(clip)
        sensor_rng = generator(self._seed, self._name, clip.name, "sensor")
        signal = signal + SENSOR_NOISE_LEVEL * sensor_rng.standard_normal(signal.shape, dtype=np.float32)
        return np.clip(np.rint(signal.T * 32768), -32768, 32767).astype(np.int16)


def simulate_machine(
    machine: str,
    folder: str | Path,
    *,
    seed: int,
    seconds: float,
    train_source: int,
    train_target: int,
    test_per_cell: int,
    severity: tuple[float, float],
) -> list[Path]:
    """Write `<folder>/train/*.wav` and `<folder>/test/*.wav` under challenge names; return them, train first, sorted.

    Files are 16-bit PCM, 16 kHz, two channels (0 near, 1 far). Each of the four test cells (source or target, normal
    or anomaly) holds `test_per_cell` clips; a fault's grade is drawn uniformly from `severity`, 0 < low <= high <= 1.
    The same arguments give the same bytes, and a clip depends on the seed, the machine, its own name, its length and
    the severity only, not on how many others are made. Raises UserError for a machine, count, length, severity, seed
    or folder that cannot be used.
    """
    # Here, since what is refused changes no clip: another schema is no reason to simulate again (digest.py).
    from workflow_lib.config.faults import schema_faults
    from workflow_lib.config.schema import definition

    folder = Path(folder)
    counts = {"train_source": train_source, "train_target": train_target, "test_per_cell": test_per_cell}
    given = {"seed": seed, "seconds": seconds, **counts, "severity": list(severity)}
    faults = schema_faults(given, definition("simulate"), "simulate")
    if not faults and severity[0] > severity[1]:
        faults = [f"simulate.severity: {severity[0]:g} is above {severity[1]:g}: write the lowest first"]
    if faults:
        raise UserError("\n".join(faults))
    clips = plan_clips(load_machine(machine), **counts)
    paths = [folder / clip.split / clip.name for clip in clips]
    # Clips of another plan would silently become part of the suite; nothing is deleted.
    if strangers := sorted(set(folder.glob("*/[!.]*.wav")).difference(paths)):
        raise UserError(
            f"simulate: {folder} holds {len(strangers)} clips that this simulation does not make, "
            f"the first is {strangers[0].name}: remove the folder or choose another"
        )
    try:
        for split in ("train", "test"):
            (folder / split).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"simulate: cannot make {error.filename}: {error.strerror}: choose another folder") from error
    studio = Studio(machine, seed, seconds)
    for clip, path in zip(clips, paths, strict=True):
        with replacing(path) as beside, beside.open("wb") as file:
            soundfile.write(file, studio.record(clip, severity), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return paths
