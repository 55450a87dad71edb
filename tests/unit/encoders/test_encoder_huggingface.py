"""Models of transformers against transformers' own hidden states, and folders that are damaged."""

import json
import logging

import encoder_checks as checks
import pytest
import torch
from encoder_checks import golden_clip, one_line_error
from safetensors.torch import load_file, save_file
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from workflow_lib.encoders import load_encoder

SIZES = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
ATOL = 1e-5
no_grad, pytestmark = checks.no_grad, pytest.mark.usefixtures("no_grad")
LAYER = "audio_spectrogram_transformer.encoder.layer.1.output.dense.bias"  # the name in the published file


def drawn(model):
    """A model whose every weight matters: drawn anew, since transformers starts tokens and positions at zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return model.eval()


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    """A small AST with a tagging head, saved as the published one is, and its folder."""
    folder, model = tmp_path_factory.mktemp("ast"), drawn(ASTForAudioClassification(ASTConfig(**SIZES)))
    model.save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)
    return model, folder


@pytest.fixture
def copy(ast, tmp_path):
    for file in ast[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("clip", ["6s", "10s", "16s"])
def test_ast_at_reference_length_is_transformers_own(ast, clip):
    model, folder = ast
    waveform, encoder = golden_clip(clip), load_encoder("huggingface", folder, length="reference")
    theirs = ASTFeatureExtractor()(waveform[0].numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
    features = encoder.frontend(waveform)
    torch.testing.assert_close(features, theirs, rtol=0, atol=ATOL)
    expected = model(theirs, output_hidden_states=True).hidden_states
    found = encoder.tokens(features, [1, 2, 3])
    for block in (1, 2, 3):
        torch.testing.assert_close(found[block], expected[block][:, 2:], rtol=0, atol=ATOL)
    assert (encoder.trained, encoder.training, encoder.depth, encoder.embed_dim) == (True, False, 3, 48)


def test_ast_at_native_length_takes_each_clip_as_long_as_it_is(ast):
    encoder = load_encoder("huggingface", ast[1])
    for clip, frames, columns in (("6s", 606, 60), ("16s", 1606, 160)):
        features = encoder.frontend(golden_clip(clip))
        assert features.shape == (1, frames, 128)
        assert encoder.tokens(features, [1])[1].shape == (1, 12 * columns, 48)
    # The first run of columns of a long clip is a clip of its own; the second starts again at position 0.
    tokens = encoder.tokens(features, [2])[2]
    for part, frames in ((tokens[:, : 12 * 101], slice(0, 1016)), (tokens[:, 12 * 101 :], slice(1010, 1606))):
        torch.testing.assert_close(part, encoder.tokens(features[:, frames], [2])[2], rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", [(Wav2Vec2Config, Wav2Vec2Model), (WavLMConfig, WavLMModel)])
def test_models_of_the_waveform_are_transformers_own(tmp_path, kind):
    config, build = kind
    model = drawn(build(config(**SIZES, conv_dim=(32,) * 7)))
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    waveform, encoder = golden_clip("6s"), load_encoder("huggingface", tmp_path)
    theirs = Wav2Vec2FeatureExtractor()(waveform[0].numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
    ran = []
    encoder.model.encoder.layers[2].register_forward_hook(lambda *_: ran.append(3))
    expected = model(theirs, output_hidden_states=True).hidden_states
    found = encoder.tokens(encoder.frontend(waveform), [1, 2])
    assert not ran
    for block in (1, 2):
        scale = float(expected[block].abs().max())
        torch.testing.assert_close(found[block], expected[block], rtol=0, atol=ATOL * scale)


@pytest.mark.parametrize("damage", checks.FAULTS)
def test_tensors_that_are_not_the_models_are_named(copy, damage):
    weights = copy / "model.safetensors"
    save_file(checks.damage_tensors(load_file(weights), damage, LAYER), weights, metadata={"format": "pt"})
    message = one_line_error(lambda: load_encoder("huggingface", copy))
    assert str(copy) in message and checks.FAULTS[damage] in message
    assert "1." in message and "bias" in message


@pytest.mark.parametrize("damage", checks.FILE_DAMAGES)
def test_damaged_files_give_one_line(copy, damage):
    checks.damage_file(copy / "model.safetensors", copy / "part", damage).replace(copy / "model.safetensors")
    assert str(copy) in one_line_error(lambda: load_encoder("huggingface", copy))


def other_type(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "bert"}))


WRONG_FOLDERS = {
    "no config": (lambda f: (f / "config.json").unlink(), "there is no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "there is no model.safetensors"),
    "no preprocessor": (lambda f: (f / "preprocessor_config.json").unlink(), "there is no preprocessor_config.json"),
    # A pickle is never opened, neither beside nor under the name of the weights.
    "a pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "no model.safetensors"),
    "a pickle renamed": (
        lambda f: torch.save({"weight": torch.zeros(2)}, f / "model.safetensors"),
        "this is a pickle of torch.save",
    ),
    "another model": (other_type, "type bert is not known here"),
    "another rate": (
        lambda f: ASTFeatureExtractor(sampling_rate=32000).save_pretrained(f),
        "sampling_rate is 32000, not 16000",
    ),
}


@pytest.mark.parametrize("fault", WRONG_FOLDERS)
def test_a_folder_of_another_kind_is_refused(copy, fault):
    change, message = WRONG_FOLDERS[fault]
    change(copy)
    assert message in one_line_error(lambda: load_encoder("huggingface", copy))


def test_an_adapter_beside_the_model_is_not_followed(ast, copy):
    elsewhere = {"peft_type": "LORA", "base_model_name_or_path": str(copy / "elsewhere"), "r": 8}
    (copy / "adapter_config.json").write_text(json.dumps(elsewhere))
    digests = {load_encoder("huggingface", folder).weights_digest for folder in (ast[1], copy)}
    assert len(digests) == 1


def test_loading_is_quiet(ast, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        load_encoder("huggingface", ast[1])
    printed = capfd.readouterr()
    assert (printed.out, printed.err, caplog.records) == ("", "", [])
