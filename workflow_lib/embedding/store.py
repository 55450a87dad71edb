"""HDF5 stores: a model's statistics or residuals of every clip of a machine, with clip names and provenance.

/clips/{name,split,domain,label}                   utf-8, (clips,); empty text where unknown
/statistics/block_<bb>/<near|far>/{mean,std}       float32, (clips, dimensions); token-wise, population deviation
/head/embedding                                    float32, (clips, 256); adapted models only
/residuals/{mse,mean_residual,second_moment}       (clips,), (clips, 128), (clips, 8256); autoencoders only
/residuals/covariance_{source,target}              float32, (128, 128)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from workflow_lib.dataset.manifest import Clip
from workflow_lib.errors import UserError

SCHEMA_VERSION = 1
CLIP_COLUMNS = ("name", "split", "domain", "label")


@dataclass(frozen=True)
class StoredClips:
    """Columns of the clips of a store, each (clips,) text; empty text where unknown."""

    name: NDArray[np.str_]
    split: NDArray[np.str_]
    domain: NDArray[np.str_]
    label: NDArray[np.str_]

    def training(self, domain: str) -> NDArray[np.bool_]:
        """Mask of the normal training clips of a domain: all that may be fitted on."""
        return (self.split == "train") & (self.label == "normal") & (self.domain == domain)


@contextmanager
def create_store(path: Path, clips: Sequence[Clip], provenance: Mapping[str, str]) -> Iterator[h5py.File]:
    """Open a new store with its clips and attributes written; the caller adds datasets."""
    with h5py.File(path, "w") as store:
        store.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in sorted(provenance.items()):
            store.attrs[key] = value
        columns = {
            "name": [clip.clip for clip in clips],
            "split": [clip.split for clip in clips],
            "domain": [clip.domain or "" for clip in clips],
            "label": [clip.label or "" for clip in clips],
        }
        for name, values in columns.items():
            store.create_dataset(f"clips/{name}", data=np.array(values, dtype=object), dtype=h5py.string_dtype())
        yield store


@contextmanager
def open_store(path: str | Path) -> Iterator[tuple[h5py.File, StoredClips]]:
    """Open a store for reading; UserError for another kind of file and for another schema version."""
    try:
        # No lock: stores are whole files, never changed in place, and some file systems have no locks.
        store = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be read as HDF5 ({error}): delete it and run again") from None
    with store:
        version = store.attrs.get("schema_version")
        if version != SCHEMA_VERSION:
            raise UserError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}: delete it and run again")
        columns = {name: store[f"clips/{name}"].asstr()[:].astype(str) for name in CLIP_COLUMNS}
        yield store, StoredClips(**columns)


def provenance_of(path: str | Path) -> dict[str, str]:
    """The text attributes of a store."""
    with open_store(path) as (store, _):
        return {key: str(value) for key, value in store.attrs.items()}


def statistics_name(block: int, channel: str, moment: str) -> str:
    """Name of a dataset of statistics."""
    return f"statistics/block_{block:02d}/{channel}/{moment}"


def read_statistics(store: h5py.File, block: int) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Mean and standard deviation, each (clips, dimensions) float32, of every channel stored for a block."""
    group = store[f"statistics/block_{block:02d}"]
    return {channel: (group[channel]["mean"][:], group[channel]["std"][:]) for channel in group}


def read_residuals(store: h5py.File) -> dict[str, NDArray[np.floating]]:
    """Residual summaries of all clips and the two covariances, by name."""
    return {name: dataset[:] for name, dataset in store["residuals"].items()}
