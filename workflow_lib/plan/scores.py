"""Score tables: which branches a job scores, which systems it fits and fuses, and which folders it reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow_lib.config.channel_names import CANCELLED, CHANNELS
from workflow_lib.errors import UserError
from workflow_lib.plan.folds import Folds
from workflow_lib.plan.model_name import EXTERNAL, chosen_system
from workflow_lib.plan.models import Models
from workflow_lib.plan.paths import NO_ONE, Paths, fill
from workflow_lib.plan.reported import Candidates, Reported
from workflow_lib.plan.suites import pseudo_name
from workflow_lib.protocols import needs_fold, weighted_by_pseudo_anomalies

Entry = tuple[str, str, str]  # kind, name and protocol of what is reported
Systems = Mapping[str, Mapping[str, Any]]  # name -> what fits and fuses a system


@dataclass(frozen=True, eq=False)
class Scores:
    """The score tables of a run; methods that take `wildcards` are input functions or parameters of rules."""

    run_suites: tuple[str, ...]
    folds: Folds
    models: Models
    reported: Reported
    paths: Paths

    # ---- where tables lie ------------------------------------------------------------------------------------------

    def table(self, branch: str, suite: str, protocol: str, machine: str, seed: str) -> str:
        """Score table of a branch on a machine that is judged."""
        return f"{self._folder(self.models.by_branch[branch], suite, protocol, machine, seed)}/{branch}.csv"

    def _folder(
        self, model: str, suite: str, protocol: str, machine: str, seed: str, held_out: str | None = None
    ) -> str:
        """Score folder of a model on a machine; `held_out` as in `Models.scoring`."""
        name = self.models.scoring(model, suite, protocol, machine, seed, held_out)
        return fill(self.paths.scores, suite=suite, model=str(name), machine=machine)

    def fused_folder(self, suite: str, protocol: str, machine: str) -> str:
        """Folder of the fused scores of a machine."""
        return fill(self.paths.fused, suite=suite, protocol=protocol, machine=machine)

    def fold_folder(self, suite: str, protocol: str, machine: str) -> str:
        """Folder of the calibrations and weights that fuse a machine's scores."""
        source = self.models.suites[suite].training_suite
        held_out = NO_ONE if protocol == "complete_dev" else self.folds.by_machine[suite][machine]
        return fill(self.paths.fusion, suite=source, protocol=protocol, held_out=held_out)

    # ---- what is scored --------------------------------------------------------------------------------------------

    @cached_property
    def _wanted(self) -> dict[str, list[Entry]]:
        """Suite -> all that is scored on it: what it reports, what is submitted, what is chosen on it for others."""
        suites = self.models.suites
        wanted = {suite: list(self.reported.entries(suite)) for suite in suites}
        for suite in self.run_suites:
            if suites[suite].for_submission:
                submitted = self.models.config["submission"]["systems"]
                available = self.reported.systems(suite)
                wanted[suite] += [("system", name, "complete_dev") for name in submitted if name in available]
            if select_on := suites[suite].select_on:
                wanted[select_on] += [entry for entry in wanted[suite] if self.fitted_as(suite, *entry)]
        for suite in [name for name in suites if pseudo_name(name) in suites]:
            systems = {name for kind, name, _ in wanted[suite] if kind == "system"}
            settings = [self.reported.system(name) for name in systems]
            branches = {b for s in settings if weighted_by_pseudo_anomalies(s) for b in s["branches"]}
            wanted[pseudo_name(suite)] = [("branch", b, "complete_dev") for b in sorted(branches)]
        return {suite: list(dict.fromkeys(entries)) for suite, entries in wanted.items()}

    def folders(self, suite: str, entries: Iterable[Entry]) -> dict[str, list[str]]:
        """Score folder -> branches whose tables in it some entries of a suite need, in config order."""
        found: dict[str, set[str]] = {}
        own_fold, folds = self.folds.by_machine[suite], self.folds.by_name[suite]
        for (protocol, model, seed, nested), branches in self._uses(suite, entries).items():
            for machine in self.models.suites[suite].machines:
                others = [fold for fold in folds if fold != own_fold[machine]] if nested else []
                for held_out in [None, *others]:
                    folder = self._folder(model, suite, protocol, machine, seed, held_out)
                    found.setdefault(folder, set()).update(branches)
        order = list(self.models.by_branch)
        return {folder: sorted(branches, key=order.index) for folder, branches in found.items()}

    def _uses(self, suite: str, entries: Iterable[Entry]) -> dict[tuple[str, str, str, bool], set[str]]:
        """(protocol, model, seed, nested) -> branches; without protocol and seed where the model is not adapted.

        nested: each other fold chooses on a model's scores, for which that model held out its machines as well.
        """
        uses: dict[tuple[str, str, str, bool], set[str]] = {}
        for kind, name, protocol in entries:
            nested = protocol == "nested_lomo" and self.fitted_as(suite, kind, name, protocol) is not None
            for branch in members(self.reported.candidates(kind, name, suite, protocol)):
                model, adapted = self.models.by_branch[branch], self.models.is_adapted(branch)
                for seed in self.reported.seeds(kind, name) if adapted else [""]:
                    uses.setdefault((protocol if adapted else "", model, seed, nested and adapted), set()).add(branch)
        return uses

    @cached_property
    def _branches(self) -> dict[str, list[str]]:
        """Score folder -> its branches, for all suites."""
        return {f: b for suite, wanted in self._wanted.items() for f, b in self.folders(suite, wanted).items()}

    def branches(self, wildcards: Any) -> dict[str, Any]:
        """Branch -> settings of all that one model scores on one machine; UserError if there is none in this run."""
        w = wildcards
        folder = fill(self.paths.scores, suite=w.suite, model=w.model, machine=w.machine)
        if folder not in self._branches:
            raise UserError(f"{folder}: no branch of this run is scored by this model on this machine")
        return {branch: self.models.scored_settings(branch, w.suite) for branch in self._branches[folder]}

    def modules(self, wildcards: Any) -> list[str]:
        """Library modules of the scorers that a score job runs, for its code digest."""
        scorers = {b["scorer"]["kind"] for b in self.branches(wildcards).values() if "view" in b}
        return [f"scoring.scorers.{name}" for name in sorted(scorers)]

    def channels(self, wildcards: Any) -> list[str]:
        """Channels that a model embeds: the recorded ones and, where a branch of the run uses it, `cancelled`.

        A model without weights embeds no channel that no branch uses.
        """
        w = wildcards
        recorded = CHANNELS[: self.models.suites[w.suite].channels]
        folder = fill(self.paths.scores, suite=w.suite, model=w.model, machine=w.machine)
        views = [self.models.scored_settings(b, w.suite)["view"] for b in self._branches.get(folder, ())]
        used = {channel for view in views for entry in view for channel in entry.split("-")}
        if w.model not in self.models.without_weights or not used:
            used.update(recorded)
        return [channel for channel in (*CHANNELS, CANCELLED) if channel in used]

    def sources(self, wildcards: Any) -> list[str]:
        """What branches are scored from: residuals, statistics, or a table of each branch made elsewhere."""
        w = wildcards
        if w.model == EXTERNAL:
            return [f"{branch['scores']}/{w.machine}.csv" for branch in self.branches(w).values()]
        kind = self.models.settings(w.model)["kind"]
        pattern = self.paths.residuals if kind == "autoencoder" else self.paths.embeddings
        return [fill(pattern, suite=w.suite, model=w.model, machine=w.machine)]

    def external_normal_scores(self, wildcards: Any) -> list[str]:
        """Scores of normal training clips that external branches have beside their tables, in the folder `normal`."""
        if wildcards.model != EXTERNAL:
            return []
        tables = [Path(source) for source in self.sources(wildcards)]
        return [str(path) for table in tables if (path := table.parent / "normal" / table.name).is_file()]

    def needs_second_moments(self, model: str) -> bool:
        """Whether a branch reads the residuals block by block: 40 MB for each machine of the challenge."""
        scored = {branch for suite in self.run_suites for branch in self.reported.scored_branches(suite)}
        branches = [self.models.config["branches"][b] for b in scored if self.models.by_branch[b] == model]
        return any(branch["scorer"].get("reading") == "per_block" for branch in branches)

    # ---- what is fused ---------------------------------------------------------------------------------------------

    def fused_as(self, suite: str, kind: str, name: str, protocol: str) -> str | None:
        """The system that makes an entry's tables; None where they are those of its only branch."""
        if len(members(self.reported.candidates(kind, name, suite, protocol))) == 1:
            return None
        return name if kind == "system" else chosen_system(name)

    def fitted_as(self, suite: str, kind: str, name: str, protocol: str) -> str | None:
        """The system whose folds an entry needs; None where no other machine chooses anything for it."""
        fused = self.fused_as(suite, kind, name, protocol)
        if fused and needs_fold(self.reported.system(fused), self.reported.candidates(kind, name, suite, protocol)):
            return fused
        return None

    @cached_property
    def _systems(self) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        """(suite, protocol) -> name -> what fits and fuses a system."""
        found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for suite, entries in self._wanted.items():
            for kind, name, protocol in entries:
                if fused := self.fused_as(suite, kind, name, protocol):
                    candidates = self.reported.candidates(kind, name, suite, protocol)
                    found.setdefault((suite, protocol), {})[fused] = {
                        "settings": self.reported.system(fused),
                        "candidates": candidates,
                        "models": {branch: self.models.by_branch[branch] for branch in members(candidates)},
                        "seeds": self.reported.seeds(kind, name),
                    }
        return found

    def systems(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        """Systems that are fused under a protocol, with what fits and fuses them.

        Name -> settings; candidates of each branch; models of these, by their names in the configuration; seeds.
        UserError if no system of this run is fused under the protocol.
        """
        suite, protocol = wildcards.suite, wildcards.protocol
        if (suite, protocol) not in self._systems:
            known = ", ".join(p for s, p in self._systems if s == suite) or "none"
            raise UserError(f"no system of suite {suite} is fused under {protocol} in this run, only under: {known}")
        return self._systems[suite, protocol]

    def fitted_systems(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        """Those of `systems` that a fold chooses something for."""
        systems = self.systems(wildcards).items()
        return {name: facts for name, facts in systems if needs_fold(facts["settings"], facts["candidates"])}

    def selection_scores(self, wildcards: Any) -> list[str]:
        """Score folders of the selection machines of a fold, by the models of all branches and candidates."""
        w = wildcards
        if (w.held_out == NO_ONE) != (w.protocol == "complete_dev"):
            raise UserError(
                f"held out {w.held_out} under {w.protocol}: complete_dev holds no machine out, every other protocol"
                " one: name the folder of such a fold"
            )
        machines = self.folds.other_machines(w.suite, [w.held_out])
        return self._folders_of(w, self.fitted_systems(w), machines, w.held_out)

    def selection_normal_scores(self, wildcards: Any) -> list[str]:
        """Folders of the normal scores of a fold's selection machines, for systems that these calibrate."""
        w, calibrated = wildcards, _calibrated_by_normals(self.fitted_systems(wildcards))
        machines = self.folds.other_machines(w.suite, [w.held_out])
        return list(map(self.paths.normal_scores_of, self._folders_of(w, calibrated, machines, w.held_out)))

    def machine_scores(self, wildcards: Any) -> list[str]:
        """Score folders of one machine, by the models of all branches and candidates that are fused."""
        return self._folders_of(wildcards, self.systems(wildcards), [wildcards.machine])

    def machine_normal_scores(self, wildcards: Any) -> list[str]:
        """Folders of the normal scores of one machine, for systems that these calibrate."""
        calibrated = _calibrated_by_normals(self.systems(wildcards))
        return list(map(self.paths.normal_scores_of, self._folders_of(wildcards, calibrated, [wildcards.machine])))

    def pseudo_scores(self, wildcards: Any) -> list[str]:
        """Folders of the scores of one machine's pseudo-anomalies, for systems that they weight."""
        w = wildcards
        systems = {n: s for n, s in self.systems(w).items() if weighted_by_pseudo_anomalies(s["settings"])}
        models = dict.fromkeys(model for system in systems.values() for model in system["models"].values())
        return [self._folder(model, pseudo_name(w.suite), w.protocol, w.machine, "") for model in models]

    def pseudo_table(self, branch: str, suite: str, machine: str) -> str:
        """Score table of a branch on the pseudo-anomalies of a machine of a suite."""
        return self.table(branch, pseudo_name(suite), "complete_dev", machine, "")

    def folds_of_machine(self, wildcards: Any) -> list[str]:
        """The folder of the calibrations and weights that fuse a machine's scores; none where no system needs one."""
        w = wildcards
        return [self.fold_folder(w.suite, w.protocol, w.machine)] if self.fitted_systems(w) else []

    def _folders_of(
        self, wildcards: Any, systems: Systems, machines: Sequence[str], held_out: str | None = None
    ) -> list[str]:
        suite, protocol = wildcards.suite, wildcards.protocol
        uses = dict.fromkeys(
            (model, seed if model in self.models.adapted else "")
            for system in systems.values()
            for model in system["models"].values()
            for seed in system["seeds"]
        )
        return [
            self._folder(model, suite, protocol, machine, seed, held_out)
            for machine in machines
            for model, seed in uses
        ]


def members(candidates: Candidates) -> list[str]:
    """All branches and candidates of an entry, in order, once each."""
    return list(dict.fromkeys(name for names in candidates.values() for name in names))


def _calibrated_by_normals(systems: Systems) -> Systems:
    return {name: facts for name, facts in systems.items() if facts["settings"]["calibration"] == "normal"}
