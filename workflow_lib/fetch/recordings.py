"""The jobs of `snakemake fetch_data`: list the archives of a suite, then fetch and unpack each of them."""

import json
import logging
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.fetch.archive import unpacked
from workflow_lib.fetch.connection import Session
from workflow_lib.fetch.download import download, readable
from workflow_lib.fetch.lock import NAME, RemoteFile, check_and_lock, locked_files
from workflow_lib.fetch.placing import conflict, is_whole, place
from workflow_lib.fetch.sets import SetPart, published_sets
from workflow_lib.fetch.zenodo import read_record
from workflow_lib.progress import Progress

log = logging.getLogger(__name__)
WORKPLACE = ".fetch"  # folder in the root of a suite; hidden, so no machine
UNPACKED = 1.3  # recordings as WAV to their zip, about


@dataclass(frozen=True)
class Archive:
    """The archive of one machine in one part of a set."""

    part: SetPart
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


def list_archives(listing: Path, suite: Mapping[str, Any]) -> None:
    """Write what is to be fetched for a suite, after a check of the lock file, the folders and the disk."""
    folder, fetch = Path(suite["root"]), suite["fetch"]
    archives = _archives(folder, suite["source"], suite["machines"], fetch)
    missing = [archive for archive in archives if not archive.is_there(folder)]
    if faults := [line for a in missing for f in a.folders(folder) if (line := conflict(f, a.file.checksum))]:
        raise UserError("\n".join(faults))
    _check_room(folder, missing, fetch)
    for file in (archive.file for archive in missing):
        log.info("%s: %s, %s, %s", file.name, readable(file.size), file.checksum, file.url)
    entries = [{"part": a.part.name, "machine": a.machine, "file": asdict(a.file)} for a in archives]
    listing.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _archives(root: Path, source: str, machines: list[str], fetch: Mapping[str, Any]) -> list[Archive]:
    """From the records' API, checked against the lock; from the lock alone where nothing is left to download."""
    parts = published_sets()[source].parts
    locked = locked_files(root / NAME).values()
    with suppress(UserError):  # some of them are not in the lock
        known = _choose(parts, machines, locked)
        if all(archive.is_there(root) or archive.zip(root).is_file() for archive in known):
            return known
    listed: list[RemoteFile] = []
    with Session.of(fetch) as session:
        for part in parts:
            files = read_record(session, fetch["records_url"], part.record)
            check_and_lock(root / NAME, files)
            listed += files
    return _choose(parts, machines, listed)


def _choose(parts: Iterable[SetPart], machines: list[str], listed: Collection[RemoteFile]) -> list[Archive]:
    archives = []
    for part in parts:
        files = {file.name: file for file in listed if file.record == part.record}
        archives += [Archive(part, machine, files[part.archive(machine, files)]) for machine in machines]
    return archives


def _check_room(root: Path, missing: list[Archive], fetch: Mapping[str, Any]) -> None:
    """Before the first byte: archives are removed one by one as they are unpacked, unless they are kept."""
    sizes = sorted((archive.file.size for archive in missing), reverse=True)
    needed = int(UNPACKED * sum(sizes)) + sum(sizes if fetch["keep_archives"] else sizes[: fetch["parallel"]])
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    log.info("%d archives, %s; about %s of room needed", len(sizes), readable(sum(sizes)), readable(needed))
    if needed > free:
        what = f"about {readable(needed)} are needed for {len(sizes)} archives, {readable(free)} are free"
        raise UserError(f"{root}: not enough room: {what}: make room, or set the suite's root to another disk")


def fetch_archive(listing: str, done: Path, part: str, machine: str, suite: Mapping[str, Any]) -> None:
    """Download, check and unpack one archive of a listing; `done` then says what is there."""
    folder, fetch = Path(suite["root"]), suite["fetch"]
    archive = _from_listing(Path(listing), part, machine, suite["source"])
    file, zip_path = archive.file, archive.zip(folder)
    if not archive.is_there(folder):
        with Session.of(fetch) as session, Progress(file.size, file.name, unit="byte") as progress:
            download(session, file.url, zip_path, size=file.size, checksum=file.checksum, progress=progress.add)
        with unpacked(zip_path) as files:
            place(files, folder / machine, archive.part.splits, file)
        if not fetch["keep_archives"]:
            zip_path.unlink()
    with suppress(OSError):
        (folder / WORKPLACE).rmdir()  # only if nothing is left in it
    done.write_text(f"{file.name} {file.checksum}\n", encoding="utf-8")


def _from_listing(listing: Path, part: str, machine: str, source: str) -> Archive:
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        if (entry["part"], entry["machine"]) == (part, machine):
            return Archive(published_sets()[source].part(part), machine, RemoteFile(**entry["file"]))
    raise UserError(f"{listing}: no archive of {machine} ({part}): remove this file, then run the same command again")


def print_fetched(suites: Mapping[str, Mapping[str, Any]], done: Iterable[str]) -> None:
    """Print a line for each published suite, UserError if there is none; the files `done` of the jobs are removed."""
    if not suites:
        known = ", ".join(published_sets())
        raise UserError(f"config: suites: none of this run has the key `fetch`: add one of {known} (docs/data.md)")
    for name, suite in suites.items():
        for part in published_sets()[suite["source"]].parts:
            folders = [Path(suite["root"], machine, split) for machine in suite["machines"] for split in part.splits]
            if missing := [folder for folder in folders if not is_whole(folder)]:
                advice = "remove the folders results/*/fetch, then run the same command again"
                raise UserError(f"{missing[0]}: not whole: {advice}")
        line = f"suite {name}: {suite['source']} is in {suite['root']}: {len(suite['machines'])} machines"
        log.info("%s", line)
        print(line, flush=True)
    for path in done:
        Path(path).unlink(missing_ok=True)
