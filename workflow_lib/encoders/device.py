"""The device and the precision of a job that uses torch."""

import logging
import os

import torch

from workflow_lib.encoders.gpus import claim_gpu
from workflow_lib.errors import UserError

log = logging.getLogger(__name__)


def choose_device(wanted: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: a GPU if there is one, else the CPU, said in the log.

    Of several GPUs the first that no other job has taken, so that jobs side by side on one machine do not share one.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return _free_gpu()
    if wanted == "cuda":
        raise UserError("compute.device: there is no GPU here: write auto or cpu")
    if os.environ.get("SLURM_JOB_GPUS"):
        log.warning("device: CPU, though Slurm gave this job a GPU: torch finds none, look at the node's driver")
    else:
        log.info("device: CPU (no GPU found)")
    return torch.device("cpu")


def _free_gpu() -> torch.device:
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]
    number = claim_gpu(names)
    if number is None:
        log.warning("device: every GPU here is taken by another job of yours: two share one (--resources gpu=<number>)")
        number = 0
    torch.cuda.set_device(number)
    log.info("device: %s", torch.cuda.get_device_name(number))
    return torch.device("cuda", number)


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
