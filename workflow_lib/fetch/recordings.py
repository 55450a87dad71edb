"""What the rules of `snakemake fetch_data` run: list the archives of a suite, then fetch and unpack each of them."""

import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.fetch.archive import declared_bytes, unpack
from workflow_lib.fetch.connection import Retry
from workflow_lib.fetch.download import download
from workflow_lib.fetch.part import readable
from workflow_lib.fetch.placing import conflict, is_whole, place
from workflow_lib.fetch.record_lock import NAME, check_and_lock, locked_files
from workflow_lib.fetch.records import RemoteFile, read_record
from workflow_lib.fetch.sets import Part, published_sets
from workflow_lib.progress import Progress

log = logging.getLogger(__name__)
WORKPLACE = ".fetch"  # folder in the root of a suite; hidden, so no machine
UNPACKED = 1.3  # recordings as WAV to their zip, about


@dataclass(frozen=True)
class Settings:
    """Section `fetch` of the configuration."""

    records_url: str
    hosts: tuple[str, ...]
    parallel: int
    attempts: int
    timeout_s: float
    keep_archives: bool

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> "Settings":
        names = cls.__dataclass_fields__
        return cls(**{name: tuple(section[name]) if name == "hosts" else section[name] for name in names})

    @property
    def retry(self) -> Retry:
        return Retry(attempts=self.attempts, timeout_s=self.timeout_s)


@dataclass(frozen=True)
class Archive:
    """The archive of one machine in one part of a set."""

    part: Part
    machine: str
    file: RemoteFile

    def folders(self, root: Path) -> list[Path]:
        """The split folders that it is unpacked to."""
        return [root / self.machine / split for split in self.part.splits]

    def zip(self, root: Path) -> Path:
        """Where it lies until it is unpacked."""
        return root / WORKPLACE / self.file.name

    def is_there(self, root: Path) -> bool:
        """Whether all of it is unpacked."""
        return all(is_whole(folder) and not conflict(folder, self.file.checksum) for folder in self.folders(root))


def list_archives(listing: Path, *, root: str, source: str, machines: Iterable[str], fetch: Mapping[str, Any]) -> None:
    """Write what is to be fetched for a suite, after a look at the lock file, the folders and the disk."""
    settings, root = Settings.from_config(fetch), Path(root)
    archives = _archives(root, source, list(machines), settings)
    missing = [archive for archive in archives if not archive.is_there(root)]
    faults = [line for a in missing for f in a.folders(root) if (line := conflict(f, a.file.checksum))]
    if faults:
        raise UserError("\n".join(faults))
    _check_room(root, missing, settings)
    for archive in missing:
        file = archive.file
        log.info("%s: %s, %s, %s", file.name, readable(file.size), file.checksum, file.url)
    entries = [{"part": a.part.name, "machine": a.machine, "file": a.file.facts()} for a in archives]
    listing.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _archives(root: Path, source: str, machines: list[str], settings: Settings) -> list[Archive]:
    """From the records' API, checked against the lock; from the lock alone where nothing is left to download."""
    parts = published_sets()[source].parts
    known = _choose(parts, machines, list(locked_files(root / NAME).values()))
    if known is not None and all(a.is_there(root) or a.zip(root).is_file() for a in known):
        return known
    listed = []
    for part in parts:
        files = read_record(part.record, settings.records_url, settings.hosts, settings.retry)
        check_and_lock(root / NAME, files.values())
        listed += files.values()
    return [_archive(part, machine, listed) for part in parts for machine in machines]


def _choose(parts: Iterable[Part], machines: list[str], listed: list[RemoteFile]) -> list[Archive] | None:
    with suppress(UserError):
        return [_archive(part, machine, listed) for part in parts for machine in machines]
    return None


def _archive(part: Part, machine: str, listed: list[RemoteFile]) -> Archive:
    files = {file.name: file for file in listed if file.record == part.record}
    name = part.archive(machine, files)
    if name != part.archives[machine]:
        log.warning("record %d has %s in place of %s", part.record, name, part.archives[machine])
    return Archive(part, machine, files[name])


def _check_room(root: Path, missing: list[Archive], settings: Settings) -> None:
    """Before the first byte: archives are removed one by one as they are unpacked, unless they are kept."""
    sizes = sorted((archive.file.size for archive in missing), reverse=True)
    zips = sum(sizes if settings.keep_archives else sizes[: settings.parallel])
    needed = int(UNPACKED * sum(sizes)) + zips
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    log.info("%d archives, %s; about %s of room needed", len(sizes), readable(sum(sizes)), readable(needed))
    if needed > free:
        what = f"about {readable(needed)} are needed for {len(sizes)} archives, {readable(free)} are free"
        raise UserError(f"{root}: not enough room: {what}: make room, or set the suite's root to another disk")


def fetch_archive(
    listing: str, done: Path, part: str, machine: str, *, root: str, source: str, machines: object, fetch: Mapping
) -> None:
    """Download, check and unpack one archive of a listing; `done` then says what is there."""
    settings, root = Settings.from_config(fetch), Path(root)
    archive = _from_listing(Path(listing), part, machine, source)
    if not archive.is_there(root):
        _download(archive.file, archive.zip(root), settings)
        _unpack(archive, archive.zip(root), root)
        if not settings.keep_archives:
            archive.zip(root).unlink()
    with suppress(OSError):
        (root / WORKPLACE).rmdir()  # only if nothing is left in it
    done.write_text(f"{archive.file.name} {archive.file.checksum}\n", encoding="utf-8")


def say_what_is_there(suites: Mapping[str, Mapping[str, Any]], done: Iterable[str]) -> None:
    """One line for each published suite, UserError if there is none; what the jobs left as `done` is used up."""
    if not suites:
        known = ", ".join(published_sets())
        raise UserError(f"config: suites: none of this run has the key `fetch`: add one of {known} (docs/data.md)")
    for name, suite in suites.items():
        folders = _folders(Path(suite["root"]), suite["source"], suite["machines"])
        if missing := [folder for folder in folders if not is_whole(folder)]:
            raise UserError(
                f"{missing[0]}: not whole: remove the folders results/*/fetch, then run the same command again"
            )
        line = f"suite {name}: {suite['source']} is in {suite['root']}: {len(suite['machines'])} machines"
        log.info("%s", line)
        print(line, flush=True)
    for path in done:
        Path(path).unlink(missing_ok=True)


def _folders(root: Path, source: str, machines: Iterable[str]) -> list[Path]:
    parts = published_sets()[source].parts
    return [root / machine / split for part in parts for machine in machines for split in part.splits]


def _from_listing(listing: Path, part: str, machine: str, source: str) -> Archive:
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        if (entry["part"], entry["machine"]) == (part, machine):
            return Archive(published_sets()[source].part(part), machine, RemoteFile(**entry["file"]))
    raise UserError(f"{listing}: no archive of {machine} ({part}): remove this file, then run the same command again")


def _download(file: RemoteFile, path: Path, settings: Settings) -> None:
    with Progress(file.size, file.name, unit="byte") as progress:
        download(
            file.url,
            path,
            size=file.size,
            checksum=file.checksum,
            hosts=settings.hosts,
            progress=progress.add,
            settings=settings.retry,
        )


def _unpack(archive: Archive, zip_path: Path, root: Path) -> None:
    """Unpack beside the machine folders, and move into place what is whole."""
    folder = zip_path.with_suffix(".unpacked")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    file = archive.file
    note = {"record": file.record, "archive": file.name, "checksum": file.checksum}
    try:
        with Progress(declared_bytes(zip_path), f"unpack {file.name}", unit="byte") as progress:
            unpack(zip_path, folder, progress=progress.add)
        place(folder, root / archive.machine, archive.part.splits, note)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
