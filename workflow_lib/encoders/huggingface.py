"""Audio models of the transformers library as encoders: AST, and models that take the waveform (such as wav2vec 2.0).

The checkpoint is a local folder (config.json, model.safetensors, preprocessor_config.json): see `transformers_folder`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from workflow_lib.encoders.base import Encoder, Length, check_waveform, encoder_sizes, join_chunks, run_layers
from workflow_lib.encoders.kaldi import FRAME_SAMPLES, KaldiFbank
from workflow_lib.encoders.transformers_folder import read_folder
from workflow_lib.errors import UserError

_ZERO_MEAN_EPS = 1e-7  # Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm


class HuggingFaceEncoder(Encoder):
    """A transformers model; block k is what its layer k returns, before any norm behind the last layer."""

    name = "huggingface"

    def __init__(self, model: Any, length: Length) -> None:
        self.config = model.config
        sizes = {"embed_dim": self.config.hidden_size, "depth": self.config.num_hidden_layers}
        super().__init__(**sizes, num_heads=self.config.num_attention_heads, length=length)
        self.model: Any = model  # transformers' classes state no types of their parts


class Ast(HuggingFaceEncoder):
    """Audio Spectrogram Transformer (Gong et al. 2021): features (B, frames, mels), patches of 16 x 16 every 10.

    Tokens are the patches, mel row by mel row; the CLS and distillation tokens stay inside. `native` rounds the clip's
    own frames up to whole patches (at most 9 frames of zeros, or up to the first 16) and cuts the patch grid every 101
    columns (10.2 s), positions starting again; `reference` pads or crops to 1024 frames, as the published feature
    extractor does.
    """

    def __init__(self, model: Any, length: Length, extractor: Any) -> None:
        """Take the mean and the deviation from the feature extractor; all its other settings are the model's."""
        super().__init__(model, length)
        self.fbank = KaldiFbank(self.config.num_mel_bins)
        self.mean: float = extractor.mean if extractor.do_normalize else 0.0
        self.std: float = extractor.std if extractor.do_normalize else 0.5

    def frontend(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, frames, mels) normalised log-mel."""
        log_mel = self.fbank(check_waveform(waveform, FRAME_SAMPLES))
        config = self.config
        columns = 1 - (-max(0, log_mel.shape[1] - config.patch_size) // config.time_stride)
        native = config.patch_size + (columns - 1) * config.time_stride
        wanted = config.max_length if self.length == "reference" else native
        log_mel = F.pad(log_mel, (0, 0, 0, wanted - log_mel.shape[1]))  # zeros in log-mel, or a crop of the end
        return (log_mel - self.mean) / (2 * self.std)

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode (B, frames, mels), each run of columns on its own; see `tokens`."""
        config, shape = self.config, tuple(features.shape)
        if len(shape) != 3 or shape[2] != config.num_mel_bins or shape[1] < config.patch_size:
            wanted = f"(clips, at least {config.patch_size} frames, {config.num_mel_bins})"
            raise UserError(f"AST features are {shape}: give {wanted}")
        rows, columns = self.model.embeddings.get_shape(config)
        grids = self._patches(features).split(columns, 2)
        inputs = (self._with_positions(grid, rows, columns) for grid in grids)
        return join_chunks([run_layers(self.model.layers, x, blocks, leading=2) for x in inputs], blocks)

    def _patches(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, rows, columns, embed_dim); a product, for cuDNN would convolve in TF32."""
        config, projection = self.config, self.model.embeddings.patch_embeddings.projection
        image = features.transpose(1, 2).unfold(1, config.patch_size, config.frequency_stride)
        patches = image.unfold(2, config.patch_size, config.time_stride).flatten(3)
        return F.linear(patches, projection.weight.flatten(1), projection.bias)

    def _with_positions(self, grid: Tensor, rows: int, columns: int) -> Tensor:
        """Patch grid (B, rows, at most columns, embed_dim) -> layer input (B, 2 + N, embed_dim)."""
        embeddings = self.model.embeddings
        table = embeddings.position_embeddings[:, 2:].unflatten(1, (rows, columns))[:, :, : grid.shape[2]]
        inside = torch.cat((embeddings.cls_token, embeddings.distillation_token), dim=1)
        inside = (inside + embeddings.position_embeddings[:, :2]).expand(len(grid), -1, -1)
        return torch.cat((inside, (grid + table).flatten(1, 2)), dim=1)


class WaveformModel(HuggingFaceEncoder):
    """wav2vec 2.0, HuBERT, WavLM, data2vec-audio: a token every 20 ms of the waveform, clips of any length whole."""

    def __init__(self, model: Any, length: Length, extractor: Any) -> None:
        """Take from the feature extractor whether a clip is normalised to mean 0 and variance 1."""
        super().__init__(model, length)
        self.normalised = extractor.do_normalize
        self.min_samples = 1  # of one token: 400 in every published model
        for kernel, stride in zip(self.config.conv_kernel[::-1], self.config.conv_stride[::-1], strict=True):
            self.min_samples = (self.min_samples - 1) * stride + kernel

    def frontend(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] at 16 kHz -> the same shape, normalised clip by clip where published so."""
        waveform = check_waveform(waveform, self.min_samples)
        if not self.normalised:
            return waveform
        centred = waveform - waveform.mean(-1, keepdim=True, dtype=torch.float64).to(waveform.dtype)
        variance = centred.double().square().mean(-1, keepdim=True).to(waveform.dtype)
        return centred / (variance + _ZERO_MEAN_EPS).sqrt()

    def encode(self, features: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Encode (B, samples) in one pass that ends behind the last layer asked for."""
        tokens: dict[int, Tensor] = {}

        def keep(number: int, layer: nn.Module, arguments: Any, output: Any) -> None:
            tokens[number] = output[0] if isinstance(output, tuple) else output
            if number == max(blocks):
                raise _LastBlockDone

        layers = self.model.encoder.layers
        hooks = [layers[number - 1].register_forward_hook(partial(keep, number)) for number in blocks]
        try:
            self.model(features)
        except _LastBlockDone:
            return tokens
        finally:
            for hook in hooks:
                hook.remove()
        raise RuntimeError(f"layer {max(blocks)} of {self.config.model_type} never ran")


class _LastBlockDone(Exception):
    """Ends a forward pass: nothing behind the last block asked for is computed."""


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
        return _random_ast(seed, length, encoder_sizes(embed_dim, depth, num_heads, "random AST")).eval()
    model, extractor = read_folder(Path(checkpoint))
    encoder = (Ast if isinstance(model, ASTModel) else WaveformModel)(model, length, extractor)
    for name, size in {"embed_dim": embed_dim, "depth": depth, "num_heads": num_heads}.items():
        if size not in (None, getattr(encoder, name)):
            stated = f"{name} is {getattr(encoder, name)}, but the caller says {size}"
            raise UserError(f"{checkpoint}: {stated}: correct one of them")
    encoder.trained = True
    return encoder.eval()


def _random_ast(seed: int, length: Length, sizes: Mapping[str, int]) -> Ast:
    config = ASTConfig(
        hidden_size=sizes["embed_dim"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["num_heads"],
        intermediate_size=4 * sizes["embed_dim"],
        attn_implementation="sdpa",  # type: ignore[call-arg]  # of the base class, which its generated __init__ hides
    )
    with torch.device("meta"):  # transformers would draw from the global generator
        model = ASTModel(config)
    encoder = Ast(model, length, ASTFeatureExtractor())
    encoder.draw_weights(seed)
    return encoder
