"""Pictures and sounds of the few clips that a report shows: spectrograms of near and far, and small audio files."""

import io
import json
import os
from collections.abc import Iterable, Mapping
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import resample_poly, stft

from workflow_lib.config.channel_names import CHANNELS
from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import Clip, read_manifest
from workflow_lib.errors import UserError
from workflow_lib.forked import forked_map
from workflow_lib.report.charts.drawing import figure_style
from workflow_lib.report.sections.clip_gallery import INDEX
from workflow_lib.report.sections.entry_order import shown_clips
from workflow_lib.report.suite_tables import read_suite

WINDOW_SAMPLES = 1024
HOP_SAMPLES = 512
BINS_PER_ROW = 4  # frequency bins whose powers share a row of the picture
SPAN_DB = 70.0  # from the loudest point of both channels down
SOUND_RATE_HZ = 16000
# MP3, as every browser plays it and its bytes are the same each time; 0.895 is 24 kbit/s between 160 (0) and 8 (1).
SOUND = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.895}
LOUDEST = 0.9  # of full scale
COLOURS = 48  # of a picture's palette
_INK = "#74818c"  # readable on the page's light and on its dark ground


def illustrate_clips(
    suite: str,
    tables: Path,
    manifests: Iterable[Path],
    reading: Mapping[str, Any],
    folder: Path,
    *,
    wrong_clips: int,
    audio: bool,
    workers: int = 1,
) -> None:
    """Write pictures, sounds and their index into a new folder; only the recordings that are shown are read.

    `workers` processes draw; their number changes no byte.
    """
    found = {(clip.machine, clip.clip): clip for m in manifests for clip in read_manifest(m) if clip.split == "test"}
    wanted = shown_clips(read_suite(suite, Path(tables)), wrong_clips)
    if missing := [f"{clip} of {machine}" for machine, clip in wanted if (machine, clip) not in found]:
        raise UserError(f"{tables}: ranked, but not among the recordings: {', '.join(missing)}: index {suite} again")
    folder.mkdir(parents=True)
    clips = forked_map(lambda key: _illustrate(found[key], reading, folder, audio), list(wanted), workers)
    index = json.dumps({"suite": suite, "clips": clips}, indent=1) + "\n"
    (folder / INDEX).write_text(index, encoding="utf-8")


def _illustrate(clip: Clip, reading: Mapping[str, Any], folder: Path, audio: bool) -> dict[str, Any]:
    """Write the files of one clip; what the index says of it."""
    waveform = read_waveform(clip, reading)[: len(CHANNELS)]
    rate_hz = reading["sample_rate"]
    channels = CHANNELS[: len(waveform)]
    place = folder / clip.machine
    place.mkdir(exist_ok=True)  # another process may have made it
    picture = place / f"{clip.clip}.png"
    size = write_picture(picture, waveform, rate_hz)
    names = [f"{clip.machine}/{clip.clip}.{channel}.mp3" for channel in channels] if audio else []
    for name, sound in zip(names, small_sound(waveform, rate_hz), strict=False):
        soundfile.write(os.fsencode(folder / name), sound, SOUND_RATE_HZ, **SOUND)
    return {
        "machine": clip.machine,
        "clip": clip.clip,
        "picture": f"{clip.machine}/{picture.name}",
        "width": size[0],
        "height": size[1],
        "sounds": dict(zip(channels, names, strict=False)),
    }


def small_sound(waveform: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """(channels, samples) at 16 kHz, both made louder by the same factor: far stays as much quieter than near."""
    divisor = gcd(rate_hz, SOUND_RATE_HZ)
    if rate_hz != SOUND_RATE_HZ:
        waveform = resample_poly(waveform, SOUND_RATE_HZ // divisor, rate_hz // divisor, axis=1)
    loudest = float(np.abs(waveform).max())
    return (waveform * (LOUDEST / loudest if loudest else 1.0)).astype(np.float32)


def spectrogram_db(waveform: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Power in dB (channels, rows, frames) over linear frequency, 0 Hz first; a frame every 512 samples."""
    overlap = WINDOW_SAMPLES - HOP_SAMPLES
    # Whole windows only: padding would draw dark edges that no microphone recorded.
    _, _, spectrum = stft(waveform, rate_hz, nperseg=WINDOW_SAMPLES, noverlap=overlap, boundary=None, padded=False)
    power = np.abs(spectrum[:, :-1]) ** 2
    rows = power.reshape(len(power), -1, BINS_PER_ROW, power.shape[-1]).mean(axis=2)
    return 10.0 * np.log10(np.maximum(rows, 1e-20))


def write_picture(path: Path, waveform: NDArray[np.float32], rate_hz: int) -> tuple[int, int]:
    """Spectrograms of (channels, samples) side by side on one colour scale as a small PNG; its size in pixels."""
    target = io.BytesIO()
    with figure_style():
        _figure(spectrogram_db(waveform, rate_hz), waveform.shape[1] / rate_hz, rate_hz).savefig(
            target, format="png", dpi=160, transparent=True, metadata={"Software": None}
        )
    with Image.open(target) as full:
        # A palette makes the file a fourth as large; the fast octree keeps transparency.
        full.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(path, format="PNG", optimize=True)
        return full.size


def _figure(power_db: NDArray[np.float64], seconds: float, rate_hz: int) -> Figure:
    # Places in inches: a layout engine would take longer than all the rest.
    wide, high, left, panel, gap = 1.72 * len(power_db) + 0.72, 1.5, 0.45, 1.6, 0.12
    figure = Figure(figsize=(wide, high))
    top = float(power_db.max())
    for place, (name, picture) in enumerate(zip(CHANNELS, power_db, strict=False)):
        axes = figure.add_axes(((left + place * (panel + gap)) / wide, 0.26, panel / wide, 0.61))
        drawn = axes.imshow(
            picture,
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, 0.0, rate_hz / 2),
            vmin=top - SPAN_DB,
            vmax=top,
            cmap="magma",
            interpolation="antialiased",
        )
        axes.set_title(name, size=8, color=_INK)
        axes.set_xlabel("time in s", size=7, color=_INK, labelpad=1)
        _tone(axes, "Hz" if place == 0 else "")
    bar = figure.add_axes(((wide - 0.33) / wide, 0.26, 0.06 / wide, 0.61))
    figure.colorbar(drawn, cax=bar)
    bar.set_title("dB", size=7, color=_INK)
    _tone(bar, "")
    return figure


def _tone(axes: Axes, label: str) -> None:
    """Writing in the one colour that can be read on both grounds; only the first panel counts the hertz."""
    axes.tick_params(labelsize=6.5, labelcolor=_INK, color=_INK, pad=1.5)
    axes.locator_params(axis="y", nbins=5)
    if label:
        axes.set_ylabel(label, size=7, color=_INK, labelpad=1)
    elif axes.images:
        axes.set_yticklabels([])
