"""The channels of a clip that a model hears: near and far as recorded, and cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workflow_lib.channels.cancellation import cancel_far
from workflow_lib.config.channel_names import CANCELLED, CHANNELS
from workflow_lib.config.schema import checked_settings
from workflow_lib.errors import UserError, nearest


@dataclass(frozen=True)
class Cancellation:
    """Options of `cancel_far`, all of them given; `from_mapping` checks them and knows the defaults."""

    taps: int
    ridge: float
    window_samples: int
    causal: bool

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Cancellation:
        """Options as in `models.<name>.cancellation`; UserError with `key: what: what to write`, one line a fault."""
        return cls(**checked_settings(mapping, "cancellation"))

    def waveform(self, recorded: NDArray[np.floating]) -> NDArray[np.float64]:
        """The cancelled channel (samples,) of a clip (2, samples)."""
        near, far = recorded
        return cancel_far(near, far, self.taps, self.ridge, window_samples=self.window_samples, causal=self.causal)


def channel_waveforms(recorded: ArrayLike, channels: Sequence[str], cancellation: Cancellation) -> NDArray[np.float32]:
    """The named channels (len(channels), samples) float32 of a clip (1 or 2, samples): near is row 0, far row 1.

    UserError for far or cancelled of a mono clip, and for unknown names.
    """
    clip = np.asarray(recorded, dtype=np.float32)
    waveforms = np.empty((len(channels), clip.shape[1]), dtype=np.float32)
    for waveform, name in zip(waveforms, channels, strict=True):
        if name not in (*CHANNELS, CANCELLED):
            raise UserError(f"there is no channel {name!r}: {nearest(name, (*CHANNELS, CANCELLED))}")
        if name != "near" and len(clip) < 2:
            raise UserError(f"channel {name!r} needs a far microphone, and the clip is mono: use near")
        waveform[:] = cancellation.waveform(clip) if name == CANCELLED else clip[CHANNELS.index(name)]
    return waveforms
