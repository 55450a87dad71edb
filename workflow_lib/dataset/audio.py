"""Reading clips: the checks that every recording must pass, and its samples as float32."""

import math
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from workflow_lib.dataset.clip_name import Fault, FaultError

FLOATING = ("FLOAT", "DOUBLE")  # the only sample formats that can hold NaN or infinity
UNKNOWN_SIZE = 0xFFFFFFFF  # data chunk of a WAV written to a pipe, or of RF64 (its ds64 chunk has the true size)
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a FLAC stream without a length
SCAN_FRAMES = 1 << 16
LARGEST_SAMPLE = 100.0  # of floating-point formats, whose full scale is 1
COPY_AGAIN = "copy or record it again, or remove it"
ZERO_LENGTH = ("zero length, it holds no samples", COPY_AGAIN)


@dataclass(frozen=True)
class AudioInfo:
    """Facts from the header of a sound file, after all checks."""

    channels: int
    sample_rate: int
    frames: int
    subtype: str  # libsndfile's name of the sample format: PCM_16, FLOAT, …


def audio_info(path: str | Path) -> AudioInfo:
    """Check one recording and return the facts of its header; FaultError names what is wrong and what to do.

    Refused: unreadable, truncated, zero length, NaN or infinite samples. Samples are read only where the header is not
    enough: floating-point formats (NaN) and formats whose true length only decoding shows (FLAC).
    """
    proven = _check_length(path)
    with _open_sound(path) as (sound, info):
        if info.subtype in FLOATING or not proven:
            _check_samples(path, info, _blocks(sound))
    return info


def read_clip(path: str | Path, sample_rate: int = 16000, resample: bool = False) -> NDArray[np.float32]:
    """Read one recording: (channels, samples) float32 in [-1, 1]; integers are divided by 2^15 or 2^23.

    Another rate than sample_rate is an error unless resample is set; then scipy.signal.resample_poly converts with its
    default anti-aliasing filter (zero phase, Kaiser 5.0) to ceil(samples × sample_rate / own rate) samples.
    Raises FaultError for everything audio_info refuses.
    """
    proven = _check_length(path)
    with _open_sound(path) as (sound, info):
        if not resample and (fault := rate_fault(path, info, sample_rate)):
            raise FaultError(fault.path, fault.problem, fault.remedy)
        # A damaged FLAC header can state more samples than fit the memory: read in blocks.
        blocks = [sound.read(dtype="float32", always_2d=True)] if proven else list(_blocks(sound))
    _check_samples(path, info, blocks)
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)  # spares a copy
    waveform = np.ascontiguousarray(samples.T)
    if info.sample_rate == sample_rate:
        return waveform
    from scipy.signal import resample_poly  # slow to import, and only a suite with another sample rate needs it

    divisor = math.gcd(info.sample_rate, sample_rate)
    resampled = resample_poly(waveform, sample_rate // divisor, info.sample_rate // divisor, axis=1)
    return resampled.astype(np.float32, copy=False)


def rate_fault(path: str | Path, info: AudioInfo, sample_rate: int, suite: str = "<name>") -> Fault | None:
    """The fault of a clip with another sample rate than the one wanted, or None."""
    if info.sample_rate == sample_rate:
        return None
    problem = f"sample rate {info.sample_rate} Hz where {sample_rate} Hz is needed"
    return Fault(str(path), problem, f"convert it, or set suites.{suite}.resample: true")


def _blocks(sound: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while len(block := sound.read(SCAN_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _check_samples(path: str | Path, info: AudioInfo, blocks: Iterable[NDArray[np.float32]]) -> None:
    """Check all samples of a clip, given in blocks of (frames, channels)."""
    frames = 0
    for block in blocks:
        if info.subtype in FLOATING and not np.isfinite(block).all():
            first = frames + int(np.argmin(np.isfinite(block).all(axis=1)))
            raise FaultError(path, f"NaN or infinite sample at {first / info.sample_rate:.3f} s", COPY_AGAIN)
        if info.subtype in FLOATING and len(block) and np.abs(block).max() > LARGEST_SAMPLE:
            raise FaultError(path, f"samples up to {np.abs(block).max():.3g}", "scale it to lie within -1 and 1")
        frames += len(block)
    if frames < info.frames:
        raise FaultError(path, f"truncated, {frames} of {info.frames} samples are there", COPY_AGAIN)


def _check_length(path: str | Path) -> bool:
    """Refuse a path that is no file, empty or cut off; True if the header proves that every sample is there.

    libsndfile silently shortens a WAV whose data chunk reaches beyond the end of the file: both are compared here.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise FaultError(path, "no regular file", "put a WAV file in its place, or remove it")
        if status.st_size == 0:
            raise FaultError(path, *ZERO_LENGTH)
        with Path(path).open("rb") as file:
            extent = _data_chunk(file)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise FaultError(path, problem, "mend the file or its permissions, or remove it") from error
    if extent is None:
        return False
    start, declared = extent
    there = status.st_size - start
    if declared > there:
        raise FaultError(path, f"truncated, {there} of {declared} bytes of sound are there", COPY_AGAIN)
    return True


def _data_chunk(file: BinaryIO) -> tuple[int, int] | None:
    """Offset and declared size in bytes of a WAV's data chunk, after any other chunks; None if it is unknown.

    Walks RIFF, big-endian RIFX and RF64 (EBU Tech 3306); the coding (WAVE_FORMAT_EXTENSIBLE or other) does not matter.
    """
    magic, _, form = struct.unpack("4s4s4s", file.read(12).ljust(12))
    if magic not in (b"RIFF", b"RIFX", b"RF64") or form != b"WAVE":
        return None
    order, long_size = ">" if magic == b"RIFX" else "<", None
    while len(header := file.read(8)) == 8:
        chunk, size = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        if chunk == b"ds64":
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        if chunk == b"data" and size == UNKNOWN_SIZE:
            return None if long_size is None else (start, long_size)
        if chunk == b"data":
            return start, size
        file.seek(start + size + size % 2)  # chunks are padded to an even length
    return None


@contextmanager
def _open_sound(path: str | Path) -> Iterator[tuple[soundfile.SoundFile, AudioInfo]]:
    sound = None
    try:
        with soundfile.SoundFile(os.fsencode(path)) as sound:  # soundfile itself cannot encode every name
            if sound.frames == UNKNOWN_FRAMES:
                raise FaultError(path, "its header does not say how long it is", "write it again as WAV")
            if sound.frames == 0:
                raise FaultError(path, *ZERO_LENGTH)
            yield sound, AudioInfo(sound.channels, sound.samplerate, sound.frames, sound.subtype)
    except soundfile.SoundFileError as error:
        problem = "unreadable" if sound is None else "truncated or damaged"
        reason = getattr(error, "error_string", str(error)).strip(" .")
        raise FaultError(path, f"{problem} sound ({reason})", "copy it again, or convert it to 16-bit WAV") from error
