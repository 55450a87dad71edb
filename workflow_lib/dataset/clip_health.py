"""Health of recordings: level, coherence, clipping, silence, digest and more of every clip, before any model uses it.

Each clip is read once, and only a few are in memory at a time.
"""

import hashlib
from collections.abc import Sequence
from math import log10
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal.windows import hann

from workflow_lib.channels import cancelled_spectrum, stft
from workflow_lib.config.channel_names import CHANNELS
from workflow_lib.csv_rows import write_rows
from workflow_lib.dataset.audio import read_clip
from workflow_lib.dataset.health_table import ClipHealth
from workflow_lib.dataset.loader import prefetch
from workflow_lib.dataset.manifest import Clip
from workflow_lib.progress import Progress

FULL_SCALE = 1 - 1.5 / 2**15  # the last step of 16 bits, whatever the sample format
CLIPPED_RUN = 3  # samples: one or two at full scale may be an honest peak
SILENT_DBFS = -80.0  # about three steps of 16 bits: no microphone is that quiet
WINDOW, HOP = 1024, 512  # samples, of the coherence
LEAST_WINDOWS = 8  # with fewer, coherence depends more on their number than on the sound
BLOCK_WINDOWS = 128  # spectra in memory at a time
TAPS = 9  # of the cancellation
LEAST_WINDOWS_PER_TAP = 4  # with n, taps predict about 1 / n of unrelated noise
MOST_WINDOWS = 1000  # a cancellation needs all spectra in memory: of long clips, the first 32 s at 16 kHz

Waveform = NDArray[np.float32]


def check_machine(clips: Sequence[Clip], path: Path, workers: int = 1) -> None:
    """Measure all clips of a machine into a table with one row a clip."""
    with Progress(len(clips), f"check {clips[0].machine}") as progress:
        rows = []
        for row in prefetch(measure_clip, clips, workers):
            rows.append(row)
            progress.add(1)
    write_rows(path, ClipHealth, rows)


def measure_clip(clip: Clip) -> ClipHealth:
    """Read and measure one clip, at its own sample rate: resampling would hide clipping."""
    waveform = read_clip(clip.path, clip.sample_rate)
    levels = [level_dbfs(channel) for channel in waveform[:2]]
    silent = [name for name, level in zip(CHANNELS, levels, strict=False) if level is None or level < SILENT_DBFS]
    # Of the samples, not of the file: a copy in another container or sample format has the same digest.
    shape = f"{waveform.shape}\n".encode()
    near, far = levels if len(levels) == 2 else (levels[0], None)
    return ClipHealth(
        machine=clip.machine,
        clip=clip.clip,
        split=clip.split,
        domain=clip.domain or "",
        label=clip.label or "",
        attributes=clip.attributes,
        channels=len(waveform),
        seconds=clip.frames / clip.sample_rate,
        near_dbfs=near,
        far_dbfs=far,
        near_minus_far_db=None if near is None or far is None else near - far,
        coherence=None if silent or len(waveform) < 2 else coherence(waveform[:2]),
        removed_by_far=None if silent or len(waveform) < 2 else removed_by_far(waveform[:2]),
        clipped=max(clipped_share(channel) for channel in waveform[:2]),
        silent=" ".join(silent),
        same_channels=len(waveform) > 1 and not silent and np.array_equal(waveform[0], waveform[1]),
        digest=hashlib.sha256(shape + np.ascontiguousarray(waveform).tobytes()).hexdigest()[:32],
    )


def level_dbfs(channel: Waveform) -> float | None:
    """RMS of (samples,) in dB below full scale, a constant offset aside; None for digital silence.

    A sine at full scale has -3.01 dBFS.
    """
    rms = float(channel.std(dtype=np.float64))
    return 20 * log10(rms) if rms else None


def coherence(waveform: Waveform) -> float | None:
    """Magnitude-squared coherence of near and far (2, samples), averaged over frequencies; None where it is too short.

    As `scipy.signal.coherence(near, far, nperseg=1024)` with its Hann window, half overlap and removed means; a tenth
    of its time, and without all spectra of a long clip in memory.
    """
    if waveform.shape[1] < WINDOW + (LEAST_WINDOWS - 1) * HOP:
        return None
    frames = sliding_window_view(waveform, WINDOW, axis=1)[:, ::HOP]  # (2, windows, samples), a view
    window = hann(WINDOW, sym=False).astype(np.float32)
    powers, cross = np.zeros((2, WINDOW // 2 + 1)), np.zeros(WINDOW // 2 + 1, complex)
    for start in range(0, frames.shape[1], BLOCK_WINDOWS):
        block = frames[:, start : start + BLOCK_WINDOWS]
        spectra = scipy.fft.rfft((block - block.mean(axis=2, keepdims=True)) * window)
        powers += (spectra.real**2 + spectra.imag**2).sum(axis=1)
        cross += (spectra[0] * spectra[1].conj()).sum(axis=0)
    product = powers[0] * powers[1]
    audible = product > 0
    return float((np.abs(cross[audible]) ** 2 / product[audible]).mean()) if audible.any() else None


def removed_by_far(waveform: Waveform) -> float | None:
    """Share of near's energy that the channel `cancelled` lacks, of a clip (2, samples); None where it is too short.

    An offset of the microphone, which far predicts well, is no sound and left out.
    """
    if waveform.shape[1] < TAPS * LEAST_WINDOWS_PER_TAP * HOP:
        return None
    start = waveform[:, : MOST_WINDOWS * HOP].astype(np.float64)
    near, far = (stft(channel, WINDOW) for channel in start - start.mean(axis=1, keepdims=True))
    before, after = ((s.real**2 + s.imag**2).sum() for s in (near, cancelled_spectrum(near, far, TAPS)))
    return 1 - float(after / before)


def clipped_share(channel: Waveform) -> float:
    """Share of (samples,) at full scale in runs of three or more."""
    full = np.abs(channel) >= FULL_SCALE
    if not full.any():
        return 0.0
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= CLIPPED_RUN].sum() / channel.size)
