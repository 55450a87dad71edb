"""Where and how a training computes: device, precision, and how many clips fit at once."""

import torch

from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders.base import Encoder

# Float32 values that autograd keeps per token and embedding dimension of an adapted EAT block (counted: 19.2), with
# reserve for what is alive only for a moment and for attention kernels that keep more.
KEPT_VALUES = 30
# A share of the free GPU memory for the micro-batch; the rest is for weights, masks and other users of the GPU.
MEMORY_SHARE = 0.5
# Fixed, so that the same batches are cut on every machine without a GPU.
CPU_BYTES = 1_000_000_000


def micro_batch_clips(encoder: Encoder, frames: int, settings: AdapterSettings, device: torch.device) -> int:
    """Clips of `frames` filterbank frames that go through the network at once: as set, or as many as memory holds."""
    if settings.micro_batch_clips:
        return settings.micro_batch_clips
    memory_bytes = CPU_BYTES if device.type != "cuda" else torch.cuda.mem_get_info(device)[0] * MEMORY_SHARE
    fitting = int(memory_bytes / kept_bytes(encoder, frames, settings))
    return max(1, min(fitting, settings.batch_clips))


def kept_bytes(encoder: Encoder, frames: int, settings: AdapterSettings) -> int:
    """Upper estimate of what one two-channel clip keeps in memory between forward and backward pass."""
    tokens = 2 * (frames // 16 * 8 + 1)
    blocks = settings.statistics_block - settings.adapted_blocks[0] + 1
    return 4 * KEPT_VALUES * blocks * tokens * encoder.embed_dim
