"""Cancellation is the least-squares formula, takes out what far predicts and leaves the machine."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from scipy import signal
from threadpoolctl import threadpool_limits

from workflow_lib.channels import cancel_far, cancelled_spectrum, istft, stft
from workflow_lib.errors import UserError

RATE = 16000
OPTIONS = [(1, False), (3, False), (9, False), (13, False), (1, True), (4, True), (9, True)]


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def room(seed: int) -> np.ndarray:
    """An impulse response of 20 ms: a direct sound and decaying noise."""
    response = np.random.default_rng(seed).standard_normal(320) * np.exp(-np.arange(320) / 32)
    response[0] = 8.0
    return response


def two_channels(seconds: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Near and far with a common source, its filters, and noise of their own."""
    source = noise(seconds, 1)
    near = noise(seconds, 2) + signal.lfilter(room(3), [1.0], source)
    return near, 0.3 * noise(seconds, 4) + signal.lfilter(room(5), [1.0], source)


def decibel(waveform: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(np.sum(waveform**2) / np.sum(other**2))


def plain(near: np.ndarray, far: np.ndarray, taps: int, ridge: float, causal: bool) -> np.ndarray:
    """The formula of docs/channels.md, frequency by frequency and frame by frame."""
    frames, bins = near.shape
    offsets = range(1 - taps, 1) if causal else range(-(taps // 2), taps // 2 + 1)
    rest = np.empty_like(near)
    for k in range(bins):
        z = np.zeros((frames, taps), complex)
        for t in range(frames):
            for column, offset in enumerate(offsets):
                if 0 <= t + offset < frames:
                    z[t, column] = far[t + offset, k]
        gram = z.conj().T @ z
        loaded = gram + (ridge * np.trace(gram) / taps + 1e-12) * np.eye(taps)
        rest[:, k] = near[:, k] - z @ np.linalg.solve(loaded, z.conj().T @ near[:, k])
    return rest


# ---- the formula -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taps", "causal"), OPTIONS)
@pytest.mark.parametrize(("ridge", "gain"), [(0.0, 1.0), (1e-3, 1.0), (0.0, 1e-8)])
def test_spectra_are_those_of_the_formula(taps, causal, ridge, gain):
    """Also of a far channel so quiet that the 1e-12 counts."""
    near, far = map(stft, two_channels())
    far = gain * far
    wanted = plain(near, far, taps, ridge, causal)
    found = cancelled_spectrum(near, far, taps, ridge, causal)
    assert np.linalg.norm(found - wanted) < 1e-9 * np.linalg.norm(wanted)
    np.testing.assert_allclose(found, wanted, atol=1e-9 * np.abs(wanted).max())


def test_a_clip_of_fewer_frames_than_taps_follows_the_formula():
    random = np.random.default_rng(0)
    near, far = random.standard_normal((2, 3, 20)) + 1j * random.standard_normal((2, 3, 20))
    np.testing.assert_allclose(cancelled_spectrum(near, far, 9), plain(near, far, 9, 1e-3, False), atol=1e-9)


def test_a_long_clip_is_summed_in_parts():
    random = np.random.default_rng(0)
    near, far = random.standard_normal((2, 2500, 3)) + 1j * random.standard_normal((2, 2500, 3))
    np.testing.assert_allclose(cancelled_spectrum(near, far, 9), plain(near, far, 9, 1e-3, False), atol=1e-9)


def test_one_tap_without_ridge_is_the_single_tap_form():
    near, far = map(stft, two_channels())
    h = (near * far.conj()).sum(axis=0) / ((np.abs(far) ** 2).sum(axis=0) + 1e-12)
    wanted = near - h * far
    np.testing.assert_allclose(cancelled_spectrum(near, far, 1, 0.0), wanted, rtol=0, atol=1e-13 * np.abs(near).max())


def test_the_waveform_is_the_inverse_of_the_spectra():
    near, far = two_channels()
    spectrum = cancelled_spectrum(stft(near, 512), stft(far, 512), 5, 1e-2, True)
    found = cancel_far(near, far, 5, 1e-2, window_samples=512, causal=True)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, istft(spectrum, len(near), 512), atol=1e-12)
    np.testing.assert_array_equal(cancel_far(near, far), cancel_far(near, far, 9, 1e-3, window_samples=1024))


def test_what_is_left_can_no_longer_be_predicted():
    near, far = map(stft, two_channels())
    once = cancelled_spectrum(near, far, 9, 0.0)
    twice = cancelled_spectrum(once, far, 9, 0.0)
    assert np.linalg.norm(once - twice) < 1e-10 * np.linalg.norm(near)


# ---- what it does to sounds ------------------------------------------------------------------------------------------


def source_left(waveform: np.ndarray, image: np.ndarray) -> float:
    """Energy of a waveform in the direction of the source's image at near, dB above the image's own."""
    share = waveform @ image / (image @ image)
    return 20 * np.log10(max(abs(share), 1e-12))


@pytest.mark.parametrize("with_machine", [False, True])
def test_a_source_that_both_hear_goes_and_the_machine_stays(with_machine):
    source = noise(10, 1)
    machine = with_machine * 0.5 * signal.lfilter([1.0], [1.0, -1.6, 0.9], noise(10, 2))
    image = signal.lfilter(room(3), [1.0], source)
    found = cancel_far(machine + image, signal.lfilter(room(5), [1.0], source))
    assert source_left(found, image) < -20
    if with_machine:
        np.testing.assert_allclose(found @ machine / (machine @ machine), 1, atol=0.1)
        assert decibel(found - machine, image) < -12 and abs(decibel(found, machine)) < 1.0
    else:
        assert decibel(found, image) < -20


def test_nine_taps_reach_longer_filters_than_one():
    source, late = noise(10, 1), np.zeros(1600)
    late[[0, 1500]] = 1.0, 0.8  # an echo three hops later
    near = signal.lfilter(late, [1.0], source)
    assert decibel(cancel_far(near, source, 1), near) > -8
    assert decibel(cancel_far(near, source, 9), near) < -20


def test_equal_channels_leave_silence():
    near = noise(10)
    assert decibel(cancel_far(near, near), near) < -60
    assert decibel(cancel_far(near, near, 1, 0.0), near) < -250
    assert decibel(cancel_far(near, -3 * near, 9, 0.0), near) < -200


def test_a_silent_far_channel_leaves_near_as_it_is():
    near = noise()
    np.testing.assert_array_equal(cancel_far(near, np.zeros_like(near)), near)


def test_taps_that_predict_nothing_give_near_back():
    """Far is there, but never at a frequency and time at which near is."""
    near, far = noise(4), noise(4, 1)
    near[: 3 * RATE] = 0
    far[int(1.5 * RATE) :] = 0
    found = cancel_far(near, far)
    np.testing.assert_allclose(found, near, rtol=0, atol=1e-6 * np.abs(near).max())


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("taps", [1, 9])
def test_silence_and_constants_give_numbers(taps, ridge):
    sound, silence, constant = noise(), np.zeros(2 * RATE), np.full(2 * RATE, 0.5)
    click = np.eye(1, 2 * RATE, 4000)[0]
    hum = np.sin(2 * np.pi * np.arange(2 * RATE) / 512)  # the same in every frame
    for near in (sound, silence, constant, click, hum):
        for far in (sound, silence, constant, click, hum):
            found = cancel_far(near, far, taps, ridge)
            assert np.isfinite(found).all()
            assert np.sum(found**2) <= 1.1 * np.sum(near**2) + 1e-12


def test_equations_without_a_solution_remove_what_they_can():
    """Two equal frames, three taps: exactly singular, since 1e-12 is less than the rounding of 2^40."""
    far = np.full((2, 1), 2.0**20, complex)
    near = np.array([[3.0], [5.0]], complex)
    np.testing.assert_allclose(cancelled_spectrum(near, far, 3, 0.0), 0, atol=1e-9)


def test_levels_do_not_matter():
    near, far = two_channels()
    np.testing.assert_allclose(cancel_far(1e-3 * near, 50 * far), 1e-3 * cancel_far(near, far), atol=1e-9)


@pytest.mark.parametrize("samples", [513, 20 * 512 - 1])
def test_short_and_awkward_lengths_keep_their_ends_in_bounds(samples):
    near, far = (channel[:samples] for channel in two_channels())
    found = cancel_far(near, far)
    assert found.shape == (samples,)
    assert np.abs(found).max() < 3 * np.abs(near).max()


# ---- the same bytes --------------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, sys, numpy as np
from workflow_lib.channels import cancel_far
lengths = 16000, 1500000, 9000  # the second has more frames than the matrix library sums in one thread
pairs = [np.random.default_rng(index).standard_normal((2, length)) for index, length in enumerate(lengths)]
for index in map(int, sys.argv[1:]):
    print(index, hashlib.sha256(cancel_far(*pairs[index], window_samples=256).tobytes()).hexdigest())
"""


def test_the_same_bytes_with_any_threads_and_in_any_order():
    def digests(threads: int, *order: str) -> list[str]:
        variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(variables, str(threads)), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", DIGEST, *order]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return sorted(done.stdout.splitlines())

    alone = sorted(digests(1, "0") + digests(1, "1") + digests(1, "2"))
    assert digests(1, "0", "1", "2") == digests(2, "2", "1", "0") == alone


@pytest.mark.parametrize("taps", [1, 9, 13])
@pytest.mark.parametrize("frames", [100, 300, 314, 315, 469, 500, 969, 2100])  # around what the library shares out
def test_the_same_bytes_within_a_process_with_any_threads(frames, taps):
    rng = np.random.default_rng(frames)
    near, far = rng.standard_normal((2, frames, 40)) + 1j * rng.standard_normal((2, frames, 40))
    with threadpool_limits(1):
        one = cancelled_spectrum(near, far, taps).tobytes()
    with threadpool_limits(2):
        assert cancelled_spectrum(near, far, taps).tobytes() == one


def test_the_same_bytes_whatever_the_layout_in_memory():
    near, far = two_channels()
    spectra = stft(near), stft(far)
    one = cancelled_spectrum(*spectra).tobytes()
    copies = (np.ascontiguousarray(spectrum) for spectrum in spectra)  # frames first in memory
    assert cancelled_spectrum(*copies).tobytes() == one


# ---- what is refused -------------------------------------------------------------------------------------------------

FAULTY = np.r_[np.nan, np.ones(1023)]


@pytest.mark.parametrize(
    ("near", "far", "options", "said"),
    [
        (np.ones(1024), np.ones(1023), {}, "near has 1024 samples and far 1023"),
        (np.ones((2, 1024)), np.ones(1024), {}, "near is an array of shape (2, 1024)"),
        (np.ones(1024), np.float64(1), {}, "far is an array of shape ()"),
        (FAULTY, np.ones(1024), {}, "near has samples that are not finite"),
        (np.ones(1024), FAULTY * np.inf, {}, "far has samples that are not finite"),
        (np.ones(512), np.ones(512), {}, "clip of 512 samples: a window of 1024 needs at least 513"),
        (np.ones(128), np.ones(128), {"window_samples": 256}, "needs at least 129"),
        (np.ones(1024), np.ones(1024), {"taps": 0}, "taps 0: write 1 to 13"),
        (np.ones(1024), np.ones(1024), {"taps": 15}, "taps 15: write 1 to 13"),
        (np.ones(1024), np.ones(1024), {"taps": 4}, "taps 4: write an odd number"),
        (np.ones(1024), np.ones(1024), {"ridge": -1e-9}, "ridge -1e-09: write 0 or more"),
        (np.ones(1024), np.ones(1024), {"ridge": np.nan}, "ridge nan: write 0 or more"),
    ],
    ids=range(12),
)
def test_what_cannot_be_cancelled_is_refused_in_one_line(near, far, options, said):
    with pytest.raises(UserError) as caught:
        cancel_far(near, far, **options)
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1
