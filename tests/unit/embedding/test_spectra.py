"""The embedding job of log-mel statistics: what the store holds, and the same bytes for a clip in any company."""

import numpy as np
import pytest
import soundfile
from one_line import one_line_error

from workflow_lib.channels import Cancellation
from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.spectra import embed_spectra
from workflow_lib.embedding.store import open_store, read_statistics
from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.logmel import STATISTICS

READING = {"sample_rate": 16000, "channels": 2, "resample": False}
MODEL = {"encoder": "logmel", "checkpoint": None, "cancellation": {"taps": 5}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Seven clips of two channels and two lengths."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(7)
    found = []
    for index, seconds in enumerate([1.0, 2.0, 1.0, 0.2, 2.0, 1.0, 2.0]):
        path = folder / f"{index}.wav"
        soundfile.write(path, rng.uniform(-0.3, 0.3, (int(16000 * seconds), 2)), 16000, subtype="PCM_16")
        found.append(Clip("fan", path.name, "train", "source", "normal", "", 2, 16000, int(16000 * seconds), str(path)))
    return found


def stored(path, clips, channels=("near", "cancelled"), workers=2, reading=READING):
    embed_spectra(
        clips, path, name="logmel", model=MODEL, channels=channels, reading=reading, workers=workers, code="abc"
    )
    with open_store(path) as (content, _):
        return dict(content.attrs), read_statistics(content, None)


def test_the_store_holds_the_statistics_of_every_clip_and_channel(tmp_path, clips):
    facts, found = stored(tmp_path / "store.h5", clips)
    assert (facts["model"], facts["encoder"], facts["trained"], facts["weights_digest"]) == (
        *("logmel", "logmel"),
        *("yes", "none"),
    )
    assert list(found) == ["cancelled", "near"] and set(found["near"]) == set(STATISTICS)
    encoder, options = load_encoder("logmel"), Cancellation.from_mapping({"taps": 5})
    for row, clip in enumerate(clips):
        spectra = encoder.spectra(read_waveform(clip, READING), ["near", "cancelled"], options)
        for channel, spectrum in spectra.items():
            for name, values in encoder.statistics(spectrum).items():
                assert found[channel][name][row].tolist() == np.float32(values).tolist()


def test_workers_and_neighbours_change_no_byte(tmp_path, clips):
    _, one = stored(tmp_path / "one.h5", clips, workers=1)
    _, four = stored(tmp_path / "four.h5", clips, workers=4)
    _, some = stored(tmp_path / "some.h5", [clips[4], clips[1]])
    for channel, statistics in one.items():
        for name, values in statistics.items():
            assert values.tobytes() == four[channel][name].tobytes()
            assert values[[4, 1]].tobytes() == some[channel][name].tobytes()


def test_a_mono_clip_has_near_alone(tmp_path, clips):
    mono = {**READING, "channels": 1}
    _, found = stored(tmp_path / "mono.h5", clips, channels=["near"], reading=mono)
    assert list(found) == ["near"]
    with one_line_error("0.wav: the clip has no channel far"):
        stored(tmp_path / "none.h5", clips, reading=mono)
