"""`snakemake fetch_weights`: the published weights that the configured models need, none else, and nothing unpickled.

A file that is there is taken as it is, one in the cache of Hugging Face is copied; only then is a connection made.
"""

import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.fetch.archive import unpack
from workflow_lib.fetch.connection import Retry
from workflow_lib.fetch.download import download
from workflow_lib.fetch.published import WEIGHT_SUFFIXES, Published, file_on_disk, meant_by
from workflow_lib.fetch.weight_lock import LOCK, ON_DISK, Seen, read_lock, sha256_of, write_lock
from workflow_lib.progress import Progress

log = logging.getLogger(__name__)
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
YES = ("1", "ON", "YES", "TRUE")  # as the Hugging Face libraries read them


@dataclass(frozen=True)
class Wanted:
    """One checkpoint of the configuration, with the published file that it stands for."""

    model: str
    checkpoint: str
    published: Published | None

    @property
    def place(self) -> str:
        return f"models.{self.model}.checkpoint"


def fetch_weights(entries: Iterable[Mapping[str, str]], fetch: Mapping[str, Any], lock: Path = LOCK) -> None:
    """Bring the weights of `entries` (model, encoder, checkpoint) to their places; `fetch`: that section of the config.

    Raises one UserError with a line for each weight that cannot be had, before anything is downloaded.
    """
    wanted = [Wanted(e["model"], e["checkpoint"], meant_by(e["encoder"], e["checkpoint"])) for e in entries]
    seen = read_lock(lock)
    faults = [fault for item in wanted for fault in _faults(item, fetch, seen)]
    if faults:
        raise UserError("\n".join(faults))
    if not wanted:
        _say("No weights are needed: the models of this run are random or trained here.")
    for item in wanted:
        file = file_on_disk(item.checkpoint)
        path, source = (file, ON_DISK) if file else _bring(item.published, item.checkpoint, fetch, seen)
        seen = {**seen, path.as_posix(): _seen(path, source, item.published, seen.get(path.as_posix()))}
        write_lock(seen, lock)
        _say(f"{path}: {'there already' if file else 'fetched'}, sha256 {seen[path.as_posix()].sha256} ({lock})")


def _say(line: str) -> None:
    log.info("%s", line)
    print(line, flush=True)


def _seen(path: Path, source: str, published: Published | None, before: Seen | None) -> Seen:
    if before:
        return before
    sha256 = sha256_of(path)
    name = published.name if published and (source != ON_DISK or published.sha256 == sha256) else None
    if source == ON_DISK and published and published.sha256 not in (None, sha256):
        _say(f"{path}: not the published {published.name}: taken as a file of your own")
    return Seen(sha256, path.stat().st_size, name, source)


# ---- before the first byte -------------------------------------------------------------------------------------------


def _faults(item: Wanted, fetch: Mapping[str, Any], seen: Mapping[str, Seen]) -> Iterator[str]:
    """Why a weight cannot be had, or must not be used."""
    file = file_on_disk(item.checkpoint)
    if file:
        yield from _change(file, seen.get(file.as_posix()))
    elif _has_weights(Path(item.checkpoint)):
        yield f"{item.place}: {item.checkpoint} holds several weight files: write the path of one of them"
    elif item.published is None:
        yield f"{item.place}: there is no {item.checkpoint}, and no published file is known for it: put it there"
    elif not cached_file(item.published):
        yield from _obstacles(item, item.published, fetch)


def _change(file: Path, before: Seen | None) -> Iterator[str]:
    if before and before.sha256 != (now := sha256_of(file)):
        advice = f"put the old file back, or take its entry out of {LOCK}"
        yield f"{file}: sha256 is {now}, when it was first met {before.sha256}: {advice}"


def _has_weights(folder: Path) -> bool:
    return folder.is_dir() and any(file.suffix in WEIGHT_SUFFIXES for file in folder.iterdir())


def _obstacles(item: Wanted, published: Published, fetch: Mapping[str, Any]) -> Iterator[str]:
    if variable := _offline():
        what = f"there is no {item.checkpoint}, and {variable} forbids connections"
        yield f"{item.place}: {what}: unset it, or put the file there ({published.address})"
    if published.restricted and published.encoder not in fetch["accept_licence"]:
        terms = f"{published.title} is under {published.licence} ({published.restricted}), {published.licence_url}"
        yield f"{item.place}: {terms}: if you accept that, add {published.encoder} to fetch.accept_licence"


def _offline() -> str | None:
    return next((name for name in OFFLINE if os.environ.get(name, "").upper() in YES), None)


# ---- the file --------------------------------------------------------------------------------------------------------


def cached_file(published: Published) -> Path | None:
    """The file in the cache of Hugging Face, where HF_HUB_CACHE, HF_HOME or the default says it is, or None."""
    if not published.huggingface:
        return None
    folder = _hub_cache() / f"models--{published.huggingface.replace('/', '--')}"
    branch = folder / "refs" / "main"
    revision = branch.read_text(encoding="utf-8").strip() if branch.is_file() else "*"
    return next(iter(sorted(folder.glob(f"snapshots/{revision}/{published.file}"))), None)


def _hub_cache() -> Path:
    environment = os.environ
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    default = Path(environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(environment.get("HF_HOME") or default, "hub").expanduser()


def _bring(
    published: Published, checkpoint: str, fetch: Mapping[str, Any], seen: Mapping[str, Seen]
) -> tuple[Path, str]:
    """Copy or download a file to its place; with where it came from."""
    path = published.destination(checkpoint)
    before = seen.get(path.as_posix())
    expected = before.sha256 if before else published.sha256
    # Beside the checkpoint: a folder that is there already would be taken for a whole one.
    staged = Path(checkpoint).parent / f".{published.name}.fetched"
    cached = cached_file(published)
    try:
        if cached:
            staged = staged.with_suffix(".copied")  # not where a download would take it for a whole file
            staged.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cached, staged)
        elif published.archive:
            _download_archive(published, staged, fetch)
        else:
            _download(published, staged, expected, fetch)
        _check(staged, str(cached or published.address), expected)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}): mend that, then run it again"
        ) from None
    return path, str(cached or published.address)


def _download(published: Published, path: Path, sha256: str | None, fetch: Mapping[str, Any]) -> None:
    size = f"about {published.megabytes} MB from {published.address}"
    _say(f"{published.title}: {published.licence}, {published.licence_url}; {size}")
    with Progress(published.megabytes * 1_000_000, path.name, unit="byte") as progress:
        download(
            published.address,
            path,
            size=None,
            checksum=f"sha256:{sha256}" if sha256 else None,
            hosts=(*published.hosts, *fetch["hosts"]),
            progress=progress.add,
            settings=Retry(attempts=fetch["attempts"], timeout_s=fetch["timeout_s"]),
        )


def _download_archive(published: Published, path: Path, fetch: Mapping[str, Any]) -> None:
    """Download a zip and take the one weight file out of it."""
    archive, folder = path.with_suffix(".zip"), path.with_suffix(".unpacked")
    _download(published, archive, None, fetch)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        found = [name for name in unpack(archive, folder) if name.name == published.file]
        if len(found) != 1:
            what = f"holds no {published.file}" if not found else f"holds {published.file} more than once"
            raise UserError(f"{published.address}: the archive {what}: ask the publisher")
        (folder / found[0]).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        archive.unlink(missing_ok=True)


def _check(path: Path, source: str, sha256: str | None) -> None:
    """Remove what is no whole weight file, such as the page of a proxy, or not the one that was met first."""
    fault = _shape_fault(path)
    if not fault and sha256 and (found := sha256_of(path)) != sha256:
        fault = f"sha256 is {found}, expected is {sha256}"
    if fault:
        path.unlink()
        raise UserError(f"{source}: {fault}: it was not taken; check the proxy, or ask the publisher")


def _shape_fault(path: Path) -> str | None:
    """What shows, without opening a pickle, that a file is no whole weight file; a `.pt` of old times shows nothing."""
    with path.open("rb") as file:
        head = file.read(9)
        if head.startswith(b"\x80"):
            return None
        if head.startswith(b"PK\x03\x04"):
            return None if zipfile.is_zipfile(path) else "the file is cut off"
        if head[8:] != b"{":
            return f"no weight file, it begins with {head!r}"
        file.seek(8)
        rest = path.stat().st_size - 8
        return _safetensors_fault(file.read(min(int.from_bytes(head[:8], "little"), rest)), rest)


def _safetensors_fault(header: bytes, rest: int) -> str | None:
    try:
        entries = json.loads(header)
        data = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "no safetensors file, its header is damaged or cut off"
    return None if len(header) + data == rest else f"{rest - len(header)} bytes of weights, its header says {data}"
