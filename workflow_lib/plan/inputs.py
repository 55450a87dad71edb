"""Input functions of the rules: which files a job needs, from its wildcards alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.plan.paths import NO_ONE, NO_SEED, Paths, fill
from workflow_lib.plan.plan import Plan
from workflow_lib.plan.studies import Studies
from workflow_lib.protocols import possible_protocols


@dataclass(frozen=True)
class Inputs:
    """Named input functions; Snakemake calls each with the wildcards of a job."""

    plan: Plan

    @property
    def _paths(self) -> Paths:
        return self.plan.paths

    @cached_property
    def studies(self) -> Studies:
        return Studies(self.plan)

    def recordings(self, wildcards: Any) -> list[str]:
        """Folders of one machine's recordings."""
        return self.plan.suites[wildcards.suite].recordings(wildcards.machine)

    def training_recordings(self, wildcards: Any) -> list[str]:
        """Training folder of one machine."""
        return self.plan.suites[wildcards.suite].recordings(wildcards.machine, ("train",))

    def weights(self, wildcards: Any) -> list[str]:
        """The checkpoint of the encoder below a model, where it is a file that is there."""
        checkpoint = self.plan.encoder(wildcards.model)["checkpoint"]
        return [checkpoint] if checkpoint != "random" and Path(checkpoint).exists() else []

    def adapter(self, wildcards: Any) -> list[str]:
        """The adapter of an adapted model; nothing for a frozen one."""
        if "@" not in wildcards.model:
            return []
        return [
            fill(self._paths.adapter, suite=self.plan.suites[wildcards.suite].training_suite, model=wildcards.model)
        ]

    def adaptation_manifests(self, wildcards: Any) -> list[str]:
        """Manifests of the machines that an adapted model sees; the held-out machines' are not among them."""
        machines = self.plan.training_machines(wildcards.model, wildcards.suite)
        return [fill(self._paths.manifest, suite=wildcards.suite, machine=machine) for machine in machines]

    def adaptation_recordings(self, wildcards: Any) -> list[str]:
        """Training folders of the machines that an adapted model sees."""
        suite = self.plan.suites[wildcards.suite]
        machines = self.plan.training_machines(wildcards.model, wildcards.suite)
        return [folder for machine in machines for folder in suite.recordings(machine, ("train",))]

    def score_source(self, wildcards: Any) -> str:
        """What a branch is scored from: residuals, statistics, or a table made elsewhere."""
        kind = self.plan.branch_kind(wildcards.branch)
        if kind == "external":
            return f"{self.plan.config['branches'][wildcards.branch]['scores']}/{wildcards.machine}.csv"
        pattern = self._paths.residuals if kind == "autoencoder" else self._paths.embeddings
        return fill(pattern, suite=wildcards.suite, model=wildcards.model, machine=wildcards.machine)

    def external_normal_scores(self, wildcards: Any) -> list[str]:
        """Scores of normal training clips that an external branch has beside its tables, in the folder `normal`."""
        if self.plan.branch_kind(wildcards.branch) != "external":
            return []
        path = Path(self.plan.config["branches"][wildcards.branch]["scores"], "normal", f"{wildcards.machine}.csv")
        return [str(path)] if path.is_file() else []

    def selection_machines(self, suite: str, held_out: str) -> list[str]:
        """Machines that choose calibration and weights of a fold, by its name."""
        unheard = set(self.plan.held_out(suite, held_out))
        return [machine for machine in self.plan.suites[suite].machines if machine not in unheard]

    def selection_tables(self, wildcards: Any) -> list[str]:
        """Score tables of all branches on the selection machines of a fold: machine by machine, in branch order."""
        w = wildcards
        self._check_protocol(w.protocol, w.system)
        if (w.held_out == NO_ONE) != (w.protocol == "complete_dev"):
            told = "complete_dev holds no machine out, every other protocol one"
            raise UserError(f"held out {w.held_out} under {w.protocol}: {told}: name the file of such a fold")
        return self._selection_tables(w.suite, w.protocol, w.system, w.seed, w.held_out)

    def _check_protocol(self, protocol: str, system: str) -> None:
        """UserError for a figure that the configuration refuses too: it would carry another protocol's name."""
        possible = possible_protocols("system", self.plan.system(system))
        if protocol not in possible:
            raise UserError(f"{system} has no {protocol} (docs/design.md): name a file under {', '.join(possible)}")

    def _selection_tables(self, suite: str, protocol: str, system: str, seed: str, held_out: str) -> list[str]:
        return [
            self.plan.score_table(branch, suite, protocol, machine, self._seed(branch, seed), held_out)
            for machine in self.selection_machines(suite, held_out)
            for branch in self._members(system, suite, protocol)
        ]

    def _members(self, system: str, suite: str, protocol: str) -> list[str]:
        """Branches of a system, in order; in nested_lomo each with its candidates behind it."""
        return [c for candidates in self.plan.choices(system, suite, protocol).values() for c in candidates]

    def branch_tables(self, wildcards: Any) -> list[str]:
        """Score tables of one machine, in branch order."""
        w = wildcards
        self._check_protocol(w.protocol, w.system)
        return self._branch_tables(w.suite, w.protocol, w.system, w.seed, w.machine)

    def _branch_tables(self, suite: str, protocol: str, system: str, seed: str, machine: str) -> list[str]:
        branches = self._members(system, suite, protocol)
        return [self.plan.score_table(b, suite, protocol, machine, self._seed(b, seed)) for b in branches]

    def fold(self, wildcards: Any) -> list[str]:
        """Calibration and weights that fuse a machine's scores; none for a single branch, which needs none."""
        w = wildcards
        return self._fold(w.suite, w.protocol, w.system, w.seed, w.machine)

    def _fold(self, suite: str, protocol: str, system: str, seed: str, machine: str) -> list[str]:
        if len(self._members(system, suite, protocol)) == 1:
            return []
        source = self.plan.suites[self.plan.suites[suite].training_suite]
        held_out = NO_ONE if protocol == "complete_dev" else self.plan.fold_of(suite, machine)
        values = {"protocol": protocol, "system": system, "seed": seed, "held_out": held_out}
        return [fill(self._paths.fusion, suite=source.name, **values)]

    def _seed(self, branch: str, seed: str) -> str:
        return seed if self.plan.is_adapted(branch) else NO_SEED

    def suite_tables(self, wildcards: Any) -> list[str]:
        """All score tables that the tables of a suite are made of."""
        return sorted({table for e in self.plan.evaluations(wildcards.suite) for table in e.tables.values()})

    def suite_notes(self, wildcards: Any) -> list[str]:
        """What the scoring jobs of a suite had to say, also those that only a fold's weights were chosen from."""
        return sorted({t.removesuffix(".csv") + ".json" for t in self._branch_scores(wildcards.suite)})

    def _branch_scores(self, suite: str) -> Iterator[str]:
        """Every score table of a branch that the evidence of a suite stands on; those of other suites are theirs."""
        for e in self.plan.evaluations(suite):
            if not e.fused:
                yield from e.tables.values()
                continue
            for machine in e.tables:
                yield from self._branch_tables(suite, e.protocol, e.fused, e.seed, machine)
            for fold in self.plan.folds[suite] if e.protocol == "nested_lomo" else ():
                yield from self._selection_tables(suite, e.protocol, e.fused, e.seed, fold)

    def threshold_rows(self, suite: str) -> list[dict[str, Any]]:
        """`plan.evaluation_rows` with each machine's normal scores by branch, and the fold that fuses them, if any."""
        return [
            {**row, "normal": self._normal_scores(row), "folds": self._machine_folds(row)}
            for row in self.plan.evaluation_rows(suite)
        ]

    def _normal_scores(self, row: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """machine -> branch -> scores of its normal training clips, made by the job that makes its score table.

        In nested_lomo also of a branch's candidates: which one stands for it is known when the fold is.
        """
        normal = self._paths.normal_scores_of
        if not row["fused"]:
            return {m: {row["name"]: normal(table)} for m, table in row["tables"].items()}
        suite, protocol, fused, seed = (row[key] for key in ("suite", "protocol", "fused", "seed"))
        names = self._members(fused, suite, protocol)
        tables = {m: self._branch_tables(suite, protocol, fused, seed, m) for m in row["tables"]}
        return {m: dict(zip(names, map(normal, of_machine), strict=True)) for m, of_machine in tables.items()}

    def _machine_folds(self, row: Mapping[str, Any]) -> dict[str, str]:
        """machine -> the fold that fuses its scores; none for a branch, or a system of one branch."""
        if not row["fused"]:
            return {}
        folds = {m: self._fold(row["suite"], row["protocol"], row["fused"], row["seed"], m) for m in row["tables"]}
        return {machine: files[0] for machine, files in folds.items() if files}

    def suite_normal_scores(self, wildcards: Any) -> list[str]:
        """Scores of all normal training clips that the thresholds of a suite stand on."""
        of_machines = [
            by_branch for row in self.threshold_rows(wildcards.suite) for by_branch in row["normal"].values()
        ]
        return sorted({path for by_branch in of_machines for path in by_branch.values()})

    def suite_adapters(self, wildcards: Any) -> list[str]:
        """Adapted models behind the scores of a suite that were trained on it."""
        plan, suite = self.plan, wildcards.suite
        if plan.suites[suite].select_on:
            return []
        models = {Path(table).parent.name for table in self._branch_scores(suite)}
        return sorted(fill(self._paths.adapter, suite=suite, model=model) for model in models if "@" in model)

    def suite_folds(self, wildcards: Any) -> list[str]:
        """Calibration and weights behind the fused tables of a suite."""
        fused = [e for e in self.plan.evaluations(wildcards.suite) if e.fused]
        return sorted({f for e in fused for m in e.tables for f in self._fold(e.suite, e.protocol, e.fused, e.seed, m)})

    def suite_manifests(self, wildcards: Any) -> list[str]:
        """Manifests of a suite; none where there are only tables."""
        suite = self.plan.suites[wildcards.suite]
        return [fill(self._paths.manifest, suite=suite.name, machine=m) for m in suite.machines] if suite.root else []

    def report_tables(self, wildcards: Any) -> list[str]:
        """Table folders of all suites that are run."""
        return [fill(self._paths.tables, suite=suite) for suite in self.plan.run_suites]

    def study_tables(self, wildcards: Any) -> list[str]:
        """Score tables that a study computes from, besides the tables of its suite."""
        return self.studies.score_tables(wildcards.suite, wildcards.study)

    def study_folders(self, wildcards: Any) -> list[str]:
        """Folders of all studies of all suites that are run."""
        return self.studies.folders()

    def clip_health(self, wildcards: Any) -> list[str]:
        """Measured clips of all machines of a suite."""
        machines = self.plan.suites[wildcards.suite].machines
        return [fill(self._paths.clip_health, suite=wildcards.suite, machine=machine) for machine in machines]

    def health_tables(self, wildcards: Any) -> list[str]:
        """Health tables of all suites that are run and have recordings, in the order of `recorded_suites`."""
        return [fill(self._paths.health, suite=suite) for suite in self.recorded_suites]

    def suite_recordings(self, wildcards: Any) -> list[str]:
        """Folders of the recordings of all machines of a suite."""
        suite = self.plan.suites[wildcards.suite]
        return [folder for machine in suite.machines for folder in suite.recordings(machine)]

    def illustrated_clips(self, wildcards: Any) -> list[str]:
        """Pictures and sounds of all suites that are run and have recordings, in the order of `recorded_suites`."""
        return [fill(self._paths.clips, suite=suite) for suite in self.recorded_suites]

    @property
    def recorded_suites(self) -> list[str]:
        """Suites that are run and have recordings, not only score tables."""
        return [name for name in self.plan.run_suites if self.plan.suites[name].root]

    def fetched_suites(self) -> list[str]:
        """Suites that are run and are published."""
        return [name for name in self.plan.run_suites if self.plan.suites[name].fetch]

    def unfetched(self, wildcards: Any) -> list[str]:
        """Archives that are not unpacked yet; the recordings on disk decide, so deleted ones are fetched again."""
        suites = [self.plan.suites[name] for name in self.fetched_suites()]
        return [
            fill(self._paths.fetched, suite=suite.name, part=part, machine=machine)
            for suite in suites
            for part, machine in suite.unfetched()
        ]

    def is_stale(self, wildcards: Any) -> bool:
        """Whether a killed run left word of an archive whose recordings were deleted since."""
        w = wildcards
        done = fill(self._paths.fetched, suite=w.suite, part=w.part, machine=w.machine)
        return Path(done).exists() and (w.part, w.machine) in self.plan.suites[w.suite].unfetched()

    def all_manifests(self, wildcards: Any) -> list[str]:
        """Manifests of all suites that are run."""
        suites = [self.plan.suites[name] for name in self.plan.run_suites]
        return [fill(self._paths.manifest, suite=s.name, machine=m) for s in suites if s.root for m in s.machines]
