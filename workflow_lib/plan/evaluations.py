"""The evidence of a suite as it is planned: which score tables, under which protocol and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workflow_lib.plan.model_name import ModelName, seed_word
from workflow_lib.plan.paths import fill
from workflow_lib.plan.scores import Scores, members
from workflow_lib.protocols import weighted_by_pseudo_anomalies


@dataclass(frozen=True)
class Evaluation:
    """One line of evidence: the score tables of a branch or system, under one protocol and seed."""

    suite: str
    protocol: str
    kind: str  # branch or system
    name: str
    seed: str  # "" where no adapted model takes part
    untrained: bool  # a model with random weights takes part, or in nested_lomo may be chosen to
    tables: Mapping[str, str]  # machine -> score table
    normal: Mapping[str, Mapping[str, str]]  # machine -> branch or candidate -> scores of its normal training clips
    # machine -> calibration and weights of its scores, from a fold or from its pseudo-anomalies; none for a branch or a
    # system of one branch
    folds: Mapping[str, str]
    label_free: Mapping[str, Any]  # settings of a system of several branches that no fold is fitted for; else none


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The evidence of all suites; methods that take `wildcards` are input functions of rules."""

    scores: Scores

    @cached_property
    def by_suite(self) -> dict[str, list[Evaluation]]:
        """All lines of evidence of each suite."""
        return {
            suite: [
                self.line(suite, kind, name, protocol, seed)
                for kind, name, protocol in self.scores.reported.entries(suite)
                for seed in self.scores.reported.seeds(kind, name)
            ]
            for suite in self.scores.models.suites
        }

    def line(self, suite: str, kind: str, name: str, protocol: str, seed: str) -> Evaluation:
        """The evidence of one branch or system, whether the run reports it or not."""
        scores, machines = self.scores, self.scores.models.suites[suite].machines
        branches = members(scores.reported.candidates(kind, name, suite, protocol))
        single = {m: {b: scores.table(b, suite, protocol, m, seed) for b in branches} for m in machines}
        tables, folds = {m: of_machine[branches[0]] for m, of_machine in single.items()}, {}
        label_free: Mapping[str, Any] = {}
        if fused := scores.fused_as(suite, kind, name, protocol):
            file = f"{fused}/{seed_word(seed)}"
            tables = {m: f"{scores.fused_folder(suite, protocol, m)}/{file}.csv" for m in machines}
            if weighted_by_pseudo_anomalies(scores.reported.system(fused)):
                folds = {m: table.removesuffix(".csv") + ".json" for m, table in tables.items()}
            elif scores.fitted_as(suite, kind, name, protocol):
                folds = {m: f"{scores.fold_folder(suite, protocol, m)}/{file}.json" for m in machines}
            else:
                label_free = scores.reported.system(fused)
        return Evaluation(
            suite=suite,
            protocol=protocol,
            kind=kind,
            name=name,
            seed=seed,
            untrained=any(map(scores.models.is_untrained, branches)),
            tables=tables,
            normal={m: {b: scores.paths.normal_scores_of(t) for b, t in found.items()} for m, found in single.items()},
            folds=folds,
            label_free=label_free,
        )

    # ---- what the tables of a suite are made from ------------------------------------------------------------------

    @cached_property
    def _folders(self) -> dict[str, dict[str, list[str]]]:
        """Suite -> score folder -> the branches in it that its evidence comes from."""
        reported = self.scores.reported
        return {suite: self.scores.folders(suite, reported.entries(suite)) for suite in self.scores.models.suites}

    def score_folders(self, wildcards: Any) -> list[str]:
        """Folders of all score tables of branches, also those that only a fold's weights were chosen on."""
        return sorted(self._folders[wildcards.suite])

    def normal_folders(self, wildcards: Any) -> list[str]:
        """Folders of the scores of the normal training clips."""
        return sorted(map(self.scores.paths.normal_scores_of, self._folders[wildcards.suite]))

    def notes(self, wildcards: Any) -> list[str]:
        """Notes and provenance of all score tables of branches."""
        folders = self._folders[wildcards.suite].items()
        return sorted(f"{folder}/{branch}.json" for folder, branches in folders for branch in branches)

    def fused_folders(self, wildcards: Any) -> list[str]:
        """Folders of all fused score tables."""
        fused = (e for e in self.by_suite[wildcards.suite] if e.folds or e.label_free)
        tables = (table for e in fused for table in e.tables.values())
        return sorted({table.rsplit("/", 2)[0] for table in tables})

    def fold_folders(self, wildcards: Any) -> list[str]:
        """Folders of the calibrations and weights behind the fused score tables."""
        return sorted({fold.rsplit("/", 2)[0] for fold in self.fold_files(wildcards)})

    def fold_files(self, wildcards: Any) -> list[str]:
        """Calibration and weights behind the fused score tables, by system and seed."""
        return sorted({fold for e in self.by_suite[wildcards.suite] for fold in e.folds.values()})

    def adapters(self, wildcards: Any) -> list[str]:
        """Adapted models behind the scores of a suite that were trained on it."""
        scores, suite = self.scores, wildcards.suite
        if scores.models.suites[suite].select_on:
            return []
        names = {folder.split("/")[-2] for folder in self._folders[suite]}
        return sorted(fill(scores.paths.adapter, suite=suite, model=n) for n in names if ModelName.parse(n).seed)
