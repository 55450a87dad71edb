"""The embedding job: the same bytes whatever the workers, smaller batches where memory is short, a bar on terminals."""

import logging
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from workflow_lib.channels import cancel_far
from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import Clip
from workflow_lib.embedding.inference import Inference, batch_size
from workflow_lib.embedding.job import embed_machine, fill_store
from workflow_lib.embedding.store import open_store, statistics_name
from workflow_lib.encoders import load_encoder
from workflow_lib.errors import UserError

ROOT = Path(__file__).parents[3]
SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2}
ENCODERS = ["eat", "ced", "m2d", "huggingface"]
READING = {"sample_rate": 16000, "channels": 2, "resample": False}
CPU = {"device": "cpu", "precision": "float32", "compile": False}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Nine clips of two channels and three lengths, not in the order of their lengths."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(5)
    found = []
    for index, seconds in enumerate([1.0, 2.0, 1.0, 1.0, 2.0, 11.0, 1.0, 2.0, 1.0]):
        path = folder / f"{index}.wav"
        level = 10.0 ** -rng.integers(0, 4)  # CED's floor of 120 dB below the maximum must be each clip's own
        soundfile.write(path, rng.uniform(-1, 1, (int(16000 * seconds), 2)) * level, 16000, subtype="PCM_16")
        found.append(Clip("fan", path.name, "train", "source", "normal", "", 2, 16000, int(16000 * seconds), str(path)))
    return found


def filled(path, clips, encoder, batch=1, workers=1, **compute):
    """All statistics of block 2 by (channel, moment), as the store holds them."""
    model = load_encoder(encoder, "random", seed=3, **SIZES)
    inference = Inference(model, [2], batch, {**CPU, **compute})
    with h5py.File(path, "w") as store, torch.inference_mode():
        fill_store(store, clips, inference, read_waveform_as(READING), ("near", "far"), workers)
        return {(c, m): store[statistics_name(2, c, m)][:] for c in ("near", "far") for m in ("mean", "std")}


def read_waveform_as(reading):
    return lambda clip: read_waveform(clip, reading)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_number_of_workers_changes_no_byte(tmp_path, clips, encoder):
    one, four = (filled(tmp_path / "store.h5", clips, encoder, batch=2, workers=workers) for workers in (1, 4))
    for key, values in one.items():
        assert values.tobytes() == four[key].tobytes()
        assert np.abs(values).sum(axis=1).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_neighbours_and_batch_size_change_no_statistic(tmp_path, clips, encoder):
    alone, together = (filled(tmp_path / "store.h5", clips, encoder, batch=size) for size in (1, 8))
    some = filled(tmp_path / "store.h5", [clips[4], clips[1]], encoder, batch=8)
    for key, values in alone.items():
        np.testing.assert_allclose(together[key], values, rtol=0, atol=5e-6)
        np.testing.assert_allclose(some[key], values[[4, 1]], rtol=0, atol=5e-6)


def test_a_cpu_takes_clips_one_by_one():
    assert batch_size({"batch_size": 32}, "cpu") == 1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_bfloat16_stays_within_a_hundredth(tmp_path, clips, encoder):
    exact = filled(tmp_path / "store.h5", clips, encoder)
    rounded = filled(tmp_path / "store.h5", clips, encoder, precision="bfloat16")
    expected, found = (np.concatenate([values[key] for key in exact], axis=1) for values in (exact, rounded))
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.01


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, and there is no g++")
def test_a_compiled_encoder_computes_the_same(tmp_path, clips):
    plain, compiled = (filled(tmp_path / "store.h5", clips[2:4], "eat", compile=on) for on in (False, True))
    for key, values in plain.items():
        np.testing.assert_allclose(compiled[key], values, rtol=0, atol=1e-5)


# Limits the address space of a process of its own, so that the allocator really fails.
SHORT_OF_MEMORY = """
import logging, re, resource, sys
from pathlib import Path
import torch
from workflow_lib.encoders import load_encoder
from workflow_lib.embedding.inference import Inference
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
torch.set_num_threads(1)
encoder = load_encoder("eat", "random", embed_dim=192, depth=2, num_heads=3)
inference = Inference(encoder, [2], 8, {"device": "cpu", "precision": "float32", "compile": False})
waveforms = torch.rand(8, 2, 16000 * int(sys.argv[1]), generator=torch.Generator().manual_seed(1)) - 0.5
with torch.inference_mode():
    inference.statistics(waveforms[:1, :, :16000])
    used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 1_000_000,) * 2)
    found = inference.statistics(waveforms).arrays()[2]
    print("sum", inference.batch_size, float(found[0].sum()), float(found[1].sum()))
"""


def short_of_memory(seconds, megabytes):
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, str(seconds), str(megabytes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    return done.stdout, done.stderr


def test_out_of_memory_halves_the_batch_says_so_and_goes_on():
    plenty, errors = short_of_memory(20, 8000)
    assert plenty.startswith("sum 8 "), errors
    tried = []
    for megabytes in (120, 180, 240, 80):  # what the libraries take for themselves differs by processor
        short, errors = short_of_memory(20, megabytes)
        tried.append((megabytes, short, errors))
        if "sum" in short and not short.startswith("sum 8"):
            break
    assert short.startswith("out of memory with 8 clips at once: going on with 4\n"), tried
    result = short.splitlines()[-1]
    assert int(result.split()[1]) < 8
    np.testing.assert_allclose(
        [float(v) for v in result.split()[2:]], [float(v) for v in plenty.split()[2:]], rtol=1e-4
    )


def test_one_clip_that_does_not_fit_is_said_in_one_line():
    _, errors = short_of_memory(60, 20)
    message = errors.strip().splitlines()[-1]
    assert re.search(r"UserError: one clip \(2 channels of 960000 samples\) does not fit in the memory of cpu", message)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    inference = Inference(load_encoder("eat", "random", **SIZES), [2], 8, CPU)
    with pytest.raises(UserError, match="too short"):
        inference.statistics(torch.zeros(2, 2, 100))


def test_a_store_says_what_it_was_made_with(tmp_path, clips):
    model = {"kind": "frozen", "encoder": "ced", "checkpoint": "random", "blocks": [1, 2], **SIZES}
    model["cancellation"] = {}
    settings = {"name": "tiny", "model": model, "encoder_settings": model, "adapter": [], "code": "abc"}
    store = tmp_path / "store.h5"
    mono = {**READING, "channels": 1}
    embed_machine(clips, store, channels=["near"], reading=mono, compute=CPU, workers=2, **settings)
    with open_store(store) as (content, stored):
        facts = [content.attrs[name] for name in ("encoder", "trained", "precision", "model")]
        assert facts == ["ced", "no", "float32", "tiny"]
        assert list(stored.name) == [clip.clip for clip in clips]
        assert content[statistics_name(1, "near", "std")].shape == (9, 32)
        assert list(content["statistics/block_01"]) == ["near"]


def test_an_encoder_hears_the_cancelled_channel_as_a_third_one(tmp_path, clips):
    model = {"encoder": "ced", "checkpoint": "random", "blocks": [1], "batch_size": 1, "seed": 3, **SIZES}
    model["cancellation"] = {"taps": 3}
    settings = {"name": "tiny", "model": model, "encoder_settings": model, "adapter": [], "code": "abc"}
    channels = ["near", "far", "cancelled"]
    embed_machine(
        clips[:2], tmp_path / "store.h5", channels=channels, reading=READING, compute=CPU, workers=2, **settings
    )
    encoder = load_encoder("ced", "random", seed=3, **SIZES)
    with open_store(tmp_path / "store.h5") as (content, _):
        for row, clip in enumerate(clips[:2]):
            near, far = read_waveform(clip, READING)
            heard = torch.from_numpy(np.float32(cancel_far(near, far, taps=3)))[None]
            with torch.inference_mode():
                mean, std = encoder.statistics(encoder.frontend(heard), [1])[1]
            for name, expected in (("mean", mean), ("std", std)):
                found = content[statistics_name(1, "cancelled", name)][row]
                np.testing.assert_allclose(found, expected[0].numpy(), rtol=0, atol=2e-5)


PROGRESS = """
import logging, sys
from workflow_lib.progress import Progress
logging.basicConfig(level=logging.INFO, filename=sys.argv[1])
with Progress(40, "embed with eat") as clips, Progress(40_000_000, "fan.zip", unit="byte") as bytes:
    for _ in range(4):
        clips.add(10)
        bytes.add(10_000_000)
"""


def test_bytes_have_a_bar_on_a_terminal_and_clips_lines_in_the_log(tmp_path):
    control, terminal = pty.openpty()
    log = tmp_path / "job.log"
    termios.tcsetwinsize(terminal, (24, 80))
    subprocess.run([sys.executable, "-c", PROGRESS, str(log)], cwd=ROOT, stderr=terminal, check=True)
    drawn = os.read(control, 65536).decode()
    os.close(terminal)
    os.close(control)
    assert "fan.zip:" in drawn and "/40.0M" in drawn and "embed" not in drawn
    assert re.search(r"40 of 40 clips, [\d.]+ clips/s", log.read_text())
    assert re.search(r"fan.zip: 40.0 of 40.0 MB, [\d.]+ MB/s", log.read_text())


def test_nothing_is_drawn_where_there_is_no_terminal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRESS, str(tmp_path / "log")], cwd=ROOT, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_warning_names_the_smaller_batch(caplog):
    inference = Inference(load_encoder("eat", "random", **SIZES), [2], 8, CPU)
    with caplog.at_level(logging.WARNING):
        inference._halve(torch.zeros(5, 2, 16000))  # a last batch of five: half of what was tried, not of eight
    assert inference.batch_size == 2
    assert caplog.messages == ["out of memory with 5 clips at once: going on with 2"]
