"""The device of a job that uses torch."""

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
