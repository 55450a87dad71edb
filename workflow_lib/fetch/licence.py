"""The licence of the weights behind a model, by what they are and not only by where they lie."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_lib.fetch.published import Published, file_on_disk, meant_by, published
from workflow_lib.fetch.weight_lock import LOCK, ON_DISK, Seen, read_lock, sha256_of

OWN_FILE = "unknown: a file of your own"
RANDOM = "random weights"
ADAPTED = "; adapted here"
TRAINED_HERE = "trained here"


def licence_of(model: str, models: Mapping[str, Mapping[str, Any]], lock: Path = LOCK) -> str:
    """The licence of a model of the configuration in a few words."""
    settings = models.get(model, {})
    if settings.get("kind") == "adapted":
        base = licence_of(settings["base"], models, lock)
        return base if base == RANDOM else base + ADAPTED
    if settings.get("kind") != "frozen":
        return TRAINED_HERE if settings.get("kind") == "autoencoder" else ""
    if settings["checkpoint"] == "random":
        return RANDOM
    file = identify(settings["encoder"], settings["checkpoint"], read_lock(lock))
    return f"{file.title}, {file.licence}" if file else OWN_FILE


def identify(encoder: str, checkpoint: str, seen: Mapping[str, Seen]) -> Published | None:
    """The published file that a checkpoint is: by its sum where sums are known, else by its path; or None."""
    meant, on_disk = meant_by(encoder, checkpoint), file_on_disk(checkpoint)
    if meant is None or on_disk is None:
        return meant
    sums = known_sums(encoder, seen)
    found = sums.get(sha256_of(on_disk))
    if found is None and meant not in sums.values():
        return meant
    return found


def known_sums(encoder: str, seen: Mapping[str, Seen]) -> dict[str, Published]:
    """SHA-256 to published file: those pinned, and those that were downloaded here."""
    files = {file.name: file for file in published().get(encoder, [])}
    downloaded = [entry for entry in seen.values() if entry.source != ON_DISK and entry.published in files]
    pinned = {file.sha256: file for file in files.values() if file.sha256}
    return {**{entry.sha256: files[entry.published] for entry in downloaded}, **pinned}
