"""Log-mel frames agree with the baseline's (librosa's), with the definition, and bad clips are said in one line."""

import numpy as np
import pytest
from autoencoder_cases import EXPECTED, FOLDER, MACHINES, near_channel
from one_line import one_line_error
from scipy.signal import get_window

from workflow_lib.autoencoder.log_mel import channel_frames, log_mel, mel_filterbank

CLIPS = [(machine, number) for machine in MACHINES for number in (0, 1)]


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_filterbank_equals_librosas_bit_for_bit():
    expected = np.load(FOLDER / "mel_filterbank.npz")["mel"]
    assert mel_filterbank().dtype == np.float32
    np.testing.assert_array_equal(mel_filterbank(), expected)


@pytest.mark.parametrize(("machine", "number"), CLIPS)
def test_frames_equal_the_baselines(machine, number):
    golden = EXPECTED[machine]
    frames = log_mel(near_channel(machine, str(golden[f"logmel_{number}_path"])))
    expected = golden[f"logmel_{number}"].T
    assert frames.dtype == np.float32 and frames.flags.c_contiguous
    # Zero with the golden run's matrix product; others round the last digit otherwise (4e-6 dB seen).
    np.testing.assert_allclose(frames, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frame", [0, 1, 3, 5])
def test_a_frame_is_what_the_definition_says(frame):
    samples = noise(2600)
    padded = np.concatenate([np.zeros(512), samples, np.zeros(512)])
    windowed = padded[frame * 512 : frame * 512 + 1024] * get_window("hann", 1024, fftbins=True)
    angle = -2j * np.pi * np.outer(np.arange(513), np.arange(1024)) / 1024
    power = np.abs(np.exp(angle) @ windowed) ** 2
    expected = 10 * np.log10(mel_filterbank().astype(np.float64) @ power)
    np.testing.assert_allclose(log_mel(samples)[frame], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [2048, 2559, 2560, 160000, 176123])
def test_there_is_one_frame_for_each_hop_begun_and_one_more(samples):
    assert log_mel(noise(samples)).shape == (samples // 512 + 1, 128)


def test_a_frame_does_not_depend_on_what_is_far_away():
    samples = noise(60000)
    longer = np.concatenate([samples, noise(40000, seed=1)])
    np.testing.assert_allclose(log_mel(longer)[:117], log_mel(samples)[:117], rtol=0, atol=1e-5)


def test_digital_silence_is_the_floor_and_not_minus_infinity():
    np.testing.assert_allclose(log_mel(np.zeros(8000)), 10 * np.log10(2.220446049250313e-16), rtol=1e-6)


def test_inputs_take_their_channels_and_their_contrast():
    """Contrast to a quieter copy is its level."""
    clip = np.stack([noise(8000), noise(8000, seed=1)])
    np.testing.assert_array_equal(channel_frames(clip, "near"), log_mel(clip[0]))
    np.testing.assert_array_equal(channel_frames(clip, "far"), log_mel(clip[1]))
    np.testing.assert_array_equal(channel_frames(clip, "near-far"), log_mel(clip[0]) - log_mel(clip[1]))
    np.testing.assert_array_equal(channel_frames(clip[:1], "near"), log_mel(clip[0]))
    np.testing.assert_allclose(channel_frames(np.stack([clip[0], clip[0] / 10]), "near-far"), 20.0, atol=1e-3)


@pytest.mark.parametrize(
    ("clip", "channels", "message"),
    [
        (np.zeros((2, 2047)), "near", "2047 samples is too short: the autoencoder needs at least 2048"),
        (np.zeros((1, 8000)), "far", "'far' needs two channels, the clip has 1"),
        (np.zeros((1, 8000)), "near-far", "'near-far' needs two channels"),
        (np.zeros((2, 8000)), "both", "'both': write one of near, far, near-far"),
    ],
)
def test_bad_clips_and_inputs_are_said_in_one_line(clip, channels, message):
    with one_line_error(message):
        channel_frames(clip, channels)
    with one_line_error("one channel"):
        log_mel(np.zeros((2, 8000)))
