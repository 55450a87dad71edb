"""Spectra are those of torch and scipy, and the inverse gives the clip back."""

import numpy as np
import pytest
import torch
from scipy import signal

from workflow_lib.channels import istft, stft
from workflow_lib.errors import UserError


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


@pytest.mark.parametrize("samples", [513, 1024, 16000, 16384, 35 * 512 + 1])
@pytest.mark.parametrize("window", [256, 1024])
def test_spectra_are_those_of_torch(samples, window):
    waveform = noise(samples)
    hann = torch.hann_window(window, dtype=torch.float64)
    wanted = torch.stft(torch.from_numpy(waveform), window, window // 2, window=hann, return_complex=True).T.numpy()
    found = stft(waveform, window)
    assert found.dtype == np.complex128 and found.shape == (1 + samples // (window // 2), window // 2 + 1)
    np.testing.assert_allclose(found, wanted, atol=1e-12 * np.abs(wanted).max())


def test_spectra_are_those_of_scipy():
    waveform = noise(8000)
    hann = signal.get_window("hann", 1024)
    transform = signal.ShortTimeFFT(hann, 512, 16000)
    wanted = transform.stft(np.pad(waveform, 512, mode="reflect"), p0=1, p1=17, k_offset=0)
    # scipy centres its windows; the phase convention of both is that of the window's first sample.
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, 512, mode="reflect"), 1024)[::512]
    np.testing.assert_allclose(stft(waveform), np.fft.rfft(frames * hann), atol=1e-11)
    np.testing.assert_allclose(np.abs(stft(waveform)[: wanted.shape[1]]), np.abs(wanted.T), atol=1e-11)


@pytest.mark.parametrize("samples", [513, 1000, 16000, 16384, 160000])
@pytest.mark.parametrize("window", [256, 1024])
def test_the_inverse_gives_the_clip_back(samples, window):
    waveform = noise(samples)
    found = istft(stft(waveform, window), samples, window)
    assert found.shape == (samples,) and found.dtype == np.float64
    np.testing.assert_allclose(found, waveform, rtol=0, atol=1e-12)


def test_the_inverse_is_that_of_torch_for_other_spectra():
    random = np.random.default_rng(1)
    spectrum = stft(noise(16000)) * random.uniform(0, 1, (32, 513))
    hann = torch.hann_window(1024, dtype=torch.float64)
    wanted = torch.istft(torch.from_numpy(spectrum.T.copy()), 1024, 512, window=hann, length=16000).numpy()
    np.testing.assert_allclose(istft(spectrum, 16000), wanted, atol=1e-12)


def test_an_end_that_windows_hardly_cover_is_faded_out_where_that_is_asked_for():
    samples = 20 * 512 - 1  # the last sample has a window of 1e-5
    waveform = noise(samples)
    spectrum = stft(waveform)
    np.testing.assert_allclose(istft(spectrum, samples), waveform, atol=1e-9)
    faded = istft(spectrum, samples, least_coverage=0.05)
    np.testing.assert_allclose(faded[:-200], waveform[:-200], atol=1e-12)
    assert abs(faded[-1]) < 1e-3 * abs(waveform[-1])
    disturbed = spectrum * np.exp(2j * np.pi * np.random.default_rng(2).random(spectrum.shape))
    assert np.abs(istft(disturbed, samples)).max() > 1e3
    assert np.abs(istft(disturbed, samples, least_coverage=0.05)).max() < 20


@pytest.mark.parametrize("shape", [(512,), (0,), (2, 16000)])
def test_what_has_no_spectrum_is_refused_in_one_line(shape):
    with pytest.raises(UserError) as caught:
        stft(np.zeros(shape))
    assert len(str(caught.value).splitlines()) == 1
