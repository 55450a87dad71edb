"""The fusion's jobs: calibration and weights of all systems of a fold, then one machine's fused scores. No torch."""

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError
from workflow_lib.fusion.candidate_choice import Candidates, Choice, choose_candidates, chosen_tables
from workflow_lib.fusion.cross_fit import Fusion, RobustSigmoid, fit_fusion, label_free_fusion
from workflow_lib.fusion.pseudo_weights import PseudoWeights, pseudo_weights
from workflow_lib.fusion.shrinkage import Shrinkage
from workflow_lib.plan.model_name import ModelName, seed_word
from workflow_lib.protocols import needs_fold, weighted_by_pseudo_anomalies
from workflow_lib.scoring.score_file import read_normal_scores, read_scores, write_scores
from workflow_lib.scoring.score_table import ScoreTable

log = logging.getLogger(__name__)

OF_A_FIT = ("branches", "step", "search", "weights", "calibration", "shrink")  # settings of a system that fit it


@dataclass(frozen=True)
class StoredFold:
    """A fusion with the candidate that stands for each of its branches (a branch itself, but in nested_lomo)."""

    fusion: Fusion
    choices: Mapping[str, Choice]

    def apply(
        self, tables: Mapping[str, ScoreTable], machine: str, normal: Mapping[str, ScoreTable] | None = None
    ) -> ScoreTable:
        """Fused scores of one machine (tables: candidate -> score table).

        normal: the same of the machine's normal training clips, where they calibrate. A single branch keeps the scores
        of its chosen candidate, which the sigmoid could only saturate.
        """
        chosen = chosen_tables(tables, self.choices)
        if len(chosen) == 1:
            return next(iter(chosen.values()))
        return self.fusion.apply(chosen, machine, None if normal is None else chosen_tables(normal, self.choices))


def label_free_fold(system: Mapping[str, Any]) -> StoredFold:
    """What fuses the branches of a system that chooses nothing, by its settings."""
    branches = system["branches"]
    return StoredFold(label_free_fusion(branches, system.get("weights")), {b: Choice(b, {}) for b in branches})


class ScoreFolders:
    """Score tables of some machines in folders <model>/<machine>, found by branch; each is read once by `read`."""

    def __init__(self, folders: Iterable[str], read: Callable[[Path], ScoreTable] = read_scores) -> None:
        self._folders: dict[tuple[str, str, str], Path] = {}
        for folder in map(Path, folders):
            name = ModelName.parse(folder.parent.name)
            key = (folder.name, name.model, name.seed)
            if self._folders.setdefault(key, folder) != folder:
                raise ValueError(f"{folder} and {self._folders[key]} hold scores of one machine by one model")
        self._read = cache(read)

    def tables(self, machine: str, models: Mapping[str, str], seed: str) -> dict[str, ScoreTable]:
        """Branch -> score table of a machine; models: branch -> its model; seed: that of the adapted ones."""
        found = {}
        for branch, model in models.items():
            key = (machine, model, seed)
            folder = self._folders[key if key in self._folders else (machine, model, "")]
            found[branch] = self._read(folder / f"{branch}.csv")
        return found


def fit_folds(
    output: Path,
    folders: Iterable[str],
    machines: Sequence[str],
    systems: Mapping[str, Mapping[str, Any]],
    *,
    suite: str,
    protocol: str,
    held_out: str,
    normal_folders: Iterable[str] = (),
    folds: Mapping[str, str] | None = None,
) -> None:
    """Write calibration and weights of all systems and seeds of one fold, output/<system>/<seed>.json.

    folders: of the score tables of the selection machines; systems: as `Scores.fitted_systems` of the plan gives them;
    normal_folders: of the machines' normal scores, for systems that they calibrate; folds: machine -> the fold that
    holds it out. UserError names the system that cannot be fitted.
    """
    scores, normals = ScoreFolders(folders), ScoreFolders(normal_folders, read_normal_scores)
    for system, facts in systems.items():
        (output / system).mkdir(parents=True)
        for seed in facts["seeds"]:
            log.info("%s%s", system, f", seed {seed}" if seed else "")
            settings, models = facts["settings"], facts["models"]
            tables = {machine: scores.tables(machine, models, seed) for machine in machines}
            own = settings.get("calibration") == "normal"
            normal = {machine: normals.tables(machine, models, seed) for machine in machines} if own else None
            try:
                fold = fit_fold(tables, settings, facts["candidates"], protocol, normal=normal, folds=folds)
            except UserError as error:
                raise UserError(f"{system}: {error}") from None
            path = output / system / f"{seed_word(seed)}.json"
            write_fold(path, fold, suite=suite, system=system, held_out=held_out)


def fit_fold(
    tables: Mapping[str, Mapping[str, ScoreTable]],
    system: Mapping[str, Any],
    candidates: Candidates,
    protocol: str = "complete_dev",
    *,
    normal: Mapping[str, Mapping[str, ScoreTable]] | None = None,
    folds: Mapping[str, str] | None = None,
) -> StoredFold:
    """Choose candidates, calibration and weights on the selection machines.

    tables, normal: machine -> branch or candidate -> score table of the test clips, of the normal training clips; folds
    as in `fit_fusion`. Fixed weights of a system are kept; its calibration still comes from the selection machines.
    """
    choices = choose_candidates(tables, candidates)
    chosen = {machine: chosen_tables(of_machine, choices) for machine, of_machine in tables.items()}
    if normal is not None:
        normal = {machine: chosen_tables(of_machine, choices) for machine, of_machine in normal.items()}
    given = {key: system[key] for key in OF_A_FIT if key in system}
    return StoredFold(fit_fusion(chosen, protocol=protocol, normal=normal, folds=folds, **given), choices)


def write_fold(path: Path, fold: StoredFold, pseudo: PseudoWeights | None = None, **identity: str) -> None:
    """Write a fold as JSON with its protocol and the suite, system and held-out machine that it belongs to.

    pseudo: what weighted the branches, where it was the pseudo-anomalies of the machine itself.
    """
    fusion, choices = fold.fusion, fold.choices.items()
    omega = {b: {n: None if math.isnan(v) else v for n, v in choice.omega.items()} for b, choice in choices}
    facts = {
        **identity,
        "protocol": fusion.protocol,
        "machines": fusion.machines,
        "branches": fusion.branches,
        "chosen": {branch: choice.candidate for branch, choice in choices},
        "candidates": {branch: found for branch, found in omega.items() if found},
        "search": fusion.search,
        "step": fusion.step,
        "weights": fusion.weights,
        "calibration": {branch: vars(sigmoid) for branch, sigmoid in fusion.calibration.items()},
        "selection_omega": None if math.isnan(fusion.selection_score) else fusion.selection_score,
    }
    if fusion.calibrated_by != "selection":  # a fold as the paper has it keeps its bytes
        facts["calibrated_by"] = fusion.calibrated_by
    if fusion.shrinkage:
        facts["shrink"] = {**vars(fusion.shrinkage), "omega": list(fusion.shrinkage.omega.items())}
    if pseudo:
        kept = {key: value for key, value in vars(pseudo).items() if key != "weights"}
        facts["pseudo"] = {**kept, "auc": {b: None if math.isnan(auc) else auc for b, auc in pseudo.auc.items()}}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_fold(path: str | Path) -> StoredFold:
    """Read what `write_fold` wrote."""
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    calibration = {branch: RobustSigmoid(**values) for branch, values in facts["calibration"].items()}
    shrink = facts.get("shrink")
    fusion = Fusion(
        branches=tuple(facts["branches"]),
        calibration=calibration,
        selection_score=math.nan if facts["selection_omega"] is None else facts["selection_omega"],
        machines=tuple(facts["machines"]),
        calibrated_by=facts.get("calibrated_by", "selection"),
        shrinkage=Shrinkage(**{**shrink, "omega": dict(map(tuple, shrink["omega"]))}) if shrink else None,
        **{key: facts[key] for key in ("weights", "step", "search", "protocol")},
    )
    omega = {branch: facts["candidates"].get(branch, {}) for branch in facts["chosen"]}
    return StoredFold(fusion, {b: Choice(name, omega[b]) for b, name in facts["chosen"].items()})


def fuse_machine(
    output: Path,
    folders: Iterable[str],
    folds: str | Path,
    machine: str,
    systems: Mapping[str, Mapping[str, Any]],
    normal_folders: Iterable[str] = (),
    *,
    pseudo_folders: Iterable[str] = (),
    suite: str = "",
    protocol: str = "complete_dev",
) -> None:
    """Write the fused scores of one machine by all systems and seeds, output/<system>/<seed>.csv.

    folders: of the machine's score tables; folds: the folder that `fit_folds` wrote for it, where a system needs one;
    systems: as `Scores.systems` of the plan gives them; normal_folders: of the machine's normal scores, for systems
    that they calibrate; pseudo_folders: of the scores of its pseudo-anomalies, for systems that they weight, whose
    weights are written to output/<system>/<seed>.json; suite and protocol: what these files name.
    """
    scores, normals = ScoreFolders(folders), ScoreFolders(normal_folders, read_normal_scores)
    pseudo_scores = ScoreFolders(pseudo_folders)
    for system, facts in systems.items():
        settings, models = facts["settings"], facts["models"]
        (output / system).mkdir(parents=True)
        for seed in facts["seeds"]:
            if weighted_by_pseudo_anomalies(settings):
                found = pseudo_weights(pseudo_scores.tables(machine, models, seed), settings["branches"], machine)
                fold = StoredFold(found.fusion(protocol), {b: Choice(b, {}) for b in settings["branches"]})
                identity = {"suite": suite, "system": system, "held_out": machine}
                write_fold(output / system / f"{seed_word(seed)}.json", fold, found, **identity)
            elif needs_fold(settings, facts["candidates"]):
                fold = read_fold(Path(folds, system, f"{seed_word(seed)}.json"))
            else:
                fold = label_free_fold(settings)
            own = settings.get("calibration") == "normal"
            normal = normals.tables(machine, models, seed) if own else None
            fused = fold.apply(scores.tables(machine, models, seed), machine, normal)
            write_scores(output / system / f"{seed_word(seed)}.csv", fused)
