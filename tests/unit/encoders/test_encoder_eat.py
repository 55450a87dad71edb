"""EAT against the authors' own numbers, in every published file layout, and against damaged files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchaudio.compliance import kaldi

from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import pool_tokens
from workflow_lib.encoders.eat import Eat, sincos_table
from workflow_lib.encoders.kaldi import KaldiFbank
from workflow_lib.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden" / "eat"
PT = GOLDEN / "eat_small_pt.pt"
CLIPS = ("clip06", "clip10", "clip16")
LENGTHS = ("reference", "native")
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2}
# Tolerances of the golden data; measured here: tokens 1.2e-5, statistics 2.3e-6, log-mel 9e-4 on cells near silence.
TOKEN_ATOL, STATISTICS_ATOL, LOG_MEL_ATOL, LOG_MEL_QUANTILE_ATOL = 5e-5, 2e-5, 2e-3, 1e-4


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def encoders():
    return {length: load_encoder("eat", PT, length=length) for length in LENGTHS}


@pytest.fixture(scope="module")
def state():
    content = torch.load(PT, weights_only=True)
    return {name: tensor for name, tensor in content["model"].items() if name != "_ema"}


def waveform(golden, clip):
    return torch.from_numpy(golden[f"{clip}/wav_int16"] / np.float32(32768))[None]


def name_in_fairseq(name):
    """A published name without its outer prefix -> the name in a fairseq pretraining file (None for the heads)."""
    if name.startswith(("fc_norm.", "head.")):
        return None
    if name.startswith(("blocks.", "modality_encoders.")):
        return name
    return "modality_encoders.IMAGE." + name.replace("pre_norm", "context_encoder.norm")


def layout_state(state, layout):
    """Make the tensors of one published layout, at small width, out of the fairseq pretraining tensors."""
    shapes = json.loads((GOLDEN / "layouts.json").read_text())[layout]
    tensors = {}
    for name, shape in shapes.items():
        source = name_in_fairseq(name.removeprefix("model."))
        small = [{768: 96, 2304: 288, 3072: 384, 48: 6}.get(size, size) for size in shape]
        tensors[name] = state[source].float() if source else torch.full(small, 0.5)
        assert list(tensors[name].shape) == small, name
    return tensors


def write_hugging_face(folder, tensors):
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    sizes = {"model_type": "eat", "embed_dim": 96, "depth": 12, "num_heads": 6}
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


# --- front end ---


@pytest.mark.parametrize("clip", CLIPS)
def test_log_mel_is_the_reference_front_ends(golden, encoders, clip):
    wave = waveform(golden, clip)
    log_mel = encoders["native"].fbank(wave - wave.mean())[0, ::3].numpy()
    difference = np.abs(log_mel - golden[f"{clip}/log_mel"])
    assert difference.max() < LOG_MEL_ATOL
    assert np.quantile(difference, 0.999) < LOG_MEL_QUANTILE_ATOL


def test_log_mel_of_a_batch_is_torchaudios_of_each_clip(golden):
    clips = torch.cat([waveform(golden, clip)[:, :96000] for clip in CLIPS])
    options = {"htk_compat": True, "window_type": "hanning", "num_mel_bins": 128, "dither": 0.0, "frame_shift": 10}
    expected = [kaldi.fbank(clip[None], sample_frequency=16000, use_energy=False, **options) for clip in clips]
    torch.testing.assert_close(KaldiFbank()(clips), torch.stack(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("clip", "native_frames"), [("clip06", 608), ("clip10", 1008), ("clip16", 1600)])
def test_features_are_padded_or_cropped_as_the_length_policy_says(golden, encoders, clip, native_frames):
    wave = waveform(golden, clip)
    native, reference = (encoders[length].frontend(wave) for length in ("native", "reference"))
    assert native.shape == (1, 1, native_frames, 128)
    assert reference.shape == (1, 1, 1024, 128)
    shared = min(native_frames, 1024)
    torch.testing.assert_close(native[:, :, :shared], reference[:, :, :shared], rtol=0, atol=0)
    frames = 1 + (wave.shape[1] - 400) // 160
    padding = torch.cat((native[:, :, frames:], reference[:, :, frames:]), dim=2)
    assert clip == "clip16" or padding.numel()
    assert torch.allclose(padding, torch.tensor(4.268 / 9.138), atol=1e-6)


def test_front_end_stays_in_float32_under_autocast(golden, encoders):
    wave = waveform(golden, "clip06")
    expected = encoders["native"].frontend(wave)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoders["native"].frontend(wave), expected)


def test_waveforms_that_are_no_clips_are_refused(encoders):
    for wave, fault in (
        (torch.zeros(1, 399), "at least 400 samples"),
        (torch.zeros(16000), r"give float32 \(clips, samples\)"),
        (torch.zeros(1, 16000, dtype=torch.int16), r"int16 \(1, 16000\)"),
    ):
        with pytest.raises(UserError, match=fault):
            encoders["native"].frontend(wave)


# --- tokens and statistics ---


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("clip", CLIPS)
def test_tokens_and_statistics_are_the_authors_after_every_block(golden, encoders, clip, length):
    encoder = encoders[length]
    with torch.inference_mode():
        features = encoder.frontend(waveform(golden, clip))
        tokens = encoder.tokens(features, range(1, 13))
        statistics = encoder.statistics(features, range(1, 13))
    for block in range(1, 13):
        key = f"{length}/{clip}/block{block:02d}"
        for found, moment in zip(statistics[block], ("mean", "std"), strict=True):
            np.testing.assert_allclose(found[0], golden[f"{key}/{moment}"], rtol=0, atol=STATISTICS_ATOL)
        if f"{key}/tokens" in golden:
            np.testing.assert_allclose(tokens[block][0, ::5], golden[f"{key}/tokens"], rtol=0, atol=TOKEN_ATOL)


@pytest.mark.parametrize("clip", CLIPS)
def test_patches_with_positions_are_the_authors(golden, encoders, clip):
    encoder = encoders["reference"]
    with torch.inference_mode():
        embedded = encoder.embed(encoder.frontend(waveform(golden, clip)))
    np.testing.assert_allclose(embedded[0, ::5], golden[f"reference/{clip}/embed"], rtol=0, atol=TOKEN_ATOL)


def test_norms_use_the_published_epsilon(encoders):
    # 1e-5 would change tokens by less than the tolerance.
    norms = [module for module in encoders["native"].modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 25
    assert {norm.eps for norm in norms} == {1e-6}


def test_nothing_after_the_last_block_asked_for_is_computed(golden, encoders):
    encoder, ran = encoders["native"], []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(encoder.blocks, start=1)
    ]
    found = encoder.tokens(encoder.frontend(waveform(golden, "clip06")), blocks=[3, 1])
    for hook in hooks:
        hook.remove()
    assert ran == [1, 2, 3]
    assert sorted(found) == [1, 3]


@pytest.mark.parametrize("blocks", [[], [0], [1, 13]])
def test_blocks_that_do_not_exist_are_refused(encoders, blocks):
    with pytest.raises(UserError, match="from 1 to 12"):
        encoders["native"].tokens(torch.zeros(1, 1, 16, 128), blocks)


@pytest.mark.parametrize("shape", [(1, 1, 998, 128), (1, 1, 1008, 64), (1, 2, 1008, 128), (1008, 128)])
def test_features_of_another_shape_are_refused(encoders, shape):
    with pytest.raises(UserError, match="EAT features are"):
        encoders["native"].tokens(torch.zeros(shape), [1])


def test_statistics_of_a_clip_do_not_depend_on_its_neighbours(golden, encoders):
    encoder = encoders["native"]
    clips = torch.cat([waveform(golden, clip)[:, :96000] * gain for clip in CLIPS for gain in (1.0, 0.01)])
    with torch.inference_mode():
        together = encoder.statistics(encoder.frontend(clips), [10])[10]
        for index in range(len(clips)):
            alone = encoder.statistics(encoder.frontend(clips[index : index + 1]), [10])[10]
            for found, expected in zip(alone, together, strict=True):
                # Bit for bit here; another matrix library may round differently for another number of rows.
                torch.testing.assert_close(found[0], expected[index], rtol=0, atol=2e-6)


def test_native_length_hears_the_end_of_a_long_clip_and_the_reference_does_not(golden, encoders):
    wave = waveform(golden, "clip16")
    cut = wave.clone()
    cut[:, 166000:] = 0  # behind frame 1024
    # The waveform's mean is removed first and would tell of the end as well.
    wave, cut = wave - wave.mean(), cut - cut.mean()
    for length, limit in (("native", 1e-2), ("reference", 1e-3)):
        with torch.inference_mode():
            means = [encoders[length].statistics(encoders[length].frontend(w), [10])[10][0] for w in (wave, cut)]
        assert ((means[0] - means[1]).abs().max() > limit) == (length == "native")


def test_a_clip_longer_than_the_position_table_is_encoded_in_chunks(golden, state, tmp_path):
    table = "modality_encoders.IMAGE.fixed_positional_encoder.positions"
    torch.save({"model": state | {table: state[table][:, :512]}}, tmp_path / "oldest_release.pt")
    encoder = load_encoder("eat", tmp_path / "oldest_release.pt", num_heads=6)
    with torch.inference_mode():
        features = encoder.frontend(waveform(golden, "clip16"))
        found = encoder.tokens(features, [10])[10]
        first, second = (encoder.tokens(part, [10])[10] for part in features.split([1024, 576], dim=2))
        mean, _ = encoder.statistics(features, [10])[10]
    assert found.shape == (1, 800, 96)
    torch.testing.assert_close(found, torch.cat((first, second), dim=1), rtol=0, atol=1e-6)
    torch.testing.assert_close(mean, found.mean(dim=1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(first[0, ::5], golden["reference/clip16/block10/tokens"], rtol=0, atol=TOKEN_ATOL)


def test_deviations_divide_by_the_number_of_tokens_and_survive_a_large_mean():
    tokens = torch.rand(2, 500, 8, generator=torch.Generator().manual_seed(0)) + 1000
    mean, std = pool_tokens(tokens)
    np.testing.assert_allclose(mean, tokens.double().mean(1), rtol=1e-6)
    np.testing.assert_allclose(std, tokens.double().std(1, correction=0), rtol=1e-4)


# --- file layouts ---


@pytest.mark.parametrize("layout", ["hf_pretrain", "hf_finetune"])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_hugging_face_layouts_load_the_same_weights(encoders, state, tmp_path, layout, named):
    folder = write_hugging_face(tmp_path, layout_state(state, layout))
    encoder = load_encoder("eat", folder if named == "folder" else folder / "model.safetensors")
    assert encoder.weights_digest == encoders["native"].weights_digest
    assert (encoder.num_heads, encoder.trained, encoder.training) == (6, True, False)


def test_fairseq_finetuning_layout_loads_the_same_weights(encoders, state, tmp_path):
    pretrained = {"model": {"embed_dim": 96, "depth": 12, "num_heads": 6}}
    content = {
        "model": layout_state(state, "fairseq_finetune"),
        "cfg": {"model": {"num_classes": 527, "pretrained_model_args": pretrained}},
    }
    torch.save(content, tmp_path / "finetuned.pt")
    encoder = load_encoder("eat", tmp_path / "finetuned.pt")
    assert encoder.weights_digest == encoders["native"].weights_digest
    assert encoder.num_heads == 6


def test_the_layout_is_told_by_content_not_by_name(encoders, state, tmp_path):
    save_file(layout_state(state, "fairseq_pretrain"), tmp_path / "weights.pt")
    shutil.copy(PT, tmp_path / "model.safetensors")
    for file in tmp_path.iterdir():
        encoder = load_encoder("eat", file, num_heads=6)
        assert encoder.weights_digest == encoders["native"].weights_digest


def test_weights_are_float32_and_the_teacher_is_not_among_them(encoders, state):
    loaded = encoders["native"].state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert len(loaded) == 150
    assert torch.equal(loaded["blocks.9.mlp.fc2.weight"], state["blocks.9.mlp.fc2.weight"].float())


def test_sizes_that_contradict_the_file_are_refused(state, tmp_path):
    with pytest.raises(UserError, match="num_heads is 6, but the caller says 12"):
        load_encoder("eat", PT, num_heads=12)
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(UserError, match="give num_heads"):
        load_encoder("eat", tmp_path / "bare.pt")


# --- damaged and wrong files ---


def change(tensors, **changes):
    """Return a state with some tensors replaced (None: removed), named with `__` for `.`."""
    changed = tensors | {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in changed.items() if tensor is not None}


WRONG_TENSORS = {
    "a missing tensor": ({"model__pre_norm__weight": None}, r"missing: model\.pre_norm\.weight"),
    "a missing table": (
        {"model__fixed_positional_encoder__positions": None},
        "missing: model.fixed_positional_encoder",
    ),
    "a missing block": (
        {f"model__blocks__11__{part}__{kind}": None for part in ("norm1", "norm2") for kind in ("weight", "bias")},
        r"missing: model\.blocks\.11\.norm1\.bias",
    ),
    "an extra tensor": (
        {"model__blocks__12__norm1__bias": torch.ones(96)},
        r"unexpected: model\.blocks\.12\.norm1\.bias",
    ),
    "a wrong shape": (
        {"model__extra_tokens": torch.ones(1, 2, 96)},
        r"model\.extra_tokens is \(1, 2, 96\), not \(1, 1, 96\)",
    ),
    "a wrong table": (
        {"model__fixed_positional_encoder__positions": torch.ones(1, 6143, 96)},
        r"positions is \(1, 6143, 96\), not \(1, 6144, 96\)",
    ),
    "another patch": (
        {"model__local_encoder__proj__weight": torch.ones(96, 3, 16, 16)},
        r"proj\.weight is \(96, 3, 16, 16\), not \(96, 1, 16, 16\)",
    ),
    "a NaN": ({"model__pre_norm__bias": torch.full((96,), torch.nan)}, r"NaN values in model\.pre_norm\.bias"),
}


@pytest.mark.parametrize("fault", WRONG_TENSORS)
def test_wrong_tensors_are_named_in_one_line(state, tmp_path, fault):
    changes, message = WRONG_TENSORS[fault]
    write_hugging_face(tmp_path, change(layout_state(state, "hf_pretrain"), **changes))
    with pytest.raises(UserError, match=message) as caught:
        load_encoder("eat", tmp_path)
    assert_one_line(caught.value, tmp_path)


@pytest.mark.parametrize("layout", ["fairseq_pretrain", "fairseq_finetune"])
def test_a_missing_tensor_is_named_as_in_the_file(state, tmp_path, layout):
    tensors = layout_state(state, layout)
    name = next(name for name in tensors if name.endswith("IMAGE.extra_tokens"))
    del tensors[name]
    torch.save({"model": tensors}, tmp_path / "eat.pt")
    with pytest.raises(UserError, match=rf"missing: {name}\)"):
        load_encoder("eat", tmp_path / "eat.pt", num_heads=6)


def flip_a_byte(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGED_BYTES = {
    "empty": (lambda pt, safetensors: b"", "the file is empty"),
    "pt cut in the middle": (lambda pt, safetensors: pt[: len(pt) // 2], "damaged or cut off"),
    "pt without its last byte": (lambda pt, safetensors: pt[:-1], "damaged or cut off"),
    "pt with a flipped byte": (lambda pt, safetensors: flip_a_byte(pt), "fails its checksum"),
    "safetensors cut in the header": (lambda pt, safetensors: safetensors[:500], "damaged or cut off"),
    "safetensors cut in the middle": (
        lambda pt, safetensors: safetensors[: len(safetensors) // 2],
        "damaged or cut off",
    ),
    "safetensors without its last byte": (lambda pt, safetensors: safetensors[:-1], "damaged or cut off"),
    "a web page": (
        lambda pt, safetensors: b"<!DOCTYPE html><html>404</html>",
        "neither a safetensors nor a torch.save",
    ),
    "a Git LFS pointer": (lambda pt, safetensors: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a pickle of something else": (lambda pt, safetensors: b"\x80\x02}q\x00.", "damaged"),
}


@pytest.mark.parametrize("fault", DAMAGED_BYTES)
def test_damaged_files_give_one_line(state, tmp_path, fault):
    damage, message = DAMAGED_BYTES[fault]
    write_hugging_face(tmp_path, layout_state(state, "hf_pretrain"))
    file = tmp_path / "damaged.bin"
    file.write_bytes(damage(PT.read_bytes(), (tmp_path / "model.safetensors").read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        load_encoder("eat", file)
    assert_one_line(caught.value, file)


def test_another_models_file_is_told_apart(tmp_path):
    save_file(
        {"cls_token": torch.ones(1, 1, 768), "blocks.0.norm1.bias": torch.ones(768)}, tmp_path / "vit.safetensors"
    )
    with pytest.raises(UserError, match="no EAT checkpoint") as caught:
        load_encoder("eat", tmp_path / "vit.safetensors")
    assert_one_line(caught.value, tmp_path)


def test_folders_without_one_weight_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no weight file"):
        load_encoder("eat", tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"several weight files \(a\.pt, b\.pt\)"):
        load_encoder("eat", tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        load_encoder("eat", tmp_path / "nowhere.pt")


class RunsOnLoading:
    """Something a hostile file could hold: unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_run(state, tmp_path, zipped):
    trap, file = str(tmp_path / "trap"), tmp_path / "hostile.pt"
    content = {"model": state, "extra_state": RunsOnLoading(trap)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"Python run posix\.mkdir.*trust_pickle") as caught:
        load_encoder("eat", file, num_heads=6)
    assert_one_line(caught.value, file)
    assert not Path(trap).exists()


def test_types_named_in_trust_pickle_are_read(encoders, state, tmp_path):
    # What a real extra_state may hold: the best validation figure as a NumPy number.
    torch.save({"model": state, "extra_state": {"best": np.float64(0.5)}}, tmp_path / "eat.pt")
    with pytest.raises(UserError, match=r"numpy\S*\.scalar, numpy\.dtype"):
        load_encoder("eat", tmp_path / "eat.pt", num_heads=6)
    scalar = f"{np.float64(0.5).__reduce__()[0].__module__}.scalar"
    trusted = [scalar, "numpy.dtype", "numpy.dtypes.Float64DType"]
    encoder = load_encoder("eat", tmp_path / "eat.pt", num_heads=6, trust_pickle=trusted)
    assert encoder.weights_digest == encoders["native"].weights_digest
    with pytest.raises(UserError, match=r"there is no 'numpy\.nothing'"):
        load_encoder("eat", tmp_path / "eat.pt", trust_pickle=["numpy.nothing"])


def assert_one_line(fault, path):
    text = str(fault)
    assert "\n" not in text
    assert str(path) in text


# --- untrained variants, training ---


def test_a_random_encoder_has_the_same_bytes_each_time_and_leaves_global_randomness_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (load_encoder("eat", "random", seed=seed, **SMALL) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert not first.trained
    assert (first.embed_dim, first.depth, first.num_heads, first.training) == (32, 2, 2, False)
    assert {parameter.device.type for parameter in first.state_dict().values()} == {"cpu"}


def test_a_random_encoder_tells_clips_apart():
    encoder = load_encoder("eat", "random", **SMALL)
    noise = torch.randn(1, 32000, generator=torch.Generator().manual_seed(1))
    tone = torch.sin(torch.arange(32000) * 0.3)[None]
    with torch.inference_mode():
        means, stds = encoder.statistics(encoder.frontend(torch.cat((noise, tone)) * 0.1), [2])[2]
    assert torch.isfinite(means).all() and torch.isfinite(stds).all()
    assert (means[0] - means[1]).norm() > 0.1 * means[0].norm()


def test_the_position_table_is_the_authors(golden):
    """To one rounding of the frequencies: CPUs differ in the last bit of float32 powers, and an angle multiplies it."""
    small, rows = np.arange(800)[::13], golden["sincos768_rows"]
    for table, row, wanted in (
        (sincos_table(800, 96)[0, small], small, golden["sincos96"]),
        (sincos_table(6144, 768)[0, rows], rows, golden["sincos768"]),
    ):
        bound = 1e-6 + np.finfo(np.float32).eps * np.maximum(row % 8, row // 8)
        assert (np.abs(table.numpy() - wanted) <= bound[:, None]).all()


def test_full_size_is_the_published_one():
    encoder = Eat(embed_dim=768, depth=12, num_heads=12, table_rows=6144, length="native")  # on the meta device
    assert sum(tensor.numel() for tensor in encoder.state_dict().values()) == 89_972_736
    adapted = [encoder.get_submodule(f"blocks.{n}.attn.{part}") for n in range(5, 10) for part in ("qkv", "proj")]
    assert sum(8 * (linear.in_features + linear.out_features) for linear in adapted) == 184_320


def test_gradients_reach_every_block_that_is_computed():
    encoder = load_encoder("eat", "random", **SMALL)
    encoder.tokens(torch.zeros(2, 1, 32, 128), [1])[1].square().sum().backward()
    assert encoder.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    assert encoder.blocks[1].attn.qkv.weight.grad is None


def test_names_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="write eat"):
        load_encoder("eats", "random")
    with pytest.raises(UserError, match="write 'native' or 'reference'"):
        load_encoder("eat", "random", length="nativ", **SMALL)
    with pytest.raises(UserError, match="not a multiple of num_heads"):
        load_encoder("eat", "random", embed_dim=32, num_heads=3)
    with pytest.raises(UserError, match="give num_heads"):
        load_encoder("eat", "random", embed_dim=96)
