"""Folders as `save_pretrained` of transformers writes them: the model and the settings of its feature extractor.

transformers itself may open other files and pickles that a folder names, follow an adapter to another folder or fetch
attention kernels. Here the files are read as JSON and as tensors; transformers builds the model and renames the tensors
of older layouts, and is given no path.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    ASTFeatureExtractor,
    ASTModel,
    Data2VecAudioModel,
    FeatureExtractionMixin,
    HubertModel,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMModel,
)
from transformers import logging as transformers_logging

from workflow_lib.encoders.base import Encoder
from workflow_lib.encoders.checkpoint import check_finite, check_tensors, read_json, read_safetensors
from workflow_lib.errors import UserError

CONFIG, WEIGHTS, EXTRACTOR = "config.json", "model.safetensors", "preprocessor_config.json"
MODELS: dict[str, tuple[type[PreTrainedModel], type[FeatureExtractionMixin]]] = {
    "audio-spectrogram-transformer": (ASTModel, ASTFeatureExtractor),
    "wav2vec2": (Wav2Vec2Model, Wav2Vec2FeatureExtractor),
    "hubert": (HubertModel, Wav2Vec2FeatureExtractor),
    "wavlm": (WavLMModel, Wav2Vec2FeatureExtractor),
    "data2vec-audio": (Data2VecAudioModel, Wav2Vec2FeatureExtractor),
}
# Heads for tagging, transcription and pre-training: no token needs them.
_HEADS = ("classifier.", "projector.", "lm_head.", "quantizer.", "project_q.", "project_hid.", "layer_weights")
_MASK = "masked_spec_embed"  # replaces masked frames in training; some published files lack it


def read_folder(folder: Path) -> tuple[PreTrainedModel, Any]:
    """Return the model, in evaluation mode on the CPU in float32, and its feature extractor.

    Raises UserError, one line, that names the file at fault and, where tensors are missing, unexpected or mis-shaped,
    the tensors, as transformers calls them.
    """
    for name in (CONFIG, WEIGHTS, EXTRACTOR):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: there is no {name}: give a folder as save_pretrained writes it")
    settings = _read_settings(folder / CONFIG)
    kind = str(settings.get("model_type"))
    if kind not in MODELS:
        known = ", ".join(MODELS)
        raise UserError(f"{folder / CONFIG}: a model of type {kind} is not known here: give one of {known}")
    model_class, extractor_class = MODELS[kind]
    config = _built(folder / CONFIG, lambda: CONFIG_MAPPING[kind].from_dict(settings))
    extractor = _read_extractor(folder / EXTRACTOR, extractor_class, config)
    return _read_model(folder, model_class, config), extractor


def _read_settings(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no settings by name: fetch it again")
    return content


def _built(file: Path, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except Exception as fault:  # transformers raises nearly anything on settings that make no model
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise UserError(f"{file}: no model can be made of it ({reason[:200]}): fetch it again") from fault


def _read_extractor(file: Path, extractor_class: type[FeatureExtractionMixin], config: PreTrainedConfig) -> Any:
    settings = _read_settings(file)
    kind = settings.get("feature_extractor_type", extractor_class.__name__)  # older files do not say it
    if kind != extractor_class.__name__:
        raise UserError(f"{file}: is of {kind}, the model needs {extractor_class.__name__}: fetch the model's own")
    extractor = _built(file, lambda: extractor_class.from_dict(settings))
    wanted = {"sampling_rate": Encoder.sample_rate}
    if extractor_class is ASTFeatureExtractor:
        wanted |= {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    for name, value in wanted.items():
        if getattr(extractor, name) != value:
            raise UserError(f"{file}: {name} is {getattr(extractor, name)}, not {value}: give a model made for that")
    if not isinstance(extractor.do_normalize, bool):
        raise UserError(f"{file}: do_normalize is {extractor.do_normalize!r}: write true or false")
    for name in ("mean", "std"):
        figure = getattr(extractor, name, 1.0)
        if not isinstance(figure, int | float) or not math.isfinite(figure) or (name == "std" and figure <= 0):
            raise UserError(f"{file}: {name} is {figure!r}: write a number{', above 0' * (name == 'std')}")
    return extractor


def _read_model(folder: Path, model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    tensors = read_safetensors(folder / WEIGHTS)
    if hasattr(config, "mask_time_prob"):
        config.mask_time_prob = config.mask_feature_prob = 0.0  # the model then has no place for _MASK
    transformers_logging.set_verbosity_error()  # its report on a head left out reads like a fault
    transformers_logging.disable_progress_bar()
    model, notes = _built(
        folder / CONFIG,
        lambda: model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            attn_implementation="sdpa" if model_class._supports_sdpa else "eager",
            ignore_mismatched_sizes=True,  # so that they are reported, all at once
            output_loading_info=True,
        ),
    )
    _check_loaded(folder / WEIGHTS, model, notes)
    return model


def _check_loaded(file: Path, model: PreTrainedModel, notes: Mapping[str, Any]) -> None:
    """Refuse weights that are not the model's, whole and finite; `notes` are transformers' own."""

    def own(name: str) -> str:
        return name.removeprefix(f"{model.base_model_prefix}.")

    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found: dict[str, Any] = dict(shapes)
    for name in notes["missing_keys"]:
        found.pop(own(name), None)
    found |= {own(name): None for name in notes["unexpected_keys"] if not name.startswith(_HEADS)}
    found |= {own(name): tuple(theirs) for name, theirs, _ in notes["mismatched_keys"]}
    check_tensors(shapes, found, (_MASK,), str(file))
    check_finite(state, file)
