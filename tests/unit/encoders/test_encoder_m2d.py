"""M2D-AS gives the numbers of the authors' code, for both published models."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from encoder_checks import (
    GOLDEN,
    RunsCode,
    assert_close,
    damage_file,
    damage_tensors,
    golden_clip,
    golden_values,
    one_line_error,
    read_state,
    write_state,
)

from workflow_lib.encoders import load_encoder

PRETRAINED = GOLDEN / "m2d" / "m2d_as_vit_base-80x608p16x16-240213" / "checkpoint-300.pth"
FINETUNED = GOLDEN / "m2d" / "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly" / "weights_ep69it3124-0.48494.pth"
KEY = {PRETRAINED: "pt608", FINETUNED: "ft1001"}
PREFIX = {PRETRAINED: "", FINETUNED: "module.ar.runtime.backbone."}
MODELS = pytest.mark.parametrize("model", [PRETRAINED, FINETUNED], ids=["80x608", "80x1001"])
LENGTHS = pytest.mark.parametrize("length", ["native", "reference"])
FEATURES_ATOL, TOKENS_ATOL, STATISTICS_ATOL = 5e-4, 1e-4, 2e-5
ALL_BLOCKS = range(1, 13)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def expected():
    return golden_values("m2d")


def load(checkpoint=PRETRAINED, length="native", num_heads=4, **options):
    return load_encoder("m2d", checkpoint, length=length, num_heads=num_heads, **options)


def assert_statistics(encoder, waveform, expected, key, blocks):
    statistics = encoder.statistics(encoder.frontend(waveform), blocks)
    for block in blocks:
        for index, kind in enumerate(("mean", "std")):
            assert_close(statistics[block][index][0], expected[f"{key}_block{block:02d}_{kind}"], STATISTICS_ATOL)


def expected_tokens(expected, key):
    """Patch tokens of all chunks, one behind the other; the reference puts CLS in front of each."""
    chunks = [expected[f"{key}_tokens_chunk{i}"][1:] for i in range(3) if f"{key}_tokens_chunk{i}" in expected]
    return torch.cat(chunks).unsqueeze(0)


def test_frontend_is_the_references(expected):
    assert_close(load(FINETUNED).frontend(golden_clip("10s"))[0], expected["lognorm_10s_ft1001"], FEATURES_ATOL)
    features = load(PRETRAINED).frontend(golden_clip("6s"))[0]
    assert_close(features * 4.2 - 7.1, expected["logmel_6s"], FEATURES_ATOL)


def test_silence_is_the_logarithm_of_the_offset():
    features = load().frontend(torch.zeros(1, 16000))
    assert_close(features, torch.full((1, 80, 101), (math.log(2**-23) + 7.1) / 4.2), 1e-5)


@MODELS
@LENGTHS
def test_tokens_are_the_references(model, length, expected):
    encoder = load(model, length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("10s")), [10, 1])
    for block in (1, 10):
        assert_close(tokens[block], expected_tokens(expected, f"{KEY[model]}_10s_block{block:02d}"), TOKENS_ATOL)


@LENGTHS
def test_tokens_of_a_long_clip_are_the_references(length, expected):
    encoder = load(FINETUNED, length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("16s")), [12])[12]
    assert tokens.shape == (1, 5 * (62 + 38), 36)
    assert_close(tokens, expected_tokens(expected, "ft1001_16s_block12"), TOKENS_ATOL)


def test_the_final_norm_is_loaded(expected):
    encoder = load(FINETUNED)
    tokens = encoder.tokens(encoder.frontend(golden_clip("10s")), [12])[12]
    assert_close(encoder.norm(tokens), expected_tokens(expected, "ft1001_10s_norm"), TOKENS_ATOL)


@MODELS
@pytest.mark.parametrize("clip", ["6s", "10s", "16s"])
def test_statistics_of_every_block_are_the_references(model, clip, expected):
    assert_statistics(load(model), golden_clip(clip), expected, f"{KEY[model]}_{clip}", ALL_BLOCKS)


@LENGTHS
@pytest.mark.parametrize(
    ("model", "frames"),
    [*((PRETRAINED, n) for n in (607, 608, 609, 1216, 1217)), *((FINETUNED, n) for n in (1000, 1001, 1002, 1008))],
)
def test_chunks_at_the_edges_are_the_references(model, frames, length, expected):
    encoder, key = load(model, length), f"{KEY[model]}_edge{frames}frames"
    waveform = golden_clip("16s")[:, : (frames - 1) * 160]
    chunks = encoder.split(encoder.frontend(waveform))
    assert [encoder.embed(chunk).shape[1] for chunk in chunks] == expected[f"{key}_ntokens"].tolist()
    assert_statistics(encoder, waveform, expected, key, [12])


@MODELS
def test_a_clip_does_not_depend_on_its_batch(model):
    encoder = load(model)
    clip, other = golden_clip("10s")[:, :96000], golden_clip("6s")

    def run(*clips):
        return torch.cat(encoder.statistics(encoder.frontend(torch.cat(clips)), [12])[12], dim=1)[0]

    assert torch.equal(run(clip, other, other), run(clip, 1e-4 * other, 0 * other))
    assert_close(run(clip), run(clip, other, 1e-4 * other), 1e-5)


def test_nothing_behind_the_last_block_is_computed():
    encoder = load()
    computed = []
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: computed.append(number))
    tokens = encoder.tokens(encoder.frontend(golden_clip("6s")), [5, 2])
    assert (sorted(tokens), computed) == ([2, 5], [1, 2, 3, 4, 5])


@MODELS
def test_a_folder_or_a_file_of_any_name_is_read(model, tmp_path):
    file = shutil.copy(model, tmp_path / "ced.pt")
    encoder = load(file)
    assert encoder.trained
    assert not encoder.training
    assert encoder.chunk_frames == (608 if model == PRETRAINED else 1001)
    assert encoder.weights_digest == load(tmp_path).weights_digest == load(model.parent).weights_digest


def test_an_encoder_without_prefix_is_read_with_its_own_normalisation(tmp_path):
    prefix = PREFIX[FINETUNED]
    state = {
        name.removeprefix(prefix): tensor for name, tensor in read_state(FINETUNED).items() if name.startswith(prefix)
    }
    encoder = load(write_state(tmp_path / "encoder_only.safetensors", state))
    assert encoder.weights_digest == load(FINETUNED).weights_digest
    assert_close(encoder.norm_stats, torch.tensor([-6.6, 4.8]), 1e-6)
    assert_close(load(PRETRAINED).norm_stats, torch.tensor([-7.1, 4.2]), 1e-6)


def test_only_the_encoder_is_needed(tmp_path):
    ignorable = ("target_", "decoder_", "mask_token", "offline_predictor")
    state = {name: tensor for name, tensor in read_state(PRETRAINED).items() if not name.startswith(ignorable)}
    assert len(state) == 150
    encoder = load(write_state(tmp_path / "bare.pth", state))
    assert encoder.weights_digest == load(PRETRAINED).weights_digest != load(FINETUNED).weights_digest


@MODELS
@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "nan"])
@pytest.mark.parametrize("tensor", ["blocks.11.mlp.fc2.bias", "cls_token", "norm.weight", "patch_embed.proj.weight"])
def test_a_wrong_tensor_is_named(model, damage, tensor, tmp_path):
    name = PREFIX[model] + tensor
    file = write_state(tmp_path / "damaged.pth", damage_tensors(read_state(model), damage, name))
    message = one_line_error(lambda: load(file))
    assert str(file) in message
    assert name + ("_2" if damage == "extra" else "") in message


@MODELS
@pytest.mark.parametrize("damage", ["missing", "shape", "rows", "number"])
def test_a_wrong_position_table_is_named(model, damage, tmp_path):
    name = f"{PREFIX[model]}pos_embed"
    state = damage_tensors(read_state(model), damage, name)
    if damage == "rows":
        state[name] = state[name][:, :-5]
    torch.save(state, tmp_path / "damaged.pth")
    assert name in one_line_error(lambda: load(tmp_path))


def test_a_decoder_of_another_depth_is_not_taken_for_granted(tmp_path):
    state = read_state(PRETRAINED)
    state["decoder_blocks.8.norm1.weight"] = state["decoder_blocks.7.norm1.weight"]
    assert "decoder_blocks.8.norm1.weight" in one_line_error(lambda: load(write_state(tmp_path / "x.pth", state)))


@MODELS
@pytest.mark.parametrize("damage", ["truncated", "beheaded", "empty", "text", "flipped"])
def test_a_damaged_file_gives_one_line(model, damage, tmp_path):
    file = damage_file(model, tmp_path / model.name, damage)
    assert str(file) in one_line_error(lambda: load(file))


def test_code_in_a_pickle_is_named_and_never_run(tmp_path):
    file = tmp_path / "hostile.pth"
    torch.save({"model": read_state(PRETRAINED), "args": RunsCode(tmp_path / "made")}, file)
    assert "mkdir" in one_line_error(lambda: load(file))
    assert not (tmp_path / "made").exists()


def test_another_encoders_file_and_an_unknown_number_of_heads_are_refused():
    assert "pos_embed" in one_line_error(lambda: load(GOLDEN / "ced" / "audiotransformer_base_mAP_4999.pt"))
    assert "num_heads" in one_line_error(lambda: load(num_heads=None))


@pytest.mark.parametrize("chunk_frames", [608, 1001])
def test_an_untrained_encoder_is_the_same_for_the_same_seed(chunk_frames):
    before = torch.random.get_rng_state()
    sizes = {"embed_dim": 32, "depth": 3, "chunk_frames": chunk_frames}
    first, again, other = (load("random", seed=seed, **sizes) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert not first.trained
    mean, std = first.statistics(first.frontend(golden_clip("10s")), [3])[3]
    assert mean.shape == std.shape == (1, 32)
    assert bool(torch.isfinite(mean).all()) and bool((std > 0.01).all())


def test_an_unknown_chunk_length_is_refused():
    assert "608, 1001" in one_line_error(lambda: load("random", embed_dim=32, chunk_frames=992))


def test_gradients_reach_the_blocks_in_use():
    encoder = load()
    features = encoder.frontend(golden_clip("10s"))
    encoder.train()
    with torch.enable_grad():
        encoder.statistics(features, [6])[6][1].sum().backward()
    reached = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    behind = ("norm.", *(f"blocks.{number}." for number in range(6, 12)))
    assert reached == {name for name, _ in encoder.named_parameters() if not name.startswith(behind)}


def test_autocast_leaves_the_frontend_in_float32():
    encoder = load()
    features = encoder.frontend(golden_clip("6s"))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.frontend(golden_clip("6s")), features)
        mean, _ = encoder.statistics(features, [10])[10]
    assert mean.dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 64, 100), (80, 100), (1, 80, 0), (1, 2, 80, 100)])
def test_features_of_another_shape_are_refused(shape):
    assert "80" in one_line_error(lambda: load().tokens(torch.zeros(shape), [1]))


def test_a_very_short_clip_gives_one_column_and_a_shorter_one_is_refused():
    encoder = load()
    assert encoder.tokens(encoder.frontend(torch.zeros(1, 201)), [1])[1].shape == (1, 5, 36)
    assert "201" in one_line_error(lambda: encoder.frontend(torch.zeros(1, 200)))
