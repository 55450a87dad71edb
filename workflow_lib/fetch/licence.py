"""The licence of the weights behind a model, by what they are and not only by where they lie."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_lib.fetch.lock import ON_DISK, WEIGHTS_LOCK, Seen, seen_weights, sha256_of
from workflow_lib.fetch.published import Published, file_on_disk, meant_by, published

OWN_FILE = "unknown: a file of your own"
RANDOM = "random weights"
NO_WEIGHTS = "no weights"


def licence_of(model: str, models: Mapping[str, Mapping[str, Any]], lock: Path = WEIGHTS_LOCK) -> str:
    """The licence of a model of the configuration in a few words."""
    settings = models.get(model, {})
    if settings.get("kind") == "adapted":
        base = licence_of(settings["base"], models, lock)
        return base if base == RANDOM else f"{base}; adapted here"
    if settings.get("kind") != "frozen":
        return "trained here" if settings.get("kind") == "autoencoder" else ""
    if "checkpoint" not in settings:
        return NO_WEIGHTS
    if settings["checkpoint"] == "random":
        return RANDOM
    file = identify(settings["encoder"], settings["checkpoint"], seen_weights(lock))
    return f"{file.title}, {file.licence}" if file else OWN_FILE


def identify(encoder: str, checkpoint: str, seen: Mapping[str, Seen]) -> Published | None:
    """The published file that a checkpoint is: by its sum where sums are known, else by its path; or None."""
    meant, on_disk = meant_by(encoder, checkpoint), file_on_disk(checkpoint)
    if meant is None or on_disk is None:
        return meant
    sums = known_sums(encoder, seen)
    found = sums.get(sha256_of(on_disk))
    return meant if found is None and meant not in sums.values() else found


def known_sums(encoder: str, seen: Mapping[str, Seen]) -> dict[str, Published]:
    """SHA-256 to published file: those pinned, and those that were downloaded here."""
    files = {file.name: file for file in published().get(encoder, [])}
    downloaded = {
        entry.sha256: files[entry.published]
        for entry in seen.values()
        if entry.source != ON_DISK and entry.published in files
    }
    pinned = {file.sha256: file for file in files.values() if file.sha256}
    return {**downloaded, **pinned}
