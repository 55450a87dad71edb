"""Log-mel statistics against a plain computation with torch's transforms."""

import numpy as np
import pytest
import torch
from one_line import one_line_error
from torchaudio.functional import melscale_fbanks

from workflow_lib.channels import Cancellation, cancelled_spectrum, stft
from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.logmel import STATISTICS, frame_statistics
from workflow_lib.encoders.mel_filters import htk_filters

NINE_TAPS = Cancellation.from_mapping({})


def clip(seconds=1.0, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=(2, round(16000 * seconds))).astype(np.float32)


def plain_frames(waveform, mels=128, window=1024):
    """(bands, frames) in dB by torch.stft and torchaudio's filters, in float64."""
    spectrum = torch.stft(
        torch.from_numpy(waveform.astype(np.float64)),
        window,
        window // 2,
        window=torch.hann_window(window, dtype=torch.float64),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    filters = torch.from_numpy(htk_filters(window // 2 + 1, mels, 0.0, 8000.0, 16000)).T
    power = spectrum.abs().square().T @ filters
    return (10 * power.clamp(min=1e-10).log10()).T.numpy()


def test_filters_are_torchaudios_without_normalisation():
    expected = melscale_fbanks(513, 0.0, 8000.0, 128, 16000, mel_scale="htk", norm=None)
    np.testing.assert_allclose(htk_filters(513, 128, 0.0, 8000.0, 16000), expected.T.numpy(), atol=2e-5)


@pytest.mark.parametrize(("mels", "window"), [(128, 1024), (64, 512)])
def test_statistics_are_those_of_a_plain_computation(mels, window):
    encoder, wave = load_encoder("logmel", mels=mels, window_samples=window), clip()
    spectra = encoder.spectra(wave, ["near", "far"], NINE_TAPS)
    for channel, name in enumerate(("near", "far")):
        decibel = plain_frames(wave[channel], mels, window)
        found = encoder.statistics(spectra[name])
        assert list(found) == list(STATISTICS)
        expected = {
            "mean": decibel.mean(axis=1),
            "std": np.sqrt(((decibel - decibel.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)),
            "power": 10 * np.log10(np.mean(10 ** (decibel / 10), axis=1) + 1e-10),
            "p95": np.array([np.percentile(band, 95) for band in decibel]),
            "delta_std": np.std(decibel[:, 1:] - decibel[:, :-1], axis=1),
        }
        for statistic, values in expected.items():
            np.testing.assert_allclose(found[statistic], values, rtol=1e-9, atol=1e-9, err_msg=statistic)


def test_the_cancelled_channel_is_the_spectrum_of_the_cancellation():
    encoder, wave = load_encoder("logmel"), clip()
    near, far = (stft(row) for row in wave)
    spectra = encoder.spectra(wave, ["cancelled", "near"], NINE_TAPS)
    np.testing.assert_array_equal(spectra["cancelled"], cancelled_spectrum(near, far))
    np.testing.assert_array_equal(spectra["near"], near)
    one_tap = Cancellation.from_mapping({"taps": 1, "ridge": 0})
    single = near - (near * far.conj()).sum(axis=0) / ((np.abs(far) ** 2).sum(axis=0) + 1e-12) * far
    np.testing.assert_allclose(
        encoder.spectra(wave, ["cancelled"], one_tap)["cancelled"], single, rtol=1e-9, atol=1e-12
    )


def test_a_cancellation_with_another_window_goes_by_way_of_the_waveform():
    encoder, options = load_encoder("logmel"), Cancellation.from_mapping({"window_samples": 512})
    wave = clip()
    wave[1] = wave[0]  # far predicts all of near
    spectra = encoder.spectra(wave, ["near", "cancelled"], options)
    energy = {name: np.sum(np.abs(spectrum) ** 2) for name, spectrum in spectra.items()}
    assert energy["cancelled"] < 1e-4 * energy["near"]


def test_silence_has_the_floor_in_every_band_and_nothing_that_is_not_finite():
    encoder = load_encoder("logmel")
    spectra = encoder.spectra(np.zeros((2, 16000), np.float32), ["near", "far", "cancelled"], NINE_TAPS)
    for spectrum in spectra.values():
        found = encoder.statistics(spectrum)
        np.testing.assert_allclose(found["mean"], -100.0)
        np.testing.assert_allclose(found["power"], 10 * np.log10(2e-10))  # the floor of the bands and of the mean
        assert found["std"].max() == found["delta_std"].max() == 0


def test_one_frame_has_no_changes():
    assert frame_statistics(np.zeros((3, 1)))["delta_std"].tolist() == [0, 0, 0]


def test_what_cannot_be_is_one_clear_line():
    with one_line_error("write 0 <= low_hz < high_hz <= 8000"):
        load_encoder("logmel", low_hz=4000.0, high_hz=100.0)
    with one_line_error("no channel far"):
        load_encoder("logmel").spectra(clip()[:1], ["near", "cancelled"], NINE_TAPS)
