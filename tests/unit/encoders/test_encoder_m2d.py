"""M2D-AS gives the numbers of the authors' code, for both published models."""

from __future__ import annotations

import math

import encoder_checks as checks
import pytest
import torch
from encoder_checks import PUBLISHED, assert_close, golden_clip, one_line_error, read_state

PRETRAINED, FINETUNED = checks.M2D_608, checks.M2D_1001
KEY = {PRETRAINED: "pt608", FINETUNED: "ft1001"}
MODELS = pytest.mark.parametrize("model", [PRETRAINED, FINETUNED], ids=["80x608", "80x1001"])
LENGTHS = pytest.mark.parametrize("length", ["native", "reference"])
FEATURES_ATOL, TOKENS_ATOL = 5e-4, 1e-4
ALL_BLOCKS = range(1, 13)
no_grad, pytestmark = checks.no_grad, pytest.mark.usefixtures("no_grad")
load = PUBLISHED["m2d_608"].load


@pytest.fixture(scope="module")
def expected():
    return checks.golden_values("m2d")


def expected_tokens(expected, key):
    """Patch tokens of all chunks, one behind the other; the reference puts CLS in front of each."""
    chunks = [expected[f"{key}_tokens_chunk{i}"][1:] for i in range(3) if f"{key}_tokens_chunk{i}" in expected]
    return torch.cat(chunks).unsqueeze(0)


def test_frontend_is_the_references(expected):
    assert_close(load(FINETUNED).frontend(golden_clip("10s"))[0], expected["lognorm_10s_ft1001"], FEATURES_ATOL)
    features = load(PRETRAINED).frontend(golden_clip("6s"))[0]
    assert_close(features * 4.2 - 7.1, expected["logmel_6s"], FEATURES_ATOL)
    # Silence is the logarithm of the offset.
    features = load().frontend(torch.zeros(1, 16000))
    assert_close(features, torch.full((1, 80, 101), (math.log(2**-23) + 7.1) / 4.2), 1e-5)


@MODELS
@LENGTHS
def test_tokens_and_their_final_norm_are_the_references(model, length, expected):
    encoder = load(model, length=length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("10s")), [10, 1, 12])
    if model == FINETUNED:
        assert_close(encoder.norm(tokens[12]), expected_tokens(expected, "ft1001_10s_norm"), TOKENS_ATOL)
    for block in (1, 10):
        assert_close(tokens[block], expected_tokens(expected, f"{KEY[model]}_10s_block{block:02d}"), TOKENS_ATOL)


@LENGTHS
def test_tokens_of_a_long_clip_are_the_references(length, expected):
    encoder = load(FINETUNED, length=length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("16s")), [12])[12]
    assert tokens.shape == (1, 5 * (62 + 38), 36)
    assert_close(tokens, expected_tokens(expected, "ft1001_16s_block12"), TOKENS_ATOL)


@MODELS
@pytest.mark.parametrize("clip", ["6s", "10s", "16s"])
def test_statistics_of_every_block_are_the_references(model, clip, expected):
    checks.assert_statistics(load(model), golden_clip(clip), expected, f"{KEY[model]}_{clip}", ALL_BLOCKS)


@LENGTHS
@pytest.mark.parametrize(
    ("model", "frames"),
    [*((PRETRAINED, n) for n in (607, 608, 609, 1216, 1217)), *((FINETUNED, n) for n in (1000, 1001, 1002, 1008))],
)
def test_chunks_at_the_edges_are_the_references(model, frames, length, expected):
    encoder, key = load(model, length=length), f"{KEY[model]}_edge{frames}frames"
    waveform = golden_clip("16s")[:, : (frames - 1) * 160]
    chunks = encoder.split(encoder.frontend(waveform))
    assert [encoder.embed(chunk).shape[1] for chunk in chunks] == expected[f"{key}_ntokens"].tolist()
    checks.assert_statistics(encoder, waveform, expected, key, [12])


@MODELS
def test_the_length_of_a_chunk_is_that_of_the_model(model):
    assert load(model.parent).chunk_frames == (608 if model == PRETRAINED else 1001)


def test_an_encoder_without_prefix_is_read_with_its_own_normalisation(tmp_path):
    prefix = checks.M2D_PREFIX[FINETUNED]
    state = {
        name.removeprefix(prefix): tensor for name, tensor in read_state(FINETUNED).items() if name.startswith(prefix)
    }
    encoder = load(checks.write_state(tmp_path / "encoder_only.safetensors", state))
    assert encoder.weights_digest == load(FINETUNED).weights_digest
    assert_close(encoder.norm_stats, torch.tensor([-6.6, 4.8]), 1e-6)
    assert_close(load(PRETRAINED).norm_stats, torch.tensor([-7.1, 4.2]), 1e-6)


def test_only_the_encoder_is_needed(tmp_path):
    ignorable = ("target_", "decoder_", "mask_token", "offline_predictor")
    state = {name: tensor for name, tensor in read_state(PRETRAINED).items() if not name.startswith(ignorable)}
    assert len(state) == 150
    encoder = load(checks.write_state(tmp_path / "bare.pth", state))
    assert encoder.weights_digest == load(PRETRAINED).weights_digest != load(FINETUNED).weights_digest


@MODELS
@pytest.mark.parametrize("damage", ["missing", "shape", "rows", "number"])
def test_a_wrong_position_table_is_named(model, damage, tmp_path):
    name = f"{checks.M2D_PREFIX[model]}pos_embed"
    torch.save(checks.damage_tensors(read_state(model), damage, name), tmp_path / "damaged.pth")
    assert name in one_line_error(lambda: load(tmp_path))


def test_a_decoder_of_another_depth_is_not_taken_for_granted(tmp_path):
    state = read_state(PRETRAINED)
    state["decoder_blocks.8.norm1.weight"] = state["decoder_blocks.7.norm1.weight"]
    torch.save(state, tmp_path / "deeper.pth")
    assert "decoder_blocks.8.norm1.weight" in one_line_error(lambda: load(tmp_path))


def test_a_very_short_clip_gives_one_column_and_a_shorter_one_is_refused():
    encoder = load()
    assert encoder.tokens(encoder.frontend(torch.zeros(1, 201)), [1])[1].shape == (1, 5, 36)
    assert "201" in one_line_error(lambda: encoder.frontend(torch.zeros(1, 200)))
