"""Suites as the workflow sees them while the DAG is built: which machines, labelled or not, where they lie."""

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_lib.dataset.ground_truth import truth_of
from workflow_lib.dataset.survey import discover_machines, fingerprint, labels_in_names
from workflow_lib.errors import UserError, nearest
from workflow_lib.fetch.placing import is_whole
from workflow_lib.fetch.sets import published_sets
from workflow_lib.plan.paths import NO_ONE, Paths, fill
from workflow_lib.simulation import machine_kinds

FORBIDDEN = re.compile(r"[/\\{}@+\x00-\x1f]")  # would break path patterns, or the names of adapted models
SPLITS = ("train", "test")
PSEUDO = "@pseudo"
AS_WRITTEN = ("sample_rate", "resample", "allow_no_target", "select_on", "simulate", "ground_truth", "fetch")
BOTH = frozenset({"normal", "anomaly"})


@dataclass(frozen=True)
class Suite:
    """One data set: its machines in config or alphabetical order, and how to read it."""

    name: str
    root: str | None  # None: there are no recordings, only score tables made elsewhere
    machines: tuple[str, ...]
    labelled: bool
    selection_machines: tuple[str, ...]  # with normal and anomalous test clips: weights can be chosen on them
    present: bool  # the recordings are on disk, or are simulated here
    channels: int
    sample_rate: int
    resample: bool
    allow_no_target: bool
    select_on: str | None
    simulate: Mapping[str, Any] | None
    ground_truth: str | None = None  # file with the true names of unlabelled test clips
    fetch: str | None = None  # the published set that `snakemake fetch_data` gets, such as dcase2026/dev
    made_from: str | None = None  # the suite whose normal training clips this one is made of: pseudo-anomalies

    @property
    def is_made(self) -> bool:
        """Whether a job of this workflow makes the recordings."""
        return bool(self.simulate or self.made_from)

    @property
    def training_suite(self) -> str:
        """The suite that adapted models, calibration and weights come from."""
        return self.select_on or self.name

    @property
    def for_submission(self) -> bool:
        """Whether it was published without labels, also where they are known by now."""
        return bool(self.ground_truth) or not self.labelled

    def recordings(self, machine: str, splits: tuple[str, ...] = SPLITS) -> list[str]:
        """Folders of one machine's splits: those that are there, or the one that the simulation will make."""
        if self.is_made:
            return [f"{self.root}/{machine}"]
        folders = [f"{self.root}/{machine}/{split}" for split in splits]
        return [folder for folder in folders if Path(folder).is_dir()]

    def fingerprint(self, machine: str, splits: tuple[str, ...] = SPLITS) -> str | None:
        """Changes when a recording is added, removed or written again; None for what a job of this workflow makes."""
        if self.is_made:
            return None
        found = fingerprint(self.recordings(machine, splits))
        truth = Path(self.ground_truth).read_bytes() if self.ground_truth and "test" in splits else b""
        return found if not truth else f"{found}-{hashlib.sha256(truth).hexdigest()[:16]}"

    def absence(self, machines: Iterable[str] = ()) -> str | None:
        """One line on what is missing before a real run that needs these machines can start, or None."""
        if self.root is None:
            return None
        folders = {m: [Path(f"{self.root}/{m}/{split}") for split in SPLITS] for m in machines if self.fetch}
        missing = [machine for machine, splits in folders.items() if not all(map(Path.is_dir, splits))]
        if self.present and not missing:
            return None
        what = f"{self.root} has no train or no test of {', '.join(missing)}"
        what = what if self.present else f"there is no folder {self.root}"
        get = "`snakemake --cores all fetch_data` gets them (docs/data.md)"
        get = get if missing else "put the recordings there as <machine>/train and <machine>/test"
        return f"suites.{self.name}.root: {what}: {get}, or write where they are; `make demo` needs no recordings"

    def unfetched(self) -> list[tuple[str, str]]:
        """(part, machine) of the archives of a published suite that are not on disk, unpacked and whole."""
        parts = published_sets()[self.fetch].parts if self.fetch else ()
        return [
            (part.name, machine)
            for part in parts
            for machine in self.machines
            if not all(is_whole(Path(f"{self.root}/{machine}/{split}")) for split in part.splits)
        ]


def load_suite(name: str, settings: Mapping[str, Any], paths: Paths, score_folders: Mapping[str, str]) -> Suite:
    """Build a suite from its config entry with defaults; `score_folders` maps external branches to their folders.

    Raises UserError, one line a fault: no machines, a machine that is not there, names that cannot be paths.
    """
    simulate = settings["simulate"]
    root = fill(paths.recordings, suite=name) if simulate else settings["root"]
    present = bool(simulate) or (root is not None and Path(root).is_dir())
    published = published_sets()[settings["fetch"]] if settings["fetch"] else None
    # A published set is known before it is fetched, and while only some of its machines are there.
    listed = settings["machines"] or (published and published.machines)
    machines = tuple(listed or _discover(name, root, simulate, score_folders))
    known = None
    if present and not published:
        known = machine_kinds() if simulate else _discover(name, root, None, {})
    faults = []
    for machine in machines:
        if FORBIDDEN.search(machine) or machine.startswith(".") or machine == NO_ONE:
            rule = "no leading dot, none of / \\ { } @ +, and not 'none'"
            faults.append(f"config: suites.{name}: machine {machine!r}: rename its folder: {rule}")
        elif known is not None and machine not in known:
            where = f"{root} has no folder {machine} with train or test in it"
            faults.append(f"config: suites.{name}.machines: {where}: {nearest(machine, known)}")
    if faults:
        raise UserError("\n".join(faults))
    labels = _labels(name, root, machines, settings, score_folders)
    wanted = True if settings["ground_truth"] else settings["labels"]
    if published and wanted == "auto" and not any(labels.values()):
        wanted = published.labelled
    labelled = _labelled(name, labels, wanted, present)
    return Suite(
        name=name,
        root=root,
        machines=machines,
        labelled=labelled,
        selection_machines=tuple(m for m in machines if labels.get(m, BOTH) >= BOTH) if labelled else (),
        present=present,
        channels=settings["channels"] or (published.channels if published else 2),
        **{key: settings[key] for key in AS_WRITTEN},
    )


def pseudo_name(suite: str) -> str:
    """Name of the suite of pseudo-anomalies made from another; `@` is in no name of the configuration."""
    return f"{suite}{PSEUDO}"


def pseudo_suite(suite: Suite, paths: Paths) -> Suite:
    """The suite of pseudo-anomalies that is made of another one's normal training clips."""
    return replace(
        suite,
        name=pseudo_name(suite.name),
        root=fill(paths.recordings, suite=pseudo_name(suite.name)),
        labelled=True,
        selection_machines=(),
        present=True,
        select_on=None,
        simulate=None,
        ground_truth=None,
        fetch=None,
        made_from=suite.name,
    )


def _discover(name: str, root: str | None, simulate: object, score_folders: Mapping[str, str]) -> list[str]:
    where = f"config: suites.{name}"
    if simulate:
        raise UserError(f"{where}.machines: missing: name the machines to simulate")
    if root is None:
        tables = {path.stem for folder in score_folders.values() for path in Path(folder).glob("[!.]*.csv")}
        if tables:
            return sorted(tables)
        if score_folders:
            places = ", ".join(f"branches.{branch}.scores: {folder}" for branch, folder in score_folders.items())
            raise UserError(f"{where}: no <machine>.csv found: correct {places}, or write root for recordings")
        raise UserError(f"{where}.root: missing: write the folder that holds the machines' folders")
    try:
        return discover_machines(root)
    except UserError as error:
        raise UserError(f"{where}.root: {error}") from None


def _labels(
    name: str,
    root: str | None,
    machines: tuple[str, ...],
    settings: Mapping[str, Any],
    score_folders: Mapping[str, str],
) -> dict[str, frozenset[str | None]]:
    """Labels of each machine's test clips, where there is something to look at."""
    if settings["simulate"]:
        return dict.fromkeys(machines, BOTH)
    if root is None:
        return {machine: _table_labels(machine, score_folders) for machine in machines}
    try:
        truth = {machine: truth_of(settings["ground_truth"], machine) for machine in machines}
    except UserError as error:
        raise UserError(f"config: suites.{name}.ground_truth: {error}") from None
    here = [machine for machine in machines if Path(root, machine, "test").is_dir()]
    return {machine: labels_in_names(root, machine, truth[machine]) for machine in here}


def _table_labels(machine: str, score_folders: Mapping[str, str]) -> frozenset[str | None]:
    words = {"0": "normal", "1": "anomaly"}
    found: set[str | None] = set()
    for folder in score_folders.values():
        path = Path(folder, f"{machine}.csv")
        if path.is_file():
            with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
                found |= {words.get(row.get("anomaly") or "") for row in csv.DictReader(file)}
    return frozenset(found - {None} or found)


def _labelled(name: str, labels: Mapping[str, frozenset[str | None]], wanted: object, present: bool) -> bool:
    """Whether a suite is evaluated; UserError where machines disagree, or names carry no labels that are promised."""
    known = {machine: found - {None} for machine, found in labels.items() if found}
    with_labels = [machine for machine, found in known.items() if found]
    without = [machine for machine, found in known.items() if not found]
    if wanted == "auto" and with_labels and without:
        raise UserError(
            f"config: suites.{name}: test clips of {', '.join(with_labels)} carry labels, those of {', '.join(without)}"
            " do not: make two suites of them (suites.<name>.machines), or write labels: false"
        )
    if wanted is True and without:
        raise UserError(
            f"config: suites.{name}.labels: the test clips of {', '.join(without)} carry no labels in their names: "
            "write auto or false"
        )
    return bool(with_labels) if wanted == "auto" else bool(wanted)
