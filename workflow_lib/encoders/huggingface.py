"""Audio models of the transformers library as encoders: AST, and those that take the waveform (wav2vec 2.0 and kin).

The checkpoint is a local folder as `save_pretrained` writes it (config.json, model.safetensors,
preprocessor_config.json). Nothing is downloaded, no pickle is opened and no code of the folder is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ASTConfig, ASTModel, AutoConfig, AutoFeatureExtractor, AutoModel
from transformers import logging as transformers_logging

from workflow_lib.encoders.base import Encoder, Length, check_waveform, heads_or_default
from workflow_lib.encoders.checkpoint import check_tensors
from workflow_lib.encoders.kaldi import FRAME_SAMPLES, KaldiFbank
from workflow_lib.errors import UserError

_AST_MEAN, _AST_STD = -4.2677393, 4.5689974  # of AudioSet, as ASTFeatureExtractor has them by default
_ZERO_MEAN_EPS = 1e-7  # Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
# Loaded with AutoModel, these belong to the tasks on top: their heads give no tokens.
_IGNORABLE = ("classifier.", "projector.", "lm_head.", "quantizer.", "project_q.", "project_hid.", "layer_weights")


class HuggingFaceEncoder(Encoder):
    """A transformers model; block k is what its layer k returns, before any norm behind the last layer."""

    name = "huggingface"

    def __init__(self, model: nn.Module, length: Length) -> None:
        config = model.config
        sizes = {"embed_dim": config.hidden_size, "depth": config.num_hidden_layers}
        super().__init__(**sizes, num_heads=config.num_attention_heads, length=length)
        self.model = model


class Ast(HuggingFaceEncoder):
    """Audio Spectrogram Transformer (Gong et al. 2021): features (B, frames, mels), patches of 16 x 16 every 10.

    Tokens are the patches, mel row by mel row; the CLS and distillation tokens stay inside. `native` rounds the clip's
    own frames up to whole patches and cuts the patch grid every 101 columns (10.2 s), positions starting again;
    `reference` pads or crops to 1024 frames, as the published feature extractor does.
    """

    def __init__(self, model: nn.Module, length: Length, extractor: Any = None) -> None:
        """Take the mean, deviation and number of frames from the feature extractor, AudioSet's if there is none."""
        super().__init__(model, length)
        self.fbank = KaldiFbank(model.config.num_mel_bins)
        self.frames = getattr(extractor, "max_length", model.config.max_length)
        normalised = getattr(extractor, "do_normalize", True)
        self.mean = getattr(extractor, "mean", _AST_MEAN) if normalised else 0.0
        self.std = getattr(extractor, "std", _AST_STD) if normalised else 0.5

    def frontend(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, frames, mels) normalised log-mel."""
        log_mel = self.fbank(check_waveform(waveform, FRAME_SAMPLES))
        patch, stride = self.model.config.patch_size, self.model.config.time_stride
        columns = -(-max(0, log_mel.shape[1] - patch) // stride)
        wanted = self.frames if self.length == "reference" else patch + columns * stride
        log_mel = F.pad(log_mel, (0, 0, 0, wanted - log_mel.shape[1]))  # zeros in log-mel, or a crop of the end
        return (log_mel - self.mean) / (2 * self.std)

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode (B, frames, mels), each run of columns on its own; see `tokens`."""
        if features.ndim != 3 or features.shape[2] != self.model.config.num_mel_bins:
            raise UserError(f"AST features are {tuple(features.shape)}: give (clips, frames, mels)")
        rows, columns = self.model.embeddings.get_shape(self.model.config)
        chunks = [
            self._encode_columns(grid, rows, columns, blocks) for grid in self._patches(features).split(columns, 2)
        ]
        return {block: torch.cat([chunk[block] for chunk in chunks], dim=1) for block in blocks}

    def _patches(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, rows, columns, embed_dim); a product, for cuDNN would convolve in TF32."""
        config, projection = self.model.config, self.model.embeddings.patch_embeddings.projection
        image = features.transpose(1, 2).unfold(1, config.patch_size, config.frequency_stride)
        patches = image.unfold(2, config.patch_size, config.time_stride).flatten(3)
        return F.linear(patches, projection.weight.flatten(1), projection.bias)

    def _encode_columns(self, grid: Tensor, rows: int, columns: int, blocks: Sequence[int]) -> dict[int, Tensor]:
        embeddings = self.model.embeddings
        table = embeddings.position_embeddings[:, 2:].unflatten(1, (rows, columns))[:, :, : grid.shape[2]]
        inside = torch.cat((embeddings.cls_token, embeddings.distillation_token), dim=1)
        inside = (inside + embeddings.position_embeddings[:, :2]).expand(len(grid), -1, -1)
        x, tokens = torch.cat((inside, (grid + table).flatten(1, 2)), dim=1), {}
        for number, layer in enumerate(self.model.layers[: max(blocks)], start=1):
            x = layer(x)
            if number in blocks:
                tokens[number] = x[:, 2:]
        return tokens


class WaveformModel(HuggingFaceEncoder):
    """wav2vec 2.0, HuBERT, WavLM, data2vec-audio: a token every 20 ms of the waveform, clips of any length whole."""

    def __init__(self, model: nn.Module, length: Length, extractor: Any) -> None:
        """Take from the feature extractor whether a clip is normalised to mean 0 and variance 1."""
        super().__init__(model, length)
        self.normalised = extractor.do_normalize

    def frontend(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] at 16 kHz -> the same shape, normalised clip by clip where published so."""
        waveform = check_waveform(waveform, FRAME_SAMPLES)  # as long as the receptive field of a token
        if not self.normalised:
            return waveform
        centred = waveform - waveform.mean(-1, keepdim=True, dtype=torch.float64).to(waveform.dtype)
        variance = centred.double().square().mean(-1, keepdim=True).to(waveform.dtype)
        return centred / (variance + _ZERO_MEAN_EPS).sqrt()

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode (B, samples) in one pass that ends behind the last layer asked for."""
        tokens: dict[int, Tensor] = {}

        def keep(number: int, output: Any) -> None:
            tokens[number] = output[0] if isinstance(output, tuple) else output
            if number == max(blocks):
                raise _LastBlockDone

        hooks = [
            self.model.encoder.layers[number - 1].register_forward_hook(lambda *a, number=number: keep(number, a[-1]))
            for number in blocks
        ]
        try:
            self.model(features)
        except _LastBlockDone:
            return tokens
        finally:
            for hook in hooks:
                hook.remove()
        raise RuntimeError(f"layer {max(blocks)} of {self.model.config.model_type} never ran")


class _LastBlockDone(Exception):
    """Ends a forward pass: nothing behind the last block asked for is computed."""


_FAMILIES = {
    "audio-spectrogram-transformer": Ast,
    "wav2vec2": WaveformModel,
    "hubert": WaveformModel,
    "wavlm": WaveformModel,
    "data2vec-audio": WaveformModel,
}


def load_huggingface(
    checkpoint: str | Path,
    *,
    length: Length = "native",
    seed: int = 0,
    embed_dim: int | None = None,
    depth: int | None = None,
    num_heads: int | None = None,
) -> HuggingFaceEncoder:
    """Load a folder of a known family, or draw an AST (`"random"`, AST-Base unless sizes are given)."""
    if checkpoint == "random":
        return _random_ast(seed, length, embed_dim or 768, depth or 12, num_heads).eval()
    folder = Path(checkpoint)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: there is no {name}: give a folder as save_pretrained writes it")
    try:
        family = _family(folder)
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = _read_model(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot be read ({str(error).strip().splitlines()[0]}): fetch it again") from error
    if extractor.sampling_rate != Encoder.sample_rate:
        raise UserError(f"{folder}: made for {extractor.sampling_rate} Hz: give a model for {Encoder.sample_rate} Hz")
    encoder = family(model, length, extractor)
    encoder.trained = True
    return encoder.eval()


def _family(folder: Path) -> type[HuggingFaceEncoder]:
    kind = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    if kind not in _FAMILIES:
        raise UserError(f"{folder}: a model of type {kind} is not known here: give one of {', '.join(_FAMILIES)}")
    return _FAMILIES[kind]


def _read_model(folder: Path) -> nn.Module:
    transformers_logging.set_verbosity_error()  # its report on a classifier left out reads like a fault
    transformers_logging.disable_progress_bar()
    model, notes = AutoModel.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # so that they are reported, all at once
        output_loading_info=True,
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing = {_own(entry[0] if isinstance(entry, tuple) else entry) for entry in notes["missing_keys"]}
    found: dict[str, Any] = {name: shape for name, shape in shapes.items() if name not in missing}
    found |= {name: None for name in notes["unexpected_keys"] if not name.startswith(_IGNORABLE)}
    found |= {_own(name): tuple(theirs) for name, theirs, _ in notes["mismatched_keys"]}
    check_tensors(shapes, found, (), str(folder))
    broken = [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise UserError(f"{folder}: infinite or NaN values in {', '.join(broken[:4])}: fetch it again")
    return model


def _own(name: str) -> str:
    return name.removeprefix("audio_spectrogram_transformer.")


def _random_ast(seed: int, length: Length, embed_dim: int, depth: int, num_heads: int | None) -> Ast:
    config = ASTConfig(
        hidden_size=embed_dim,
        num_hidden_layers=depth,
        num_attention_heads=heads_or_default(embed_dim, num_heads, "random AST"),
        intermediate_size=4 * embed_dim,
        attn_implementation="sdpa",
    )
    with torch.device("meta"):  # transformers would draw from the global generator
        model = ASTModel(config)
    encoder = Ast(model, length)
    encoder.draw_weights(seed)
    return encoder
