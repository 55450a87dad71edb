"""Pseudo-anomalies of one machine: normal training clips that its training leaves out, untouched and disturbed.

They rank branches without a label and without a real fault: an indication, no more (docs/fusion.md). Each kind of
disturbance is added at each level, the machine-to-disturbance ratio in dB at the near microphone. At the far one it is
weaker and later, as a fault at the machine would be: the channel `cancelled` treats it as the machine.
"""

import logging
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from workflow_lib.dataset.audio import FLOATING, AudioInfo, audio_info, read_clip
from workflow_lib.dataset.clip_name import NO_ATTRIBUTE, fold, parse_clip_name
from workflow_lib.dataset.survey import training_clips
from workflow_lib.errors import UserError
from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.model import generator
from workflow_lib.simulation.signals import Mode, band, coloured_noise, impulses, periodic_wave, ring, shaft_turns

log = logging.getLogger(__name__)

ANOTHER = "machine"  # the kind that needs a second machine
KINDS = ("noise", "tone", "click", ANOTHER)
LARGEST_SHARE = 5  # of a domain's clips, at most one in so many is left out of training
FAR_DB = -12.0  # level of a disturbance at the far microphone, relative to near
FAR_DELAY_S = 0.008  # 2.7 m further
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def disturb_machine(
    machine: str,
    train: Path,
    another: Path | None,
    folder: Path,
    *,
    left_out: int,
    levels_db: Sequence[float],
    seed: int,
) -> None:
    """Write a machine whose test clips are training clips of another folder: folder/train, folder/test.

    train: its training clips; another: those of a second machine, None where there is none, which leaves its kind out.
    Of the clips of each domain, sorted by name, at most `left_out` and at most one in five, evenly spaced, are the
    test: as they are (normal), and disturbed (anomaly) by each kind at each level. All others stay the training clips.
    A disturbed clip depends on seed, machine, its own name, kind and level, and for one kind on the clips of the second
    machine. It is stored in the format of the original; where the sum would exceed the full scale of whole numbers,
    machine and disturbance are scaled down together. A silent clip is not disturbed. UserError: too few clips.
    """
    clips = training_clips(train)
    chosen = _chosen([(clip.path, str(clip.name and clip.name.domain)) for clip in clips], left_out)
    if not chosen:
        raise UserError(f"{train}: search: pseudo leaves out one normal training clip in five: there are {len(clips)}")
    others = [clip.path for clip in training_clips(another)] if another else []
    if not others:
        log.warning("%s: no second machine: no pseudo-anomaly has another machine's sound", machine)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    for clip in clips:
        name = pseudo_name(clip.path.name) if clip.path in chosen else clip.path.name
        _link(clip.path, folder / ("test" if clip.path in chosen else "train") / name)
    scaled = 0
    for path in chosen:
        info = audio_info(path)
        waveform = read_clip(path, info.sample_rate)
        for kind in KINDS if others else KINDS[:-1]:
            sound = disturbance(kind, generator(seed, machine, path.name, kind), info, others)
            for level_db in levels_db:
                if (clip_of_level := disturbed(waveform, sound, level_db)) is None:
                    log.warning("%s: silent, or its disturbance is: not disturbed (%s)", path, kind)
                    break
                scaled += _write(folder / "test" / pseudo_name(path.name, kind, level_db), clip_of_level, path, info)
    if scaled:
        log.info("%s: %d clips were scaled down to stay within full scale", machine, scaled)


def _chosen(clips: Sequence[tuple[Path, str]], limit: int) -> list[Path]:
    """Paths that training leaves out: of each domain at most `limit` and one in five, evenly spaced."""
    chosen = []
    for domain in ("source", "target"):
        paths = [path for path, of_domain in clips if of_domain == domain]
        chosen += [paths[index] for index in evenly_spaced(len(paths), min(limit, len(paths) // LARGEST_SHARE))]
    return chosen


def evenly_spaced(count: int, number: int) -> list[int]:
    """Indices of `number` among `count` things: the middles of parts of equal size."""
    return [(2 * part + 1) * count // (2 * number) for part in range(number)]


# ---- names -----------------------------------------------------------------------------------------------------------


def pseudo_name(name: str, kind: str = "", level_db: float = 0.0) -> str:
    """Name of a training clip as a test clip: untouched, or with kind and level as its first two attributes."""
    stem, dot, suffix = name.rpartition(".")
    word, section, domain, _, _, number, *attributes = stem.split("_", 6)
    if kind:
        rest = [text for text in attributes if text and fold(text) != fold(NO_ATTRIBUTE)]
        attributes = [f"disturbance_{kind}_ratio_{level_db:g}", *rest]
    fields = [word, section, domain, "test", "anomaly" if kind else "normal", number, *attributes]
    return "_".join(fields) + dot + suffix


def disturbance_kind(name: str) -> str:
    """Kind of a disturbed clip, by its name; "" for any other clip."""
    clip = parse_clip_name(name)
    key, value = clip.attributes[0] if clip.attributes else ("", "")
    return value if key == "disturbance" and clip.label == "anomaly" else ""


# ---- sounds ----------------------------------------------------------------------------------------------------------


def disturbance(kind: str, rng: np.random.Generator, info: AudioInfo, others: Sequence[Path] = ()) -> NDArray:
    """One disturbance in a unit of its own, at a clip's rate: (frames + delay to the far microphone,) float64.

    others: training clips of a second machine, of which one is drawn.
    """
    samples = info.frames + far_delay(info.sample_rate)
    if kind == ANOTHER:
        return _another_machine(rng, samples, info.sample_rate, others)
    common = math.gcd(info.sample_rate, SAMPLE_RATE_HZ)
    up, down = info.sample_rate // common, SAMPLE_RATE_HZ // common
    sound = {"noise": _band_noise, "tone": _tones, "click": _clicks}[kind](rng, -(-samples * down // up))
    return sound[:samples] if up == down else resample_poly(sound, up, down)[:samples]


def far_delay(sample_rate: int) -> int:
    """Samples by which a disturbance reaches the far microphone later."""
    return round(FAR_DELAY_S * sample_rate)


def _band_noise(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Noise of one octave, its centre between 250 and 5000 Hz."""
    centre_hz = 250 * 20 ** rng.uniform()
    return coloured_noise(rng, samples, band(centre_hz / math.sqrt(2), centre_hz * math.sqrt(2), 4)).astype(np.float64)


def _tones(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """A tone between 100 and 1500 Hz with three harmonics, as steady as a shaft."""
    orders = np.exp(rng.normal(0, 0.6, 4) + 2j * np.pi * rng.uniform(size=4))
    return periodic_wave(shaft_turns(rng, samples, 100 * 15 ** rng.uniform()), orders)


def _clicks(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Impacts at random, two to ten a second, on a piece with three resonances."""
    seconds = samples / SAMPLE_RATE_HZ
    count = max(1, rng.poisson(rng.uniform(2, 10) * seconds))
    times_s = rng.uniform(FAR_DELAY_S, 0.95 * seconds, count)
    modes = [Mode(f, rng.uniform(0.008, 0.03), 1.0) for f in rng.uniform(500, 6000, 3)]
    return ring(impulses(times_s, rng.uniform(0.4, 1.3, count), samples), modes)


def _another_machine(rng: np.random.Generator, samples: int, rate: int, others: Sequence[Path]) -> NDArray[np.float64]:
    """The near channel of one of the clips from a random start, repeated where it is shorter."""
    near = read_clip(others[int(rng.integers(len(others)))], rate, resample=True)[0].astype(np.float64)
    return np.resize(np.roll(near - near.mean(), -int(rng.integers(len(near)))), samples)


def disturbed(waveform: NDArray, sound: NDArray, level_db: float) -> NDArray[np.float64] | None:
    """A clip (channels, samples) with a sound (samples + delay,), which near hears `level_db` below the clip.

    The ratio is that of the powers in the near channel, without its mean. None where one of the two is silent.
    """
    clip = waveform.astype(np.float64)
    delay = len(sound) - clip.shape[1]
    at_near = sound[delay:]
    machine, other = np.var(clip[0]), np.mean(at_near**2)
    if not machine or not other:
        return None
    gain = math.sqrt(machine / other) * 10 ** (-level_db / 20)
    clip[0] += gain * at_near
    clip[1:] += gain * 10 ** (FAR_DB / 20) * sound[: clip.shape[1]]
    return clip


# ---- files -----------------------------------------------------------------------------------------------------------


def _link(path: Path, place: Path) -> None:
    """The same file under another name; a copy where the file system cannot link."""
    try:
        os.link(os.path.realpath(path), place)
    except OSError:
        shutil.copyfile(path, place)


def _write(path: Path, waveform: NDArray[np.float64], original: Path, info: AudioInfo) -> bool:
    """Write a clip in the original's format, 16-bit where that is a compressed one; whether it was scaled down."""
    form = "FLAC" if soundfile.info(os.fsencode(original)).format == "FLAC" else "WAV"
    if info.subtype in FLOATING:
        data, subtype, scaled = waveform.astype(np.float32), "FLOAT", False
    else:
        subtype = info.subtype if info.subtype in BITS else "PCM_16"
        full = 2.0 ** (BITS[subtype] - 1)
        peak, top = float(np.abs(waveform).max()), 1 - 1 / full
        scaled = peak > top
        waveform = waveform * (top / peak) if scaled else waveform
        data = (np.rint(waveform * full) * (2.0**31 / full)).astype(np.int32)  # libsndfile takes the upper bits
    with path.open("wb") as file:
        soundfile.write(file, data.T, info.sample_rate, format=form, subtype=subtype)
    return scaled
