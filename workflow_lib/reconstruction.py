"""The autoencoder jobs: training on a machine's normal clips, then the residuals of all its clips in an HDF5 store."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_lib import __version__
from workflow_lib.autoencoder import Autoencoder, clip_residuals, five_frame_vectors
from workflow_lib.autoencoder_training import train_autoencoder
from workflow_lib.digest import settings_digest
from workflow_lib.encoders.base import digest_tensors
from workflow_lib.errors import UserError
from workflow_lib.logmel import channel_frames
from workflow_lib.manifest import Clip
from workflow_lib.recordings import read_waveform
from workflow_lib.store import create_store

log = logging.getLogger(__name__)
