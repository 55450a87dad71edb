"""CED gives the numbers of the authors' code, for both published layouts and both length policies."""

from __future__ import annotations

import json
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

ORIGINAL = GOLDEN / "ced" / "audiotransformer_base_mAP_4999.pt"
HUGGING_FACE = GOLDEN / "ced" / "hf_layout_model.safetensors"
PREFIX = {ORIGINAL: "", HUGGING_FACE: "encoder."}
LAYOUTS = pytest.mark.parametrize("layout", [ORIGINAL, HUGGING_FACE], ids=["original", "hugging_face"])
FEATURES_ATOL, TOKENS_ATOL, STATISTICS_ATOL = 2e-3, 1e-4, 2e-5
ALL_BLOCKS = range(1, 13)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def expected():
    return golden_values("ced")


def load(checkpoint=ORIGINAL, length="native", num_heads=4, **options):
    return load_encoder("ced", checkpoint, length=length, num_heads=num_heads, **options)


def assert_statistics(encoder, waveform, expected, key, blocks):
    statistics = encoder.statistics(encoder.frontend(waveform), blocks)
    for block in blocks:
        for index, kind in enumerate(("mean", "std")):
            assert_close(statistics[block][index][-1], expected[f"{key}_block{block:02d}_{kind}"], STATISTICS_ATOL)


@pytest.mark.parametrize("clip", ["6s", "16s"])
def test_frontend_is_the_references(clip, expected):
    features = load().frontend(golden_clip(clip))
    assert_close(features[0], expected[f"logmel_bn_{clip}"], FEATURES_ATOL)


@LAYOUTS
@pytest.mark.parametrize("length", ["native", "reference"])
def test_tokens_of_a_short_clip_are_the_references(layout, length, expected):
    encoder = load(layout, length)
    tokens = encoder.tokens(encoder.frontend(golden_clip("10s")), [12, 1, 10])
    for block in (1, 10, 12):
        assert tokens[block].shape == (1, 248, 48)
        assert_close(tokens[block], expected[f"10s_block{block:02d}_tokens"], TOKENS_ATOL)
    assert_close(encoder.norm(tokens[12]), expected["10s_norm_tokens"], TOKENS_ATOL)


@pytest.mark.parametrize("length", ["native", "reference"])
@pytest.mark.parametrize("clip", ["6s", "10s"])
def test_statistics_of_every_block_are_the_references(clip, length, expected):
    assert_statistics(load(length=length), golden_clip(clip), expected, clip, ALL_BLOCKS)


def test_reference_pads_the_last_chunk_of_a_long_clip(expected):
    encoder = load(length="reference")
    assert_statistics(encoder, golden_clip("16s"), expected, "16s", ALL_BLOCKS)
    tokens = encoder.tokens(encoder.frontend(golden_clip("16s")), [10])[10]
    assert_close(tokens[0], expected["16s_block10_tokens"].flatten(0, 1), TOKENS_ATOL)


@pytest.mark.parametrize(
    ("frames", "clips"), [(1012, ["16s"]), (1013, ["16s"]), (2024, ["16s", "10s"]), (3036, ["16s", "16s"])]
)
def test_reference_chunks_at_the_edges(frames, clips, expected):
    waveform = torch.cat([golden_clip(clip) for clip in clips], dim=1)[:, : (frames - 1) * 160]
    encoder = load(length="reference")
    assert len(encoder.split(encoder.frontend(waveform))) == expected[f"{frames}frames_nchunks"]
    assert_statistics(encoder, waveform, expected, f"{frames}frames", [12])


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
    assert_statistics(load(), torch.cat([loud, quiet]), expected, "topdb_alone", [12])


def test_a_clip_does_not_depend_on_its_batch():
    encoder = load()
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


def test_both_layouts_give_the_same_weights():
    original, hugging_face = load(ORIGINAL), load(HUGGING_FACE)
    assert original.trained
    assert not original.training
    assert original.weights_digest == hugging_face.weights_digest != load("random", embed_dim=48).weights_digest
    assert sum(tensor.numel() for tensor in original.state_dict().values()) == sum(
        tensor.numel() for name, tensor in read_state(HUGGING_FACE).items() if "outputlayer" not in name and tensor.ndim
    )


@LAYOUTS
def test_the_layout_is_seen_in_the_content_not_in_the_name(layout, tmp_path):
    file = shutil.copy(layout, tmp_path / ("m2d_80x608.pt" if layout == HUGGING_FACE else "model.safetensors"))
    assert load(file).weights_digest == load(tmp_path).weights_digest == load(layout).weights_digest


def test_a_wrapped_state_in_half_precision_is_read(tmp_path):
    state = {name: tensor.half() for name, tensor in read_state(ORIGINAL).items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "wrapped.pt")
    encoder = load(tmp_path / "wrapped.pt")
    assert {tensor.dtype for tensor in encoder.state_dict().values()} == {torch.float32}


def test_the_number_of_heads_comes_from_the_config_or_must_be_given(tmp_path, expected):
    assert "num_heads" in one_line_error(lambda: load(num_heads=None))
    shutil.copy(HUGGING_FACE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"num_heads": 4}))
    assert_statistics(load(tmp_path, num_heads=None), golden_clip("6s"), expected, "6s", [12])
    assert "config.json" in one_line_error(lambda: load(tmp_path, num_heads=3))


@LAYOUTS
@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "nan"])
@pytest.mark.parametrize(
    "tensor", ["blocks.11.mlp.fc2.bias", "freq_pos_embed", "norm.weight", "patch_embed.proj.weight"]
)
def test_a_wrong_tensor_is_named(layout, damage, tensor, tmp_path):
    name = PREFIX[layout] + tensor
    file = write_state(tmp_path / f"damaged{layout.suffix}", damage_tensors(read_state(layout), damage, name))
    message = one_line_error(lambda: load(file))
    assert str(file) in message
    assert name + ("_2" if damage == "extra" else "") in message


@LAYOUTS
def test_every_tensor_that_matters_is_needed(layout, tmp_path):
    state = read_state(layout)
    ignorable = ("front_end.0.spectrogram.window", "front_end.0.mel_scale.fb", "outputlayer.")
    needed = {name for name in state if not name.startswith(ignorable) and not name.endswith("num_batches_tracked")}
    file = write_state(tmp_path / f"bare{layout.suffix}", {name: state[name] for name in needed})
    assert load(file).weights_digest == load(layout).weights_digest
    assert len(needed) == len(load(layout).state_dict())


@pytest.mark.parametrize(
    ("layout", "damage"),
    [
        *((ORIGINAL, damage) for damage in ("truncated", "beheaded", "empty", "text", "flipped")),
        *((HUGGING_FACE, damage) for damage in ("truncated", "beheaded", "empty", "text")),  # it has no checksum
    ],
)
def test_a_damaged_file_gives_one_line(layout, damage, tmp_path):
    file = damage_file(layout, tmp_path / layout.name, damage)
    assert str(file) in one_line_error(lambda: load(file))


def test_code_in_a_pickle_is_named_and_never_run(tmp_path):
    file = tmp_path / "hostile.pt"
    torch.save({**read_state(ORIGINAL), "extra": RunsCode(tmp_path / "made")}, file)
    assert "mkdir" in one_line_error(lambda: load(file))
    assert not (tmp_path / "made").exists()


def test_a_number_among_the_tensors_and_another_encoders_file_are_refused(tmp_path):
    file = tmp_path / "number.pt"
    torch.save(damage_tensors(read_state(ORIGINAL), "number", "norm.bias"), file)
    assert "norm.bias" in one_line_error(lambda: load(file))
    other = GOLDEN / "m2d" / "m2d_as_vit_base-80x608p16x16-240213"
    assert "freq_pos_embed" in one_line_error(lambda: load(other))


def test_an_untrained_encoder_is_the_same_for_the_same_seed():
    before = torch.random.get_rng_state()
    first, again, other = (load("random", embed_dim=48, depth=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert not first.trained
    mean, std = first.statistics(first.frontend(golden_clip("6s")), [3])[3]
    assert mean.shape == std.shape == (1, 48)
    assert bool(torch.isfinite(mean).all()) and bool((std > 0.01).all())


def test_gradients_reach_the_blocks_in_use_and_training_mode_changes_nothing():
    encoder = load()
    features = encoder.frontend(golden_clip("6s"))
    encoder.train()
    assert torch.equal(encoder.frontend(golden_clip("6s")), features)
    with torch.enable_grad():
        encoder.statistics(features, [6])[6][1].sum().backward()
    reached = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    unused = {
        name
        for name, _ in encoder.named_parameters()
        if name.startswith(("norm.", *(f"blocks.{n}." for n in range(6, 12))))
    }
    assert reached == {name for name, _ in encoder.named_parameters()} - unused


def test_autocast_leaves_the_frontend_in_float32():
    encoder = load()
    features = encoder.frontend(golden_clip("6s"))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.frontend(golden_clip("6s")), features)
        mean, _ = encoder.statistics(features, [10])[10]
    assert mean.dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 80, 100), (64, 100), (1, 64, 15), (1, 2, 64, 100)])
def test_features_of_another_shape_are_refused(shape):
    assert "64" in one_line_error(lambda: load().tokens(torch.zeros(shape), [1]))


def test_features_may_come_as_an_image():
    encoder = load()
    features = encoder.frontend(golden_clip("6s"))
    assert torch.equal(encoder.tokens(features.unsqueeze(1), [2])[2], encoder.tokens(features, [2])[2])


def test_a_clip_shorter_than_a_patch_is_refused():
    assert "2400" in one_line_error(lambda: load().frontend(torch.zeros(1, 2399)))
    assert load().frontend(torch.zeros(1, 2400)).shape == (1, 64, 16)
