"""The hyperparameters of the task adaptation as a value; schema.yaml has the ranges and defaults, config.yaml why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workflow_lib.config.schema import checked_settings
from workflow_lib.errors import UserError


@dataclass(frozen=True)
class AdapterSettings:
    """Hyperparameters of one adapted model, all of them given; `from_mapping` checks them and knows the defaults."""

    adapted_blocks: tuple[int, ...]  # ascending, counted from 1
    statistics_block: int
    lora_rank: int
    lora_alpha: float
    lora_dropout: float
    embedding_size: int
    head_input: Literal["standardised", "raw"]
    head_input_clips: int
    arcface_scale: float
    arcface_margin_rad: float
    machine_weight: float
    domain_weight: float
    consistency_weight: float
    learning_rate: float
    epochs: int
    batch_clips: int
    weight_decay: float
    warmup_fraction: float
    micro_batch_clips: int
    precision: Literal["auto", "float32", "bfloat16"]
    time_masks: int
    time_mask_frames: int
    frequency_masks: int
    frequency_mask_bins: int
    mask_sharing: Literal["shared", "independent"]
    validation_fraction: float
    filterbank_ram_gb: float

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> AdapterSettings:
        """Settings as in `models.<name>.adaptation`; UserError with `key: what: what to write`, one line a fault."""
        values = checked_settings(mapping, "adaptation")
        settings = cls(**{**values, "adapted_blocks": tuple(sorted(values["adapted_blocks"]))})
        if settings.adapted_blocks[-1] > settings.statistics_block:
            raise UserError(
                f"adapted_blocks: block {settings.adapted_blocks[-1]} is adapted but the statistics come from block "
                f"{settings.statistics_block}, which is before it; no gradient would reach it"
            )
        return settings
