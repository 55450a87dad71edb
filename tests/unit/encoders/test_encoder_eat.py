"""EAT against the authors' own numbers; tensors that are not its own are named."""

from __future__ import annotations

import encoder_checks as checks
import numpy as np
import pytest
import torch
from encoder_checks import EAT, one_line_error
from torchaudio.compliance import kaldi

from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import pool_tokens
from workflow_lib.encoders.eat import Eat, sincos_table
from workflow_lib.encoders.kaldi import KaldiFbank

no_grad, pytestmark = checks.no_grad, pytest.mark.usefixtures("no_grad")
PT = EAT.file
CLIPS = ("clip06", "clip10", "clip16")
LENGTHS = ("reference", "native")
# Tolerances of the golden data; measured here: tokens 1.2e-5, statistics 2.3e-6, log-mel 9e-4 on cells near silence.
TOKEN_ATOL, STATISTICS_ATOL, LOG_MEL_ATOL, LOG_MEL_QUANTILE_ATOL = 5e-5, 2e-5, 2e-3, 1e-4


@pytest.fixture(scope="module")
def golden():
    with np.load(PT.with_name("expected.npz")) as file:
        return dict(file)


@pytest.fixture(scope="module")
def encoders():
    return {length: load_encoder("eat", PT, length=length) for length in LENGTHS}


@pytest.fixture(scope="module")
def state():
    return checks.read_state(PT)


def waveform(golden, clip):
    return torch.from_numpy(golden[f"{clip}/wav_int16"] / np.float32(32768))[None]


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


@pytest.mark.parametrize(
    ("wave", "fault"),
    [
        (torch.zeros(1, 399), "at least 400 samples"),
        (torch.zeros(16000), "give float32 (clips, samples)"),
        (torch.zeros(1, 16000, dtype=torch.int16), "int16 (1, 16000)"),
    ],
)
def test_waveforms_that_are_no_clips_are_refused(encoders, wave, fault):
    assert fault in one_line_error(lambda: encoders["native"].frontend(wave))


# --- tokens and statistics ---


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("clip", CLIPS)
def test_tokens_and_statistics_are_the_authors_after_every_block(golden, encoders, clip, length):
    encoder = encoders[length]
    features = encoder.frontend(waveform(golden, clip))
    if length == "reference":  # patches with their positions
        embedded = golden[f"reference/{clip}/embed"]
        np.testing.assert_allclose(encoder.embed(features)[0, ::5], embedded, rtol=0, atol=TOKEN_ATOL)
    tokens = encoder.tokens(features, range(1, 13))
    statistics = encoder.statistics(features, range(1, 13))
    for block in range(1, 13):
        key = f"{length}/{clip}/block{block:02d}"
        for found, moment in zip(statistics[block], ("mean", "std"), strict=True):
            np.testing.assert_allclose(found[0], golden[f"{key}/{moment}"], rtol=0, atol=STATISTICS_ATOL)
        if f"{key}/tokens" in golden:
            np.testing.assert_allclose(tokens[block][0, ::5], golden[f"{key}/tokens"], rtol=0, atol=TOKEN_ATOL)


def test_native_length_hears_the_end_of_a_long_clip_and_the_reference_does_not(golden, encoders):
    wave = waveform(golden, "clip16")
    cut = wave.clone()
    cut[:, 166000:] = 0  # behind frame 1024
    # The waveform's mean is removed first and would tell of the end as well.
    wave, cut = wave - wave.mean(), cut - cut.mean()
    for length, limit in (("native", 1e-2), ("reference", 1e-3)):
        means = [encoders[length].statistics(encoders[length].frontend(w), [10])[10][0] for w in (wave, cut)]
        assert ((means[0] - means[1]).abs().max() > limit) == (length == "native")


def test_a_clip_longer_than_the_position_table_is_encoded_in_chunks(golden, state, tmp_path):
    table = "modality_encoders.IMAGE.fixed_positional_encoder.positions"
    torch.save({"model": state | {table: state[table][:, :512]}}, tmp_path / "oldest_release.pt")
    encoder = load_encoder("eat", tmp_path / "oldest_release.pt", num_heads=6)
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


def test_weights_are_float32_without_the_teacher_and_norms_use_the_published_epsilon(encoders, state):
    loaded = encoders["native"].state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert len(loaded) == 150
    assert torch.equal(loaded["blocks.9.mlp.fc2.weight"], state["blocks.9.mlp.fc2.weight"].float())
    # 1e-5 would change tokens by less than the tolerance.
    norms = [module for module in encoders["native"].modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 25
    assert {norm.eps for norm in norms} == {1e-6}


def test_sizes_that_contradict_the_file_are_refused(state, tmp_path):
    twelve = one_line_error(lambda: load_encoder("eat", PT, num_heads=12))
    assert "num_heads is 6, but the caller says 12" in twelve
    torch.save(state, tmp_path / "bare.pt")
    assert "give num_heads" in one_line_error(lambda: load_encoder("eat", tmp_path / "bare.pt"))


TABLE = "model.fixed_positional_encoder.positions"
WRONG_TENSORS = {
    "a missing block": (
        {f"model.blocks.11.{part}.{kind}": None for part in ("norm1", "norm2") for kind in ("weight", "bias")},
        "missing: model.blocks.11.norm1.bias",
    ),
    "an extra block": ({"model.blocks.12.norm1.bias": torch.ones(96)}, "unexpected: model.blocks.12.norm1.bias"),
    "a wrong table": ({TABLE: torch.ones(1, 6143, 96)}, "positions is (1, 6143, 96), not (1, 6144, 96)"),
    "another patch": (
        {"model.local_encoder.proj.weight": torch.ones(96, 3, 16, 16)},
        "proj.weight is (96, 3, 16, 16), not (96, 1, 16, 16)",
    ),
}


@pytest.mark.parametrize("fault", WRONG_TENSORS)
def test_wrong_tensors_are_named_in_one_line(tmp_path, fault):
    changes, message = WRONG_TENSORS[fault]
    tensors = {
        name: tensor for name, tensor in {**checks.eat_layout("hf_pretrain"), **changes}.items() if tensor is not None
    }
    checks.write_hugging_face_eat(tmp_path, tensors)
    assert message in one_line_error(lambda: load_encoder("eat", tmp_path))


# --- untrained variants, training ---


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
