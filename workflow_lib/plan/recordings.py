"""Recordings of the suites: how they are read, fetched, listed and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.plan.paths import Paths, fill
from workflow_lib.plan.suites import Suite

SHORTEST_S = 0.2  # five frames of the autoencoder are 0.128 s, one patch of EAT 0.175 s


@dataclass(frozen=True, eq=False)
class Recordings:
    """The recordings of a run; methods that take `wildcards` are input functions of rules."""

    config: Mapping[str, Any]
    suites: Mapping[str, Suite]
    run_suites: tuple[str, ...]
    paths: Paths

    def reading(self, suite: str) -> dict[str, Any]:
        """How the recordings of a suite are read."""
        settings = self.suites[suite]
        return {"sample_rate": settings.sample_rate, "channels": settings.channels, "resample": settings.resample}

    def index_rules(self, suite: str) -> dict[str, Any]:
        """What the index asks of the recordings of a suite."""
        settings = self.suites[suite]
        names = {"allow_no_target": settings.allow_no_target, "ground_truth": settings.ground_truth}
        return {**self.reading(suite), **names, "min_seconds": SHORTEST_S}

    @property
    def recorded_suites(self) -> list[str]:
        """Suites that are run and have recordings, not only score tables."""
        return [name for name in self.run_suites if self.suites[name].root]

    def of_machine(self, wildcards: Any) -> list[str]:
        """Folders of one machine's recordings."""
        return self.suites[wildcards.suite].recordings(wildcards.machine)

    def for_training(self, wildcards: Any) -> list[str]:
        """Training folder of one machine."""
        return self.suites[wildcards.suite].recordings(wildcards.machine, ("train",))

    def of_suite(self, wildcards: Any) -> list[str]:
        """Folders of the recordings of all machines of a suite."""
        suite = self.suites[wildcards.suite]
        return [folder for machine in suite.machines for folder in suite.recordings(machine)]

    def manifests(self, wildcards: Any) -> list[str]:
        """Manifests of a suite; none where there are only tables."""
        suite = self.suites[wildcards.suite]
        return [fill(self.paths.manifest, suite=suite.name, machine=m) for m in suite.machines] if suite.root else []

    def all_manifests(self, wildcards: Any) -> list[str]:
        """Manifests of all suites that are run."""
        suites = [self.suites[name] for name in self.recorded_suites]
        return [fill(self.paths.manifest, suite=s.name, machine=m) for s in suites for m in s.machines]

    # ---- published recordings --------------------------------------------------------------------------------------

    def fetching(self, suite: str) -> dict[str, Any]:
        """What the fetching jobs of a published suite need to know."""
        settings = self.suites[suite]
        place = {"root": settings.root, "source": settings.fetch, "machines": list(settings.machines)}
        return {**place, "fetch": self.config["fetch"]}

    @property
    def fetched_suites(self) -> list[str]:
        """Suites that are run and are published."""
        return [name for name in self.run_suites if self.suites[name].fetch]

    def unfetched(self, wildcards: Any) -> list[str]:
        """Archives that are not unpacked yet; the recordings on disk decide, so deleted ones are fetched again."""
        return [
            fill(self.paths.fetched, suite=name, part=part, machine=machine)
            for name in self.fetched_suites
            for part, machine in self.suites[name].unfetched()
        ]

    def is_stale(self, wildcards: Any) -> bool:
        """Whether a killed run left its mark of an archive whose recordings were deleted since."""
        w = wildcards
        done = fill(self.paths.fetched, suite=w.suite, part=w.part, machine=w.machine)
        return Path(done).exists() and (w.part, w.machine) in self.suites[w.suite].unfetched()
