"""Near, far and cancelled: from two recorded channels to what a model hears. No torch."""

from workflow_lib.channels.cancellation import cancel_far, cancelled_spectrum
from workflow_lib.channels.stft import istft, stft
from workflow_lib.channels.waveforms import Cancellation, channel_waveforms

__all__ = ["Cancellation", "cancel_far", "cancelled_spectrum", "channel_waveforms", "istft", "stft"]
