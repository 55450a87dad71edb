"""HDF5 stores: a model's statistics or residuals of every clip of a machine, with clip names and provenance.

/clips/{name,split,domain,label}                   utf-8, (clips,); empty text where unknown
/statistics/block_<bb>/<channel>/{mean,std}        float32, (clips, dimensions); token-wise, population deviation
/statistics/spectrum/<channel>/<statistic>         float32, (clips, bands); of the encoder logmel (encoders/logmel.py)
/head/embedding                                    float32, (clips, 256); adapted models only
/residuals/{mse,mean_residual,second_moment}       (clips,), (clips, 128), (clips, 8256); autoencoders only
/residuals/covariance_{source,target}              float32, (128, 128)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from workflow_lib import __version__
from workflow_lib.dataset.manifest import Clip
from workflow_lib.digest import settings_digest
from workflow_lib.errors import UserError

SCHEMA_VERSION = 1
CLIP_COLUMNS = {
    "name": "clip",
    "split": "split",
    "domain": "domain",
    "label": "label",
}  # in the manifest


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


def store_facts(
    name: str, settings: Mapping[str, Any], trained: bool, weights_digest: str, code: str, units: str
) -> dict[str, str]:
    """Attributes of a store: the model, the settings, weights and code that it was made from, and its units."""
    return {
        "model": name,
        "trained": "yes" if trained else "no",
        "config_digest": settings_digest(settings),
        "weights_digest": weights_digest,
        "code_version": f"{__version__}+{code}",
        "units": units,
    }


@contextmanager
def create_store(path: Path, clips: Sequence[Clip], provenance: Mapping[str, str]) -> Iterator[h5py.File]:
    """Open a new store with its clips and attributes written; the caller adds datasets."""
    with h5py.File(path, "w") as store:
        store.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in sorted(provenance.items()):
            store.attrs[key] = value
        for name, field in CLIP_COLUMNS.items():
            values = [getattr(clip, field) or "" for clip in clips]
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


def statistics_name(block: int | None, channel: str, statistic: str) -> str:
    """Name of a dataset of statistics; block None: of an encoder without blocks."""
    return f"{_statistics_group(block)}/{channel}/{statistic}"


def _statistics_group(block: int | None) -> str:
    return "statistics/spectrum" if block is None else f"statistics/block_{block:02d}"


def read_statistics(store: h5py.File, block: int | None) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Channel -> name -> statistic (clips, dimensions) float32 of a block; block None: of an encoder without blocks."""
    stored = store[_statistics_group(block)]
    return {channel: {name: values[:] for name, values in group.items()} for channel, group in stored.items()}


def read_residuals(store: h5py.File) -> dict[str, NDArray[np.floating]]:
    """Residual summaries of all clips and the two covariances, by name."""
    return {name: dataset[:] for name, dataset in store["residuals"].items()}
