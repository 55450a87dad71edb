"""`snakemake fetch_weights`: the published weights that the models of a run need, no others; nothing is unpickled.

A file that is there is used as it is, one in the cache of Hugging Face is copied; only then is a connection made.
"""

import logging
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, hf_hub_download, is_offline_mode, set_client_factory, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError, safe_open

from workflow_lib.errors import UserError
from workflow_lib.fetch.archive import unpacked
from workflow_lib.fetch.connection import Session, check_host, network_errors, short_cause
from workflow_lib.fetch.download import download
from workflow_lib.fetch.lock import ON_DISK, WEIGHTS_LOCK, Seen, seen_weights, sha256_of, write_seen
from workflow_lib.fetch.published import WEIGHT_SUFFIXES, Published, file_on_disk, meant_by
from workflow_lib.progress import Progress

log = logging.getLogger(__name__)


def fetch_weights(entries: Iterable[Mapping[str, str]], fetch: Mapping[str, Any], lock: Path = WEIGHTS_LOCK) -> None:
    """Bring the weights of `entries` (model, encoder, checkpoint) to their places; `fetch`: that section of the config.

    Raises one UserError with a line for each weight that is unavailable, before anything is downloaded.
    """
    wanted = [
        (entry["model"], entry["checkpoint"], meant_by(entry["encoder"], entry["checkpoint"])) for entry in entries
    ]
    seen = seen_weights(lock)
    if faults := [fault for item in wanted for fault in _faults(*item, fetch, seen)]:
        raise UserError("\n".join(faults))
    if not wanted:
        _say("No weights are needed: the models of this run are random or trained here.")
    for _, checkpoint, published in wanted:
        path, source = file_on_disk(checkpoint), ON_DISK
        if path is None:
            assert published is not None  # else a fault was found above
            path, source = _bring(published, checkpoint, fetch, seen)
        name = path.as_posix()
        seen = {**seen, name: seen.get(name) or _first_seen(path, source, published)}
        write_seen(seen, lock)
        _say(f"{path}: {'there already' if source == ON_DISK else 'fetched'}, sha256 {seen[name].sha256} ({lock})")


def _say(line: str) -> None:
    log.info("%s", line)
    print(line, flush=True)


def _first_seen(path: Path, source: str, published: Published | None) -> Seen:
    sha256 = sha256_of(path)
    name = published.name if published and (source != ON_DISK or published.sha256 == sha256) else None
    if source == ON_DISK and published and published.sha256 not in (None, sha256):
        _say(f"{path}: not the published {published.name}: taken as a file of your own")
    return Seen(sha256, path.stat().st_size, name, source)


# ---- before the first byte -------------------------------------------------------------------------------------------


def _faults(
    model: str, checkpoint: str, published: Published | None, fetch: Mapping[str, Any], seen: Mapping[str, Seen]
) -> Iterator[str]:
    """Why a weight is unavailable, or must not be used."""
    place, folder = f"models.{model}.checkpoint", Path(checkpoint)
    if file := file_on_disk(checkpoint):
        before = seen.get(file.as_posix())
        if before and before.sha256 != (now := sha256_of(file)):
            advice = f"put the old file back, or remove its entry from {WEIGHTS_LOCK}"
            yield f"{file}: sha256 is {now}, when it was first met {before.sha256}: {advice}"
    elif folder.is_dir() and any(found.suffix in WEIGHT_SUFFIXES for found in folder.iterdir()):
        yield f"{place}: {checkpoint} holds several weight files: write the path of one of them"
    elif published is None:
        yield f"{place}: there is no {checkpoint}, and no published file is known for it: put it there"
    elif not cached_file(published):
        if is_offline_mode():
            what = f"there is no {checkpoint}, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids connections"
            yield f"{place}: {what}: unset it, or put the file there ({published.address})"
        if published.restricted and published.encoder not in fetch["accept_licence"]:
            terms = f"{published.title} is under {published.licence} ({published.restricted}), {published.licence_url}"
            yield f"{place}: {terms}: if you accept that, add {published.encoder} to fetch.accept_licence"


def cached_file(published: Published) -> Path | None:
    """The file in the cache of Hugging Face, or None."""
    found = try_to_load_from_cache(published.huggingface, published.file) if published.huggingface else None
    return Path(found) if isinstance(found, str) else None


# ---- the file --------------------------------------------------------------------------------------------------------


def _bring(
    published: Published, checkpoint: str, fetch: Mapping[str, Any], seen: Mapping[str, Seen]
) -> tuple[Path, str]:
    """Copy or download a file to its place; with where it came from."""
    path = published.destination(checkpoint)
    before = seen.get(path.as_posix())
    expected = before.sha256 if before else published.sha256
    # Beside the checkpoint: a folder that is there already would be taken for a whole one. The name stays the same from
    # run to run, unlike that of `files.replacing`: the next run resumes the download of one that was killed.
    staged = Path(checkpoint).parent / f".{published.name}.fetched"
    cached = cached_file(published)
    try:
        staged.parent.mkdir(parents=True, exist_ok=True)
        if cached:
            shutil.copyfile(cached, staged)
        else:
            size = f"about {published.megabytes} MB from {published.address}"
            _say(f"{published.title}: {published.licence}, {published.licence_url}; {size}")
            fetch_file = _from_hub if published.huggingface else _from_archive if published.archive else _from_url
            fetch_file(published, staged, fetch)
        _check(staged, str(cached or published.address), expected)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(path)
    except OSError as error:
        advice = "correct that, then run the same command again"
        raise UserError(f"{path}: cannot be written ({short_cause(error)}): {advice}") from None
    return path, str(cached or published.address)


def _from_hub(published: Published, path: Path, fetch: Mapping[str, Any]) -> None:
    """Download from Hugging Face, without its cache: the file would be on the disk twice."""
    hosts = (*published.hosts, *fetch["hosts"])

    def check(request: httpx2.Request) -> None:
        check_host(str(request.url), published.address, hosts)

    set_client_factory(lambda: httpx2.Client(event_hooks={"request": [check]}, follow_redirects=True))
    constants.HF_HUB_DISABLE_XET = True  # a protocol of its own, with hosts that nothing checks
    constants.HF_HUB_DISABLE_TELEMETRY = True  # requests more than the file
    folder = path.with_suffix(".folder")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        with network_errors(published.address, (httpx2.HTTPError, EntryNotFoundError)):
            found = hf_hub_download(published.huggingface or "", published.file, local_dir=folder)
        Path(found).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _from_url(published: Published, path: Path, fetch: Mapping[str, Any]) -> None:
    checksum = f"sha256:{published.sha256}" if published.sha256 and not published.archive else None
    about = published.megabytes * 1_000_000
    with Session.of(fetch, published.hosts) as session, Progress(about, path.name, unit="byte") as progress:
        download(session, published.address, path, checksum=checksum, progress=progress.add)


def _from_archive(published: Published, path: Path, fetch: Mapping[str, Any]) -> None:
    """Download a zip and take the one weight file out of it."""
    archive = path.with_suffix(".zip")
    _from_url(published, archive, fetch)
    try:
        with unpacked(archive) as folder:
            found = list(folder.rglob(published.file))
            if len(found) != 1:
                what = f"the archive holds {len(found)} files {published.file}, not one"
                raise UserError(f"{published.address}: {what}: ask the publisher")
            found[0].replace(path)
    finally:
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
    """What shows, without opening a pickle, that a file is no whole weight file; an old `.pt` shows nothing."""
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"\x80"):
        return None
    if head.startswith(b"PK\x03\x04"):
        return None if zipfile.is_zipfile(path) else "the file is cut off"
    if head[8:] != b"{":
        return f"no weight file, it begins with {head!r}"
    try:
        with safe_open(path, "numpy"):  # reads the header, and compares it with the size of the file
            return None
    except SafetensorError as error:
        return f"no whole safetensors file ({error})"
