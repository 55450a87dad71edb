"""Low-rank adapters in the attention of chosen blocks (paper section 2.3), through peft."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders.base import Encoder
from workflow_lib.errors import UserError

PROJECTIONS = ("attn.qkv", "attn.proj")


def target_modules(settings: AdapterSettings) -> list[str]:
    """Full names of the adapted linears, sorted; blocks count from 1 in the settings and from 0 in module names.

    Full names are needed: peft compares a name with the ends of module names, so that `proj` would also match the patch
    projection, and `blocks.1` as a pattern also blocks 10 and 11.
    """
    return sorted(f"blocks.{block - 1}.{part}" for block in settings.adapted_blocks for part in PROJECTIONS)


def add_lora(encoder: Encoder, settings: AdapterSettings, seed: int) -> PeftModel:
    """Add fresh adapters to the encoder, in place, and freeze everything else; returns peft's wrapper around it.

    The low-rank product starts at zero. The draw depends on `seed` alone and leaves the global generator as it was.
    Raises `UserError` for an encoder without the adapted or the statistics block.
    """
    if encoder.name != "eat":
        raise UserError(
            f"adaptation: encoder '{encoder.name}' cannot be adapted; take 'eat' as the base of an adapted model"
        )
    if settings.statistics_block > encoder.depth:
        raise UserError(
            f"adaptation: statistics_block is {settings.statistics_block} but the encoder has {encoder.depth} blocks; "
            "set statistics_block and adapted_blocks to blocks that exist"
        )
    if any(hasattr(module, "lora_A") for module in encoder.modules()):
        raise UserError("adaptation: the encoder carries adapters already; load it afresh")
    wanted = target_modules(settings)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # peft scales by any number, its annotation says int
        lora_dropout=settings.lora_dropout,
        target_modules=wanted,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        model = get_peft_model(encoder, config)
    adapted = sorted(name for name, module in encoder.named_modules() if hasattr(module, "lora_A"))
    if adapted != wanted:
        raise RuntimeError(f"peft adapted {adapted} where {wanted} was asked for")
    return model


def lora_state(model: PeftModel) -> dict[str, Tensor]:
    """The adapter's tensors under the names of peft's own files."""
    return get_peft_model_state_dict(model, save_embedding_layers=False)


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that receive gradients, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
