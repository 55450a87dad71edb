"""Every hyperparameter of the task adaptation, with the reason of its default; standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from workflow_lib.errors import UserError, nearest

HeadInput = Literal["standardised", "raw"]
MaskSharing = Literal["shared", "independent"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class AdapterSettings:
    """Hyperparameters of one adapted model; "paper" below is section 2.3 of the technical report.

    Raises `UserError` for a value of the wrong type or outside its range.
    """

    # Paper: blocks 6-10 carry adapters, and block 10 (counted from 1) gives the statistics that are trained and scored.
    adapted_blocks: tuple[int, ...] = (6, 7, 8, 9, 10)
    statistics_block: int = 10

    # Paper: rank 8.
    lora_rank: int = 8
    # Not in the paper. The update is scaled by alpha / rank; twice the rank is the usual choice.
    lora_alpha: float = 16.0
    # Not in the paper. Two epochs of a rank-8 update hardly overfit, and without dropout the result does not depend on
    # how a batch is cut into micro-batches.
    lora_dropout: float = 0.0

    # Paper: a 256-D ArcFace head.
    embedding_size: int = 256
    # Not in the paper. Statistics share one large constant part, and without centring every embedding points the same
    # way. Heads alone, 8 epochs at 1e-3, untrained EAT, real motor recordings, 18 proxies: of unseen normals 0.03 were
    # right with raw input and 0.50 with standardised one. Mean and spread are fixed before the first step.
    head_input: HeadInput = "standardised"
    # Training clips that mean and spread are taken from, evenly spaced in the sorted list; more would change little.
    head_input_clips: int = 256
    # Not in the paper. To reach a probability of 0.9999 with 45 proxies a scale of 12.7 is needed (CosFace, eq. 6);
    # 64 is meant for many thousand faces and would leave no gradient once a proxy is roughly right.
    arcface_scale: float = 30.0
    # Not in the paper. The margin, in radians, of the ArcFace paper.
    arcface_margin_rad: float = 0.5

    # Paper: lambda_m, lambda_d, lambda_c of eq. 1; the weight of the attribute loss is 1.
    machine_weight: float = 0.25
    domain_weight: float = 0.15
    consistency_weight: float = 0.05

    # Paper section 3: learning rate, epochs, effective batch (clips; each brings two channels).
    learning_rate: float = 5e-5
    epochs: int = 2
    batch_clips: int = 40
    # Not in the paper. AdamW's own default; over 350 steps at this learning rate it shrinks a weight by 0.02 %.
    weight_decay: float = 0.01
    # Not in the paper. Share of all steps over which the rate rises linearly: the heads start random, and their first
    # gradients should not push the adapters far. The rate stays constant afterwards: the paper names one rate.
    warmup_fraction: float = 0.1
    # Clips that go through the network at once; gradients add up to `batch_clips`. 0 fits it to the memory: half of
    # what is free on a GPU, 1 GB on a CPU.
    micro_batch_clips: int = 0
    # `auto`: bfloat16 autocast (paper section 3) on a GPU that has it, float32 anywhere else.
    precision: Precision = "auto"

    # SpecAugment on the normalised filterbanks: how many masks, and their largest width. One mask of up to 80 per axis
    # is what the public LoRA-tuned EAT for anomalous sounds uses; the paper gives no sizes.
    time_masks: int = 1
    time_mask_frames: int = 80
    frequency_masks: int = 1
    frequency_mask_bins: int = 80
    # `shared` hides the same cells of near and far, so that the two differ by acoustics and not by the mask.
    mask_sharing: MaskSharing = "shared"

    # Not in the paper, which learns from all clips. Share of the normal training clips of each proxy that is withheld:
    # after every epoch the heads are tried on them, which shows whether they learned the sounds or the clips by heart.
    validation_fraction: float = 0.0

    # Filterbanks of all clips stay in RAM up to this size and in a memory-mapped file beside the output above it;
    # 7000 clips of 10 s and two channels are 7.2 GB.
    filterbank_ram_gb: float = 12.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "adapted_blocks", _as_blocks(self.adapted_blocks))
        hints = get_type_hints(type(self))
        for name in _names():
            _check_type(name, getattr(self, name), hints[name])
        _check_ranges(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> AdapterSettings:
        """Read settings from a plain mapping; raises `UserError` for an unknown key, naming the nearest known one."""
        for key in mapping:
            if key not in _names():
                raise UserError(f"adapter settings: unknown key '{key}': {nearest(key, _names())}")
        return cls(**mapping)

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the inverse of `from_mapping`."""
        values = dataclasses.asdict(self)
        return {**values, "adapted_blocks": list(self.adapted_blocks)}

    @property
    def digest(self) -> str:
        """SHA-256 over all values, as hex."""
        return hashlib.sha256(json.dumps(self.as_mapping(), sort_keys=True).encode()).hexdigest()


def _names() -> list[str]:
    return [field.name for field in dataclasses.fields(AdapterSettings)]


def _as_blocks(value: Any) -> Any:
    """Lists (YAML has no tuples) become tuples, in ascending order."""
    if isinstance(value, list | tuple) and all(
        isinstance(block, int) and not isinstance(block, bool) for block in value
    ):
        return tuple(sorted(value))
    raise UserError(
        f"adapter settings: adapted_blocks is {value!r}; write a list of block numbers such as [6, 7, 8, 9, 10]"
    )


def _check_type(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UserError(f"adapter settings: {name} is {value!r}; write one of {', '.join(get_args(hint))}")
    elif hint is float and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
        raise UserError(f"adapter settings: {name} is {value!r}; write a number")
    elif hint is int and (isinstance(value, bool) or not isinstance(value, int)):
        raise UserError(f"adapter settings: {name} is {value!r}; write a whole number")


# Smallest and largest allowed value; None: no bound.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "statistics_block": (1, None),
    "lora_rank": (1, None),
    "lora_dropout": (0, 0.99),
    "embedding_size": (1, None),
    "head_input_clips": (1, None),
    "arcface_margin_rad": (0, math.pi / 2),
    "machine_weight": (0, None),
    "domain_weight": (0, None),
    "consistency_weight": (0, None),
    "epochs": (1, None),
    "batch_clips": (1, None),
    "weight_decay": (0, None),
    "warmup_fraction": (0, 1),
    "micro_batch_clips": (0, None),
    "time_masks": (0, None),
    "time_mask_frames": (0, None),
    "frequency_masks": (0, None),
    "frequency_mask_bins": (0, None),
    "validation_fraction": (0, 0.5),
    "filterbank_ram_gb": (0, None),
}
_POSITIVE = ("lora_alpha", "arcface_scale", "learning_rate")


def _check_ranges(settings: AdapterSettings) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(settings, name)
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low:g}" + (f" and at most {high:g}" if high is not None else "")
            raise UserError(f"adapter settings: {name} is {value:g}; it must be {bounds}")
    for name in _POSITIVE:
        if getattr(settings, name) <= 0:
            raise UserError(f"adapter settings: {name} is {getattr(settings, name):g}; it must be above 0")
    _check_blocks(settings)


def _check_blocks(settings: AdapterSettings) -> None:
    blocks = settings.adapted_blocks
    if not blocks or blocks[0] < 1 or len(set(blocks)) != len(blocks):
        raise UserError(f"adapter settings: adapted_blocks is {list(blocks)}; write each block once, counted from 1")
    if blocks[-1] > settings.statistics_block:
        raise UserError(
            f"adapter settings: block {blocks[-1]} is adapted but the statistics come from block "
            f"{settings.statistics_block}, which is before it; no gradient would reach it"
        )
