"""CED gives the numbers of the authors' code, for both published layouts and both length policies."""

from __future__ import annotations

import json
import shutil

import encoder_checks as checks
import pytest
import torch
from encoder_checks import PUBLISHED, assert_close, golden_clip, one_line_error, read_state

ORIGINAL, HUGGING_FACE = PUBLISHED["ced"].file, PUBLISHED["ced_hugging_face"].file
LAYOUTS = pytest.mark.parametrize("layout", [ORIGINAL, HUGGING_FACE], ids=["original", "hugging_face"])
LENGTHS = pytest.mark.parametrize("length", ["native", "reference"])
FEATURES_ATOL, TOKENS_ATOL = 2e-3, 1e-4
ALL_BLOCKS = range(1, 13)
no_grad, pytestmark = checks.no_grad, pytest.mark.usefixtures("no_grad")
load = PUBLISHED["ced"].load


@pytest.fixture(scope="module")
def expected():
    return checks.golden_values("ced")


@pytest.mark.parametrize("clip", ["6s", "16s"])
def test_frontend_is_the_references(clip, expected):
    features = load().frontend(golden_clip(clip))
    assert_close(features[0], expected[f"logmel_bn_{clip}"], FEATURES_ATOL)


@LAYOUTS
@LENGTHS
def test_tokens_of_a_short_clip_are_the_references(layout, length, expected):
    encoder = load(layout, length=length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("10s")), [12, 1, 10])
    for block in (1, 10, 12):
        assert tokens[block].shape == (1, 248, 48)
        assert_close(tokens[block], expected[f"10s_block{block:02d}_tokens"], TOKENS_ATOL)
    assert_close(encoder.norm(tokens[12]), expected["10s_norm_tokens"], TOKENS_ATOL)


@LENGTHS
@pytest.mark.parametrize("clip", ["6s", "10s"])
def test_statistics_of_every_block_are_the_references(clip, length, expected):
    checks.assert_statistics(load(length=length), golden_clip(clip), expected, clip, ALL_BLOCKS)


def test_reference_pads_the_last_chunk_of_a_long_clip(expected):
    encoder = load(length="reference")
    checks.assert_statistics(encoder, golden_clip("16s"), expected, "16s", ALL_BLOCKS)
    tokens = encoder.tokens(encoder.frontend(golden_clip("16s")), [10])[10]
    assert_close(tokens[0], expected["16s_block10_tokens"].flatten(0, 1), TOKENS_ATOL)


@pytest.mark.parametrize(
    ("frames", "clips"), [(1012, ["16s"]), (1013, ["16s"]), (2024, ["16s", "10s"]), (3036, ["16s", "16s"])]
)
def test_reference_chunks_at_the_edges(frames, clips, expected):
    waveform = torch.cat([golden_clip(clip) for clip in clips], dim=1)[:, : (frames - 1) * 160]
    encoder = load(length="reference")
    assert len(encoder.split(encoder.frontend(waveform))) == expected[f"{frames}frames_nchunks"]
    checks.assert_statistics(encoder, waveform, expected, f"{frames}frames", [12])


def test_native_pads_a_long_clip_only_to_a_whole_patch(expected):
    encoder = load()
    features = encoder.frontend(golden_clip("16s"))
    tokens = encoder.tokens(features, [10])[10]
    assert tokens.shape[1] == 4 * (63 + 37)  # 589 frames are left for the second chunk: 37 patches
    assert_close(tokens[:, :252], expected["16s_block10_tokens"][:1], TOKENS_ATOL)
    rest = torch.nn.functional.pad(features[..., 1012:], (0, 3))
    assert_close(tokens[:, 252:], encoder.tokens(rest, [10])[10], TOKENS_ATOL)


@pytest.mark.parametrize("frames", [1013, 2024, 2025])
def test_native_loses_no_chunk(frames):
    encoder = load()
    chunks = encoder.split(torch.zeros(1, 64, frames))
    assert sum(chunk.shape[-1] for chunk in chunks) == 1012 * (frames // 1012) + -(-(frames % 1012) // 16) * 16


def test_the_dynamic_range_is_limited_by_each_clip_alone(expected):
    loud = golden_clip("10s")
    quiet = loud * 1e-3
    quiet[:, 80000:] = 0
    checks.assert_statistics(load(), torch.cat([loud, quiet]), expected, "topdb_alone", [12])


def test_the_number_of_heads_comes_from_the_config(tmp_path, expected):
    shutil.copy(HUGGING_FACE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"num_heads": 4}))
    checks.assert_statistics(load(tmp_path, num_heads=None), golden_clip("6s"), expected, "6s", [12])
    assert "config.json" in one_line_error(lambda: load(tmp_path, num_heads=3))


@LAYOUTS
def test_every_tensor_that_matters_is_needed(layout, tmp_path):
    state = read_state(layout)
    ignorable = ("front_end.0.spectrogram.window", "front_end.0.mel_scale.fb", "outputlayer.")
    needed = {name for name in state if not name.startswith(ignorable) and not name.endswith("num_batches_tracked")}
    file = checks.write_state(tmp_path / f"bare{layout.suffix}", {name: state[name] for name in needed})
    assert load(file).weights_digest == load(layout).weights_digest
    assert len(needed) == len(load(layout).state_dict())


def test_a_number_among_the_tensors_is_refused(tmp_path):
    torch.save(checks.damage_tensors(read_state(ORIGINAL), "number", "norm.bias"), tmp_path / "number.pt")
    assert "norm.bias" in one_line_error(lambda: load(tmp_path))


def test_features_may_come_as_an_image():
    encoder = load()
    features = encoder.frontend(golden_clip("6s"))
    assert torch.equal(encoder.tokens(features.unsqueeze(1), [2])[2], encoder.tokens(features, [2])[2])


def test_a_clip_shorter_than_a_patch_is_refused():
    assert "2400" in one_line_error(lambda: load().frontend(torch.zeros(1, 2399)))
    assert load().frontend(torch.zeros(1, 2400)).shape == (1, 64, 16)
