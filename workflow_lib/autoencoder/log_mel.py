"""Log-mel frames and five-frame vectors of the official autoencoder baseline, without librosa (paper, section 2.1).

At 16 kHz a frame is 1024 samples (64 ms), the hop 512 samples (32 ms), and a frame becomes 128 mel coefficients in dB.
Frames are centred on multiples of the hop and the ends are padded with zeros. The result is bit for bit that of librosa
0.11 where numpy, its BLAS and its vector instructions are the same; between processors the last digit may differ.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workflow_lib.encoders.mel_filters import slaney_filters
from workflow_lib.errors import UserError

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 1024
HOP_SAMPLES = 512
MEL_BANDS = 128
FRAMES = 5  # of a vector
VECTOR_SIZE = FRAMES * MEL_BANDS
BASIS = WINDOW_SAMPLES // 2 + 1  # frequencies of a spectrum
FRAMES_AT_ONCE = 64  # frames whose float64 spectra fit the cache
FLOOR = 2.220446049250313e-16  # power; digital silence becomes about -156.5 dB
# Periodic window (1024,) float64, with scipy's rounding: 0.5 + 0.5 cos(x) for x from -pi.
HANN = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, WINDOW_SAMPLES + 1)[:-1])
CHANNEL_INPUTS = ("near", "far", "near-far")


def log_mel(waveform: ArrayLike) -> NDArray[np.float32]:
    """Log-mel frames (samples // 512 + 1, 128) in dB of one channel (samples,) in [-1, 1] at 16 kHz.

    UserError for more than one channel and for clips that give fewer than five frames (2048 samples).
    """
    # The order of the operands is part of the recipe: with another one the matrix product rounds differently.
    mel = np.dot(mel_filterbank(), _power(_padded(waveform)).T)
    np.log10(np.maximum(mel, FLOOR, out=mel), out=mel)
    return np.ascontiguousarray(np.multiply(mel, 10.0, out=mel).T)


def five_frame_vectors(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (frames - 4, 640): each frame (128,) with the four that follow it, one after the other."""
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    if frames.ndim != 2 or frames.shape[1] != MEL_BANDS or len(frames) < FRAMES:
        raise UserError(
            f"frames of shape {frames.shape}: the autoencoder needs at least {FRAMES} of {MEL_BANDS} values"
        )
    row, value = frames.strides
    shape = (len(frames) - FRAMES + 1, VECTOR_SIZE)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(frames, shape, (row, value)))


def log_mel_vectors(waveform: ArrayLike) -> NDArray[np.float32]:
    """Five-frame log-mel vectors (vectors, 640) in dB of one channel (samples,) at 16 kHz."""
    return five_frame_vectors(log_mel(waveform))


def channel_frames(clip: ArrayLike, channels: str) -> NDArray[np.float32]:
    """Frames (frames, 128) in dB that the autoencoder sees of a clip (channels, samples).

    `near` and `far` are the log-mel frames of channel 0 and 1, `near-far` is their difference, the log-mel contrast.
    """
    clip = np.atleast_2d(np.asarray(clip, dtype=np.float32))
    if channels not in CHANNEL_INPUTS:
        raise UserError(f"autoencoder input {channels!r}: write one of {', '.join(CHANNEL_INPUTS)}")
    if channels != "near" and len(clip) < 2:
        raise UserError(f"autoencoder input {channels!r} needs two channels, the clip has {len(clip)}: use input: near")
    if channels == "near-far":
        return log_mel(clip[0]) - log_mel(clip[1])
    return log_mel(clip[CHANNEL_INPUTS.index(channels)])


@lru_cache(maxsize=1)
def mel_filterbank() -> NDArray[np.float32]:
    """Triangular filters (128, 513) float32 on Slaney's mel scale, 0 Hz to 8 kHz, each of unit area."""
    triangles, unit_area = slaney_filters(BASIS, MEL_BANDS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE)
    # Rounded before and after the normalisation, as librosa does.
    filters = (triangles.astype(np.float32) * unit_area).astype(np.float32)
    filters.setflags(write=False)
    return filters


def _padded(waveform: ArrayLike) -> NDArray[np.float32]:
    """The channel with half a window of zeros at both ends; not mirrored: librosa pads so since 0.10."""
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise UserError(f"log-mel takes one channel (samples,), got an array of shape {samples.shape}: pass one row")
    if len(samples) // HOP_SAMPLES + 1 < FRAMES:
        least = (FRAMES - 1) * HOP_SAMPLES
        raise UserError(f"clip of {len(samples)} samples is too short: the autoencoder needs at least {least}")
    return np.pad(samples, WINDOW_SAMPLES // 2)


def _power(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power spectrum (frames, 513); the transform is float64 and rounded to single precision before the magnitude."""
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    power = np.empty((len(frames), BASIS), dtype=np.float32)
    # The same arrays for every part: new ones would cost as much as the arithmetic between the transforms.
    windowed = np.empty((FRAMES_AT_ONCE, WINDOW_SAMPLES))
    spectrum, rounded = (np.empty((FRAMES_AT_ONCE, BASIS), dtype=kind) for kind in (np.complex128, np.complex64))
    for begin in range(0, len(frames), FRAMES_AT_ONCE):
        part = frames[begin : begin + FRAMES_AT_ONCE]
        here = slice(0, len(part))
        np.copyto(windowed[here], part)
        np.multiply(windowed[here], HANN, out=windowed[here])
        np.fft.rfft(windowed[here], axis=-1, out=spectrum[here])
        np.copyto(rounded[here], spectrum[here], casting="same_kind")
        magnitude = power[begin : begin + FRAMES_AT_ONCE]
        np.abs(rounded[here], out=magnitude)
        np.square(magnitude, out=magnitude)
    return power
