"""Reading sound: exact samples of every format, and each kind of broken file refused in one line."""

import os
import struct

import numpy as np
import pytest
import soundfile

from workflow_lib.dataset.audio import audio_info, rate_fault, read_clip
from workflow_lib.dataset.clip_name import FaultError

RATE = 16000


def noise(samples: int = 4000, channels: int = 2) -> np.ndarray:
    """(samples, channels) float64 within ±0.5."""
    return np.random.default_rng(7).uniform(-0.5, 0.5, (samples, channels))


def write(path, samples=None, rate=RATE, **options):
    soundfile.write(path, noise() if samples is None else samples, rate, **options)
    return path


def chunk(name: bytes, body: bytes, declared: int | None = None, pad: bool = True, order: str = "<") -> bytes:
    size = len(body) if declared is None else declared
    return name + struct.pack(f"{order}I", size) + body + (b"\0" if pad and len(body) % 2 else b"")


def fmt(channels: int = 2, bits: int = 16, rate: int = RATE, order: str = "<") -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack(f"{order}HHIIHH", 1, channels, rate, rate * block, block, bits), order=order)


def riff(*chunks: bytes, magic: bytes = b"RIFF", order: str = "<") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack(f"{order}I", len(body)) + body


def refused(path, *calls) -> str:
    """What is wrong with a file, in the one line that the header's reader and the whole reader refuse it with."""
    problems = set()
    for call in calls or (audio_info, read_clip):
        with pytest.raises(FaultError) as caught:
            call(path)
        text = str(caught.value)
        assert len(text.splitlines()) == 1
        assert text.startswith(f"{path}: ")
        assert caught.value.fault.remedy
        problems.add(caught.value.fault.problem)
    assert len(problems) == 1, problems
    return problems.pop()


def test_int16_samples_are_divided_by_32768_exactly(tmp_path):
    samples = np.array([[-32768, 32767], [0, 1], [-1, 12345]], dtype=np.int16)
    waveform = read_clip(write(tmp_path / "a.wav", samples, subtype="PCM_16"))
    assert waveform.dtype == np.float32 and waveform.shape == (2, 3) and waveform.flags.c_contiguous
    assert np.array_equal(waveform, samples.T.astype(np.float64) / 32768)


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        (".wav", {"subtype": "PCM_24"}, 2**-22),
        (".wav", {"subtype": "PCM_32"}, 2**-24),
        (".wav", {"subtype": "PCM_U8"}, 2**-6),
        (".wav", {"subtype": "FLOAT"}, 2**-24),
        (".wav", {"subtype": "DOUBLE"}, 2**-24),
        (".wav", {"subtype": "PCM_16", "format": "WAVEX"}, 2**-14),
        (".wav", {"subtype": "FLOAT", "format": "WAVEX"}, 2**-24),
        (".wav", {"subtype": "PCM_16", "format": "RF64"}, 2**-14),
        (".flac", {"subtype": "PCM_16"}, 2**-14),
        (".flac", {"subtype": "PCM_24"}, 2**-22),
    ],
)
def test_every_sample_format_gives_the_same_waveform(tmp_path, suffix, options, tolerance):
    path = write(tmp_path / f"clip{suffix}", **options)
    waveform, info = read_clip(path), audio_info(path)
    assert waveform.shape == (2, 4000) and np.abs(waveform - noise().T).max() <= tolerance
    assert (info.channels, info.sample_rate, info.frames) == (2, RATE, 4000)


@pytest.mark.parametrize(
    "options", [{"subtype": "PCM_16"}, {"subtype": "FLOAT"}, {"format": "WAVEX", "subtype": "PCM_24"}]
)
@pytest.mark.parametrize("missing_bytes", [1, 5000])
def test_a_truncated_wav_is_refused(tmp_path, options, missing_bytes):
    path = write(tmp_path / "clip.wav", **options)
    os.truncate(path, path.stat().st_size - missing_bytes)
    assert "truncated" in refused(path)


@pytest.mark.parametrize(("magic", "options"), [(b"RF64", {"format": "RF64"}), (b"RIFX", {"endian": "BIG"})])
def test_a_truncated_rf64_and_a_truncated_rifx_are_refused(tmp_path, magic, options):
    path = write(tmp_path / "clip.wav", subtype="PCM_16", **options)
    assert path.read_bytes()[:4] == magic and audio_info(path).frames == 4000
    os.truncate(path, path.stat().st_size - 100)
    assert "truncated" in refused(path, audio_info)


WHOLE = {
    "cut within a trailing chunk": riff(fmt(), chunk(b"data", bytes(400)), chunk(b"LIST", b"INFO", declared=400)),
    "written to a pipe": riff(fmt(), chunk(b"data", bytes(400), declared=0xFFFFFFFF)),
    "of odd length, not padded": riff(fmt(channels=1, bits=8), chunk(b"data", bytes(100 + 1), pad=False)),
    "without a whole last frame": riff(fmt(), chunk(b"data", bytes(403))),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_wav_with_all_of_its_sound_is_read_to_the_end(tmp_path, case):
    path = tmp_path / "clip.wav"
    path.write_bytes(WHOLE[case])
    assert audio_info(path).frames == read_clip(path).shape[1] == (101 if "odd" in case else 100)


def test_a_wav_cut_before_the_sound_is_unreadable(tmp_path):
    path = tmp_path / "headless.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", bytes(400)))[:36])
    assert "unreadable" in refused(path, audio_info)


@pytest.mark.parametrize("odd", [3, 4, 4097, 70001])
def test_chunks_of_any_length_before_the_sound_do_not_hide_a_truncation(tmp_path, odd):
    path = tmp_path / "clip.wav"
    whole = riff(chunk(b"JUNK", b"data" + b"x" * odd), fmt(), chunk(b"bext", b"y" * odd), chunk(b"data", bytes(4000)))
    path.write_bytes(whole)
    assert audio_info(path).frames == read_clip(path).shape[1] == 1000
    path.write_bytes(whole[:-10])
    assert "truncated, 3990 of 4000 bytes" in refused(path, audio_info)


def test_a_truncated_flac_is_refused_and_one_without_a_length_too(tmp_path):
    path = write(tmp_path / "clip.flac", noise(40000), subtype="PCM_16")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(path)
    unknown = bytearray(whole)
    unknown[21] &= 0xF0  # STREAMINFO: the low 36 bits of bytes 18 to 25 are the number of samples, 0 if unknown
    unknown[22:26] = bytes(4)
    path.write_bytes(unknown)
    assert "does not say how long" in refused(path)


def test_sound_of_another_kind_under_a_wav_name_is_read_whole_or_refused(tmp_path):
    sound, path = write(tmp_path / "clip.mp3", noise(100_000, 1)), tmp_path / "clip.wav"
    path.write_bytes(sound.read_bytes())
    assert audio_info(path).frames == read_clip(path).shape[1] == 100_000
    path.write_bytes(sound.read_bytes()[: sound.stat().st_size // 2])  # the decoder just ends early
    assert "of 100000 samples are there" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_nan_and_infinity_are_refused_wherever_they_stand(tmp_path, value, subtype):
    samples = noise(200_000)
    samples[160_000, 1] = value
    path = write(tmp_path / "clip.wav", samples, subtype=subtype)
    assert refused(path) == "NaN or infinite sample at 10.000 s"
    beyond_float32 = write(tmp_path / "clip.wav", np.array([[0.1], [1e300]]), subtype="DOUBLE")
    assert "infinite" in refused(beyond_float32, audio_info)


def test_zero_length_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    unfinished = riff(fmt(), chunk(b"data", bytes(400), declared=0))  # a recorder that lost power
    for content in (b"", write(path, np.zeros((0, 2))).read_bytes(), unfinished):
        path.write_bytes(content)
        assert "zero length" in refused(path)


def test_what_is_no_sound_file_is_refused(tmp_path):
    text, folder, pipe, broken, loop = (tmp_path / f"{number}.wav" for number in range(5))
    text.write_text("file_name,d1p,d1v\n" * 100)
    folder.mkdir()
    os.mkfifo(pipe)
    broken.symlink_to(tmp_path / "gone.wav")
    loop.symlink_to(loop)
    assert "unreadable" in refused(text)
    assert "no regular file" in refused(folder) and "no regular file" in refused(pipe)
    assert "No such file" in refused(broken) and "cannot be read" in refused(loop)


def test_random_bytes_and_random_damage_never_raise_anything_but_a_fault(tmp_path):
    rng = np.random.default_rng(5)
    whole = write(tmp_path / "whole.wav", subtype="PCM_16").read_bytes()
    path = tmp_path / "damaged.wav"
    outcomes = set()
    for round_ in range(300):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)] if round_ % 2 else whole)
        for position in rng.integers(0, min(len(damaged), 60), 3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        for call in (audio_info, read_clip):
            try:
                outcomes.add(type(call(path)).__name__)
            except FaultError:
                outcomes.add("refused")
    assert outcomes == {"refused", "AudioInfo", "ndarray"}


def test_another_sample_rate_is_refused_unless_resampling_is_asked_for(tmp_path):
    path = write(tmp_path / "clip.wav", rate=44100)
    with pytest.raises(FaultError, match=r"sample rate 44100 Hz where 16000 Hz is needed: .*resample: true"):
        read_clip(path)
    assert read_clip(path, sample_rate=44100).shape == (2, 4000)
    assert read_clip(path, resample=True).shape == (2, 1452)  # ceil(4000 × 160 / 441)
    assert rate_fault(path, audio_info(path), 44100) is None
    assert "suites.mine.resample: true" in str(rate_fault(path, audio_info(path), 16000, suite="mine"))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_pitch_level_and_phase_of_a_tone(tmp_path, rate):
    tone, expected = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(r) / r) for r in (rate, RATE))
    path = write(tmp_path / "tone.wav", np.stack([tone, -tone], axis=1), rate, subtype="FLOAT")
    waveform = read_clip(path, resample=True)
    assert waveform.dtype == np.float32 and waveform.shape == (2, RATE)
    inner = slice(200, -200)  # the filter runs in and out at the ends
    assert np.abs(waveform[0, inner] - expected[inner]).max() < 2e-3
    assert np.array_equal(waveform[1], -waveform[0])


def test_resampling_removes_what_would_alias(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 15000 * np.arange(48000) / 48000)
    path = write(tmp_path / "tone.wav", tone, 48000, subtype="FLOAT")
    assert np.abs(read_clip(path, resample=True)[0, 200:-200]).max() < 0.005


def test_the_header_of_an_integer_wav_is_enough_and_its_samples_are_not_read(tmp_path, monkeypatch):
    path, size = tmp_path / "hours.wav", 1 << 31
    path.write_bytes(riff(fmt(), chunk(b"data", b"", declared=size)))
    os.truncate(path, path.stat().st_size + size)  # sparse: 2 GiB of zeros that take no room
    monkeypatch.setattr("soundfile.SoundFile.read", lambda *_, **__: pytest.fail("samples were read"))
    assert audio_info(path).frames == size // 4


def test_paths_with_spaces_and_accents_are_read(tmp_path):
    folder = tmp_path / "Prüf stand 日本"
    folder.mkdir()
    assert read_clip(write(folder / "ein Lüfter.wav", noise(100, 1))).shape == (1, 100)
    assert read_clip(str(folder / "ein Lüfter.wav")).shape == (1, 100)
