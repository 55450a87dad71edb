"""Suites as the workflow sees them while the DAG is built: which machines, labelled or not, where they lie."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError, nearest
from workflow_lib.layout import discover_machines
from workflow_lib.paths import Paths, fill
from workflow_lib.simulation import machine_kinds

LABELLED_NAME = re.compile(r"_test_(normal|anomaly)_", re.IGNORECASE)
FORBIDDEN = re.compile(r"[/\\{}\x00-\x1f]")  # would break path patterns
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Suite:
    """One data set: its machines in config or alphabetical order, and how to read it."""

    name: str
    root: str | None  # None: there are no recordings, only score tables made elsewhere
    machines: tuple[str, ...]
    labelled: bool
    present: bool  # the recordings are on disk, or are simulated here
    channels: int
    sample_rate: int
    resample: bool
    allow_no_target: bool
    select_on: str | None
    simulate: Mapping[str, Any] | None

    @property
    def training_suite(self) -> str:
        """The suite that adapted models, calibration and weights come from."""
        return self.select_on or self.name

    def recordings(self, machine: str, splits: tuple[str, ...] = SPLITS) -> list[str]:
        """Folders of one machine's splits: those that are there, or the one that the simulation will make."""
        if self.simulate:
            return [f"{self.root}/{machine}"]
        folders = [f"{self.root}/{machine}/{split}" for split in splits]
        return [folder for folder in folders if Path(folder).is_dir()]

    def absence(self) -> str | None:
        """One line on what is missing before a real run can start, or None."""
        if self.present or self.root is None:
            return None
        return (
            f"suites.{self.name}.root: there is no folder {self.root}: put the recordings there as <machine>/train and"
            " <machine>/test, or write where they are; `make demo` needs no recordings"
        )


def load_suite(name: str, settings: Mapping[str, Any], paths: Paths, score_folders: Mapping[str, str]) -> Suite:
    """Build a suite from its config entry; `score_folders` maps external branches to their folders.

    Raises UserError, one line a fault: no machines, a machine that is not there, names that cannot be paths.
    """
    simulate = settings.get("simulate")
    root = fill(paths.recordings, suite=name) if simulate else settings.get("root")
    present = bool(simulate) or (root is not None and Path(root).is_dir())
    machines = tuple(settings.get("machines") or _discover(name, root, simulate, score_folders))
    known = _known_machines(name, root, simulate) if present else None
    faults = [f"config: {fault}" for fault in _machine_faults(name, root, machines, known)]
    if faults:
        raise UserError("\n".join(faults))
    labels = settings.get("labels", "auto")
    return Suite(
        name=name,
        root=root,
        machines=machines,
        labelled=_labelled(root, machines, bool(simulate)) if labels == "auto" else bool(labels),
        present=present,
        channels=settings.get("channels", 2),
        sample_rate=settings.get("sample_rate", 16000),
        resample=settings.get("resample", False),
        allow_no_target=settings.get("allow_no_target", False),
        select_on=settings.get("select_on"),
        simulate=simulate,
    )


def _discover(name: str, root: str | None, simulate: object, score_folders: Mapping[str, str]) -> list[str]:
    where = f"config: suites.{name}"
    if simulate:
        raise UserError(f"{where}.machines: missing: name the machines to simulate")
    if root is None:
        tables = {path.stem for folder in score_folders.values() for path in Path(folder).glob("*.csv")}
        if tables:
            return sorted(tables)
        raise UserError(f"{where}.root: missing: write the folder that holds the machines' folders")
    try:
        return discover_machines(root)
    except UserError as error:
        raise UserError(f"{where}.root: {error}") from None


def _known_machines(name: str, root: str | None, simulate: object) -> list[str]:
    return machine_kinds() if simulate else _discover(name, root, None, {})


def _machine_faults(name: str, root: str | None, machines: tuple[str, ...], known: list[str] | None) -> Iterator[str]:
    for machine in machines:
        if FORBIDDEN.search(machine) or machine.startswith("."):
            yield f"suites.{name}: machine {machine!r}: rename its folder: no leading dot, no / \\ {{ }} in the name"
        elif known is not None and machine not in known:
            where = f"{root} has no folder {machine} with train or test in it"
            yield f"suites.{name}.machines: {where}: {nearest(machine, known)}"


def _labelled(root: str | None, machines: tuple[str, ...], simulated: bool) -> bool:
    """Look at one test clip's name; tables made elsewhere and simulated clips are labelled."""
    if root is None or simulated:
        return True
    for machine in machines:
        folder = Path(root, machine, "test")
        with os.scandir(folder) if folder.is_dir() else os.scandir(root) as entries:
            for entry in entries:
                if entry.name.lower().endswith((".wav", ".flac")) and not entry.name.startswith("."):
                    return bool(LABELLED_NAME.search(entry.name))
    return False
