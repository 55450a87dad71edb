"""Recordings of the suites: how they are read, fetched, listed and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.plan.paths import Paths, fill
from workflow_lib.plan.suites import Suite

TRAIN = ("train",)
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
        return {key: getattr(self.suites[suite], key) for key in ("sample_rate", "channels", "resample")}

    def index_rules(self, suite: str) -> dict[str, Any]:
        """What the index asks of the recordings of a suite."""
        asked = {key: getattr(self.suites[suite], key) for key in ("allow_no_target", "ground_truth")}
        return {**self.reading(suite), **asked, "min_seconds": SHORTEST_S}

    @property
    def recorded_suites(self) -> list[str]:
        """Suites that are run and have recordings, not only score tables."""
        return [name for name in self.run_suites if self.suites[name].root]

    def manifests(self, suite: str) -> list[str]:
        """Manifests of a suite; none where there are only tables."""
        machines = self.suites[suite].machines if self.suites[suite].root else ()
        return [fill(self.paths.manifest, suite=suite, machine=machine) for machine in machines]

    # ---- pseudo-anomalies ------------------------------------------------------------------------------------------

    def disturbed_from(self, wildcards: Any) -> list[str]:
        """Training folders that a machine's pseudo-anomalies are made of: its own and the second machine's."""
        return [folder for _, folders in self._disturbed(wildcards) for folder in folders]

    def disturbing(self, wildcards: Any) -> dict[str, Any]:
        """What makes a machine's pseudo-anomalies: its training folder, the second machine's, and the settings."""
        suite = self.suites[self.suites[wildcards.suite].made_from or ""]
        machines = [machine for machine, _ in self._disturbed(wildcards)]
        train, another = ([*(f"{suite.root}/{machine}/train" for machine in machines), None])[:2]
        files = [suite.fingerprint(machine, TRAIN) for machine in machines]
        return {"train": train, "another": another, "files": files, "settings": self.config["pseudo"]}

    def _disturbed(self, wildcards: Any) -> list[tuple[str, list[str]]]:
        """The machine and the next one of its suite, which is the same where there is one, with what is read."""
        suite, machine = self.suites[self.suites[wildcards.suite].made_from or ""], wildcards.machine
        another = suite.machines[(suite.machines.index(machine) + 1) % len(suite.machines)]
        return [(name, suite.recordings(name, TRAIN)) for name in dict.fromkeys((machine, another))]

    # ---- published recordings --------------------------------------------------------------------------------------

    def fetching(self, suite: str) -> dict[str, Any]:
        """What the fetching jobs of a published suite need to know."""
        settings = self.suites[suite]
        place = {"root": settings.root, "source": settings.fetch, "machines": list(settings.machines)}
        return {**place, "fetch": self.config["fetch"]}

    def unfetched(self, wildcards: Any) -> list[str]:
        """Archives that are not unpacked yet; the recordings on disk decide, so deleted ones are fetched again."""
        return [
            fill(self.paths.fetched, suite=name, part=part, machine=machine)
            for name in self.run_suites
            for part, machine in self.suites[name].unfetched()
        ]

    def is_stale(self, wildcards: Any) -> bool:
        """Whether a killed run left its mark of an archive whose recordings were deleted since."""
        suite, part, machine = wildcards.suite, wildcards.part, wildcards.machine
        done = fill(self.paths.fetched, suite=suite, part=part, machine=machine)
        return Path(done).exists() and (part, machine) in self.suites[suite].unfetched()
