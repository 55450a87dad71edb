"""What holds for every encoder and every published layout: same bytes, independent clips, faults named in one line."""

import re
import shutil

import encoder_checks as checks
import numpy as np
import pytest
import torch
from encoder_checks import EAT, PUBLISHED, assert_close, golden_clip, one_line_error, read_state
from safetensors.torch import save_file

from workflow_lib.encoders import load_encoder

no_grad, pytestmark = checks.no_grad, pytest.mark.usefixtures("no_grad")
SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2}
RANDOM = {**dict.fromkeys(("eat", "ced", "m2d", "huggingface"), SIZES), "m2d of 1001": {**SIZES, "chunk_frames": 1001}}
EAT_LAYOUTS = ("hf_pretrain", "hf_finetune", "fairseq_finetune")
PICKLES = [name for name, published in PUBLISHED.items() if published.file.suffix != ".safetensors"]


@pytest.fixture(scope="module", params=[*PUBLISHED, *EAT_LAYOUTS])
def published(request, tmp_path_factory) -> checks.Published:
    if request.param in PUBLISHED:
        return PUBLISHED[request.param]
    tensors, folder = checks.eat_layout(request.param), tmp_path_factory.mktemp(request.param)
    if request.param.startswith("hf"):
        file = checks.write_hugging_face_eat(folder, tensors) / "model.safetensors"
    else:
        file = folder / "finetuned.pt"
        sizes = {"model": {"embed_dim": 96, "depth": 12, "num_heads": 6}}
        torch.save({"model": tensors, "cfg": {"model": {"num_classes": 527, "pretrained_model_args": sizes}}}, file)
    ends = (".11.mlp.fc2.bias", "extra_tokens", "norm.weight", "local_encoder.proj.weight")
    return checks.Published("eat", file, 6, tuple(next(name for name in tensors if name.endswith(end)) for end in ends))


@pytest.fixture(params=RANDOM)
def drawn(request):
    """An untrained encoder by its seed."""
    return lambda seed=7: load_encoder(request.param.split()[0], "random", seed=seed, **RANDOM[request.param])


# ---- numbers ----


def test_an_untrained_encoder_has_the_same_bytes_each_time_and_leaves_global_randomness_alone(drawn):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (drawn(seed) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert (first.embed_dim, first.depth, first.num_heads) == (32, 2, 2)
    assert not first.trained and not first.training
    assert {parameter.device.type for parameter in first.state_dict().values()} == {"cpu"}


def test_an_untrained_encoder_tells_clips_apart(drawn):
    encoder = drawn()
    noise = torch.randn(1, 32000, generator=torch.Generator().manual_seed(1))
    tone = torch.sin(torch.arange(32000) * 0.3)[None]
    mean, std = encoder.statistics(encoder.frontend(torch.cat((noise, tone)) * 0.1), [2])[2]
    assert mean.shape == std.shape == (2, 32)
    assert bool(torch.isfinite(mean).all()) and bool((std > 0).all())
    assert (mean[0] - mean[1]).norm() > 0.1 * mean[0].norm()


def test_a_clip_does_not_depend_on_its_batch(drawn):
    encoder, clip, other = drawn(), golden_clip("10s")[:, :96000], golden_clip("6s")

    def run(*clips):
        return torch.cat(encoder.statistics(encoder.frontend(torch.cat(clips)), [2])[2], dim=1)[0]

    assert torch.equal(run(clip, other, other), run(clip, 1e-4 * other, 0 * other))
    # Bit for bit here; another matrix library may round differently for another number of rows.
    assert_close(run(clip), run(clip, other, 1e-4 * other), 5e-6)


def test_nothing_behind_the_last_block_is_computed_and_gradients_reach_the_others(drawn):
    encoder, clip, computed = drawn(), golden_clip("6s"), []
    blocks = encoder.blocks if hasattr(encoder, "blocks") else encoder.model.layers
    for number, block in enumerate(blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: computed.append(number))
    features = encoder.frontend(clip)
    encoder.train()
    assert torch.equal(encoder.frontend(clip), features)
    with torch.enable_grad():
        encoder.statistics(features, [1])[1][1].sum().backward()
    assert computed == [1]
    norms = [module for name, module in encoder.named_modules() if name in ("norm", "model.layernorm")]
    behind = {id(parameter) for module in (blocks[1], *norms) for parameter in module.parameters()}
    reached = {id(parameter) for parameter in encoder.parameters() if parameter.grad is not None}
    assert reached == {id(parameter) for parameter in encoder.parameters()} - behind


def test_the_front_end_stays_in_float32_under_autocast(drawn):
    encoder, clip = drawn(), golden_clip("6s")
    features = encoder.frontend(clip)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.frontend(clip), features)
        mean, _ = encoder.statistics(features, [2])[2]
    assert features.dtype == mean.dtype == torch.float32


@pytest.mark.parametrize(
    ("encoder", "shape", "word"),
    [
        *(("eat", s, "EAT features are") for s in ((1, 1, 998, 128), (1, 1, 1008, 64), (1, 2, 1008, 128), (1008, 128))),
        *(("ced", shape, "64") for shape in ((1, 80, 100), (64, 100), (1, 64, 15), (1, 2, 64, 100))),
        *(("m2d", shape, "80") for shape in ((1, 64, 100), (80, 100), (1, 80, 0), (1, 2, 80, 100))),
    ],
)
def test_features_of_another_shape_are_refused(encoder, shape, word):
    encoder = load_encoder(encoder, "random", **SIZES)
    assert word in one_line_error(lambda: encoder.tokens(torch.zeros(shape), [1]))


@pytest.mark.parametrize("blocks", [[], [0], [1, 3]])
def test_blocks_that_do_not_exist_are_refused(drawn, blocks):
    assert "from 1 to 2" in one_line_error(lambda: drawn().tokens(torch.zeros(1, 1, 16, 128), blocks))


# ---- files ----


def test_the_layout_is_seen_in_the_content_not_in_the_name(published, tmp_path):
    name = "m2d_80x608.pt" if published.file.suffix == ".safetensors" else "model.safetensors"
    stated = published.encoder == "eat"  # the number of heads, in the file or beside it
    encoder = published.load(**({"num_heads": None} if stated else {}))
    file = shutil.copy(published.file, tmp_path / name)
    assert published.load(file).weights_digest == published.load(tmp_path).weights_digest == encoder.weights_digest
    if published.encoder != "m2d":  # of which there are two models
        assert encoder.weights_digest == PUBLISHED[published.encoder].load().weights_digest
    assert (encoder.trained, encoder.training, encoder.num_heads) == (True, False, published.num_heads)


@pytest.mark.parametrize("name", PICKLES)
def test_a_wrapped_state_in_half_precision_is_read(name, tmp_path):
    state = {key: tensor.half() for key, tensor in read_state(PUBLISHED[name].file).items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "wrapped.pt")
    encoder = PUBLISHED[name].load(tmp_path / "wrapped.pt")
    assert {tensor.dtype for tensor in encoder.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("damage", checks.FAULTS)
@pytest.mark.parametrize("which", range(4), ids=["bias", "table", "norm", "patch"])
def test_a_wrong_tensor_is_named(published, damage, which, tmp_path):
    name = published.tensors[which]
    state = checks.damage_tensors(read_state(published.file), damage, name)
    file = checks.write_state(tmp_path / f"damaged{published.file.suffix}", state)
    message = one_line_error(lambda: published.load(file))
    assert str(file) in message
    assert f"{checks.FAULTS[damage]}{name}{'_2' if damage == 'extra' else ''}" in message


@pytest.mark.parametrize("damage", checks.FILE_DAMAGES)
def test_a_damaged_file_gives_one_line(published, damage, tmp_path):
    file = checks.damage_file(published.file, tmp_path / published.file.name, damage)
    message = one_line_error(lambda: published.load(file))
    assert str(file) in message and re.search(checks.FILE_DAMAGES[damage][1], message)


@pytest.mark.parametrize("name", PICKLES)
def test_changed_bytes_of_a_pickle_give_one_line(name, tmp_path):
    """A safetensors file has no checksum."""
    content = bytearray(PUBLISHED[name].file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    (tmp_path / "flipped.pt").write_bytes(content)
    assert "the file is damaged" in one_line_error(lambda: PUBLISHED[name].load(tmp_path / "flipped.pt"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", PICKLES)
def test_code_in_a_pickle_is_named_and_never_run(name, zipped, tmp_path):
    file = tmp_path / "hostile.pt"
    content = {
        "model": read_state(PUBLISHED[name].file),
        "extra_state": checks.RunsCode(tmp_path / "trap"),
    }
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    message = one_line_error(lambda: PUBLISHED[name].load(file))
    assert re.search(r"Python run posix\.mkdir.*trust_pickle", message) and str(file) in message
    assert not (tmp_path / "trap").exists()


def test_types_named_in_trust_pickle_are_read(tmp_path):
    # What a real extra_state may hold: the best validation figure as a NumPy number.
    file = tmp_path / "eat.pt"
    torch.save({"model": read_state(EAT.file), "extra_state": {"best": np.float64(0.5)}}, file)
    assert re.search(r"numpy\S*\.scalar, numpy\.dtype", one_line_error(lambda: EAT.load(file)))
    scalar = f"{np.float64(0.5).__reduce__()[0].__module__}.scalar"
    encoder = EAT.load(file, trust_pickle=[scalar, "numpy.dtype", "numpy.dtypes.Float64DType"])
    assert encoder.weights_digest == EAT.load().weights_digest
    assert "there is no 'numpy.nothing'" in one_line_error(lambda: EAT.load(file, trust_pickle=["numpy.nothing"]))


def test_another_encoders_file_is_refused(tmp_path):
    vit = {"cls_token": torch.ones(1, 1, 768), "blocks.0.norm1.bias": torch.ones(768)}
    save_file(vit, tmp_path / "vit.safetensors")
    for name, other, word in (
        ("eat", tmp_path / "vit.safetensors", "no EAT checkpoint"),
        ("ced", PUBLISHED["m2d_608"].file, "freq_pos_embed"),
        ("m2d_608", PUBLISHED["ced"].file, "pos_embed"),
    ):
        message = one_line_error(lambda name=name, other=other: PUBLISHED[name].load(other))
        assert word in message and str(other) in message


def test_folders_without_one_weight_file_are_refused(tmp_path):
    assert "holds no weight file" in one_line_error(lambda: EAT.load(tmp_path))
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    assert "several weight files (a.pt, b.pt)" in one_line_error(lambda: EAT.load(tmp_path))
    assert "no such file or folder" in one_line_error(lambda: EAT.load(tmp_path / "nowhere.pt"))


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("eats", {}, "write eat"),
        ("eat", {**SIZES, "length": "nativ"}, "write 'native' or 'reference'"),
        ("eat", {"embed_dim": 32, "num_heads": 3}, "not a multiple of num_heads"),
        ("eat", {"embed_dim": 96}, "give num_heads"),
        ("m2d", {**SIZES, "chunk_frames": 992}, "608, 1001"),
        ("ced", {"checkpoint": PUBLISHED["ced"].file}, "num_heads"),
        ("m2d", {"checkpoint": PUBLISHED["m2d_608"].file}, "num_heads"),
    ],
)
def test_names_and_sizes_that_mean_nothing_are_refused(name, options, word):
    assert word in one_line_error(lambda: load_encoder(name, **{"checkpoint": "random", **options}))
