"""Statistics of batches of clips: device, precision, and as many clips at once as memory holds."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_lib.encoders.base import Encoder
from workflow_lib.encoders.device import choose_device, is_out_of_memory, use_bfloat16
from workflow_lib.errors import UserError

log = logging.getLogger(__name__)
MOMENTS = ("mean", "std")


@dataclass(frozen=True)
class BatchStatistics:
    """Statistics of a batch, which a GPU may still be sending."""

    moments: Mapping[int, tuple[Tensor, ...]]
    arrived: torch.cuda.Event | None

    def arrays(self) -> dict[int, tuple[NDArray[np.float32], ...]]:
        """Wait for the statistics: {block: (mean, std)}, each (clips, channels, dimensions) float32."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return {block: tuple(moment.numpy() for moment in moments) for block, moments in self.moments.items()}


class Inference:
    """An encoder on its device: near and far of a batch in one pass, in smaller parts where memory is short."""

    def __init__(self, encoder: Encoder, blocks: Sequence[int], batch_size: int, compute: Mapping[str, Any]) -> None:
        """`batch_size` is in clips; `compute` holds device, precision and compile of the configuration."""
        self.device = choose_device(compute["device"])
        self.bfloat16 = use_bfloat16(compute["precision"], self.device)
        self.encoder, self.blocks, self.batch_size = encoder.to(self.device).eval(), blocks, batch_size
        if compute["compile"]:
            # On the instance, so that the encoder's own methods call the compiled one.
            self.encoder.encode = torch.compile(self.encoder.encode)  # type: ignore[method-assign]  # on purpose

    @property
    def precision(self) -> str:
        """Of the matrix products; front end and statistics are float32 in any case."""
        return "bfloat16" if self.bfloat16 else "float32"

    def autocast(self) -> AbstractContextManager:
        """The context of all batches: entered once for each, it would round the weights every time."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def prepare(self, waveforms: Tensor) -> Tensor:
        """Prepare a batch for the copy to the device; called by the readers."""
        return waveforms.pin_memory() if self.device.type == "cuda" else waveforms

    def statistics(self, waveforms: Tensor) -> BatchStatistics:
        """Statistics of (clips, channels, samples) float32; when memory runs out, the batch is halved and logged."""
        while True:
            try:
                parts = [self._part(part) for part in waveforms.split(self.batch_size)]
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._halve(waveforms)  # outside of `except`: the error refers to what was computed so far
        return self._send({block: [part[block] for part in parts] for block in self.blocks})

    def _part(self, waveforms: Tensor) -> dict[int, tuple[Tensor, ...]]:
        on_device = waveforms.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, enabled=False):  # dB and log-mel need float32
            features = self.encoder.frontend(on_device.flatten(0, 1))
        found = self.encoder.statistics(features, self.blocks)
        return {block: tuple(m.unflatten(0, waveforms.shape[:2]) for m in pair) for block, pair in found.items()}

    def _halve(self, waveforms: Tensor) -> None:
        clips = min(self.batch_size, len(waveforms))
        if clips == 1:
            shape = "{} channels of {} samples".format(*waveforms.shape[1:])
            raise UserError(f"one clip ({shape}) does not fit in the memory of {self.device}: cut it, or free memory")
        self.batch_size = clips // 2
        log.warning("out of memory with %d clips at once: going on with %d", clips, self.batch_size)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _send(self, parts: Mapping[int, Sequence[tuple[Tensor, ...]]]) -> BatchStatistics:
        """Start the copy to the CPU; the device computes the next batch meanwhile."""
        moments = {
            block: tuple(torch.cat(moment).to("cpu", non_blocking=True) for moment in zip(*pairs, strict=True))
            for block, pairs in parts.items()
        }
        if self.device.type != "cuda":
            return BatchStatistics(moments, None)
        arrived = torch.cuda.Event()
        arrived.record()
        return BatchStatistics(moments, arrived)


def batch_size(model: Mapping[str, Any], device: str) -> int:
    """Clips in a batch: the model's setting on a GPU, one on a CPU."""
    # The matrix library of a CPU may add in another order for another number of rows: one clip at a time keeps its
    # statistics, byte for byte, independent of the clips around it (leakage rule 3), and is no slower there.
    on_gpu = device != "cpu" and torch.cuda.is_available()
    return model["batch_size"] if on_gpu else 1
