"""The device and the precision of a job that uses torch."""

import logging

import torch

from workflow_lib.errors import UserError

log = logging.getLogger(__name__)


def choose_device(wanted: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: a GPU if there is one, else the CPU, said in the log."""
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        log.info("device: %s", torch.cuda.get_device_name())
        return torch.device("cuda")
    if wanted == "cuda":
        raise UserError("compute.device: there is no GPU here: write auto or cpu")
    log.info("device: CPU (no GPU found)")
    return torch.device("cpu")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16; `auto` does so on a GPU that computes it itself (no emulation)."""
    if precision != "auto":
        return precision == "bfloat16"
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed: a GPU has an error of its own for it, a CPU only a text."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(
        text in str(error) for text in ("allocate memory", "ALLOC_FAILED", "out of memory", "bad_alloc")
    )
