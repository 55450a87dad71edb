"""Score tables of a suite become its tables of evidence, whatever labels and formats they have."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_example import HEADERS, drawn_scores

from workflow_lib.dataset.manifest import Clip, write_manifest
from workflow_lib.errors import UserError
from workflow_lib.evaluation import FIXED_WEIGHTS, Evidence, write_tables
from workflow_lib.evaluation.threshold_table import write_thresholds
from workflow_lib.fusion.fold_file import fit_fold, write_fold
from workflow_lib.fusion.shrinkage import TOO_FEW
from workflow_lib.metrics import machine_metrics
from workflow_lib.report import build_report
from workflow_lib.report.suite_tables import SuiteTables, read_suite
from workflow_lib.scoring.score_file import write_scores
from workflow_lib.scoring.score_table import ScoreTable

CONFIG = {"models": {}, "branches": {}, "systems": {"Blend": {"branches": ["a", "b"]}}}


def scored(machine: str, seed: int = 1, **columns: Sequence[object]) -> ScoreTable:
    """A labelled table; `columns` take the place of its own."""
    scores = drawn_scores(machine, seed, 1.0, per_group=5)
    own = {"clip": scores.clips, "domain": scores.domain, "anomaly": scores.anomaly, "score": scores.score}
    return ScoreTable(**{name: np.asarray(column) for name, column in {**own, **columns}.items()})


def evaluation(folder: Path, name: str, tables: Mapping[str, ScoreTable], kind: str = "branch") -> dict[str, Any]:
    paths = {machine: folder / kind / name / f"{machine}.csv" for machine in tables}
    for machine, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scores(path, tables[machine])
    identity = {"suite": "mine", "protocol": "complete_dev", "kind": kind, "name": name, "seed": ""}
    return {**identity, "untrained": False, "tables": {machine: str(path) for machine, path in paths.items()}}


def tabulate(folder: Path, *evaluations: Mapping[str, Any], **changes: Any) -> SuiteTables:
    """The tables as the report reads them."""
    nothing = {"left_out": [], "notes": [], "folds": [], "manifests": []}
    given = {"suite": "mine", "labelled": True, "evaluations": evaluations, "config": CONFIG, **nothing, **changes}
    write_tables(Evidence(**given), folder / "tables")
    write_thresholds(folder / "tables" / "thresholds.csv", [], {}, CONFIG)  # as the job does behind it
    return read_suite("mine", folder / "tables")


def lines(folder: Path, name: str) -> list[list[str]]:
    header, *rows = csv.reader((folder / "tables" / f"{name}.csv").read_text(encoding="utf-8").splitlines())
    assert tuple(header) == HEADERS[name]
    return rows


def page_of(folder: Path) -> str:
    build_report({"mine": folder / "tables"}, folder / "report.html", title="t", provenance={})
    return (folder / "report.html").read_text(encoding="utf-8")


# --- clips --------------------------------------------------------------------------------------------------------


def test_mixed_formats_of_a_machine_have_their_own_rows(tmp_path):
    formats = [(2, 16000), (1, 16000), (2, 44100), (2, 16000)]
    clips = [
        Clip("fan", f"{i}.wav", "train", "source", "normal", "", channels, rate, rate * (i + 1), f"{i}.wav")
        for i, (channels, rate) in enumerate(formats)
    ]
    write_manifest(tmp_path / "fan.csv", clips)
    run = evaluation(tmp_path, "a", {"fan": scored("fan")})
    suite = tabulate(tmp_path, run, manifests=[str(tmp_path / "fan.csv")])
    told = [(row.channels, row.sample_rate, row.clips, row.seconds_min, row.seconds_max) for row in suite.clips]
    assert told == [(1, 16000, 1, 2.0, 2.0), (2, 16000, 2, 1.0, 4.0), (2, 44100, 1, 3.0, 3.0)]
    page = page_of(tmp_path)
    assert "1 or 2" in page and "16 kHz or 44.1 kHz" in page


def test_clips_of_score_tables_alone_are_counted_and_their_format_is_unknown(tmp_path):
    suite = tabulate(tmp_path, evaluation(tmp_path, "a", {"fan": scored("fan"), "valve": scored("valve")}))
    wanted = [
        ["mine", machine, "test", domain, label, "5", "", "", "", ""]
        for machine in ("fan", "valve")
        for domain in ("source", "target")
        for label in ("anomaly", "normal")
    ]
    assert lines(tmp_path, "clips") == wanted
    assert {(row.channels, row.sample_rate, row.seconds_min) for row in suite.clips} == {(None, None, None)}
    # On the page, unknown training clips are a dash.
    overview = page_of(tmp_path).split("What was run", 1)[1].split("</table>", 1)[0]
    assert '<td class="number">\u2013</td>' in overview
    assert '<td class="number" data-value="40">40</td>' in overview
    assert 'data-value="0"' not in overview


def test_clips_without_labels_are_counted_without_labels(tmp_path):
    blank = scored("fan", domain=[""] * 20, anomaly=[math.nan] * 20)
    tabulate(tmp_path, evaluation(tmp_path, "a", {"fan": blank}), labelled=False)
    assert lines(tmp_path, "clips") == [["mine", "fan", "test", "", "", "20", "", "", "", ""]]
    assert ", 20 test clips: see" in page_of(tmp_path)


# --- labels that only some tables know ----------------------------------------------------------------------------


def test_labels_and_domains_are_taken_from_the_other_tables_of_the_machine(tmp_path):
    whole, other = scored("fan"), scored("fan", seed=2)
    blank = ScoreTable(other.clip, np.array([""] * 20), np.full(20, math.nan), other.score)
    runs = [evaluation(tmp_path, "a", {"fan": blank}), evaluation(tmp_path, "b", {"fan": whole})]
    suite = tabulate(tmp_path, *runs)
    wanted = machine_metrics(other.score, whole.anomaly, whole.domain)
    row = next(row for row in suite.machines if row.name == "a")
    assert (row.source_auc, row.target_auc, row.pauc) == wanted.figures
    assert all(row.anomaly is not None and row.domain for row in suite.ranking)


def test_labels_that_no_table_knows_leave_the_figures_undefined(tmp_path):
    table = scored("valve")
    some = ScoreTable(table.clip, table.domain, np.where(np.arange(20) == 7, math.nan, table.anomaly), table.score)
    suite = tabulate(tmp_path, evaluation(tmp_path, "a", {"fan": scored("fan"), "valve": some}))
    fan, valve = suite.machines
    assert None not in (fan.source_auc, fan.target_auc, fan.pauc, fan.harmonic_mean)
    assert lines(tmp_path, "machines")[1][-4:] == ["", "", "", ""]
    assert (valve.machine, suite.official[0].omega) == ("valve", None)
    assert "undefined" in page_of(tmp_path)


@pytest.mark.parametrize("of", ["normals", "anomalies"])
def test_unknown_domains_of_normals_leave_only_the_pauc_and_those_of_anomalies_change_nothing(tmp_path, of):
    table = scored("fan")
    blank = np.full(20, True) if of == "normals" else table.anomaly == 1
    some = ScoreTable(table.clip, np.where(blank, "", table.domain), table.anomaly, table.score)
    row = tabulate(tmp_path, evaluation(tmp_path, "a", {"fan": some})).machines[0]
    wanted = machine_metrics(table.score, table.anomaly, table.domain)
    aucs = (None, None) if of == "normals" else (wanted.source_auc, wanted.target_auc)
    assert (row.source_auc, row.target_auc, row.pauc) == (*aucs, wanted.pauc)


def test_labels_that_contradict_each_other_are_named(tmp_path):
    table = scored("fan")
    turned = ScoreTable(table.clip, table.domain, 1 - table.anomaly, table.score)
    runs = [evaluation(tmp_path, "a", {"fan": table}), evaluation(tmp_path, "b", {"fan": turned})]
    with pytest.raises(UserError, match=rf"branch/b/fan\.csv: {table.clip[0]} is normal here, but anomaly in") as fault:
        tabulate(tmp_path, *runs)
    assert "\n" not in str(fault.value)


def test_one_undefined_figure_leaves_omega_undefined(tmp_path):
    table = scored("valve")
    kept = (table.domain == "source") | (table.anomaly == 1)
    short = ScoreTable(table.clip[kept], table.domain[kept], table.anomaly[kept], table.score[kept])
    suite = tabulate(tmp_path, evaluation(tmp_path, "a", {"fan": scored("fan"), "valve": short}))
    assert suite.machines[1].target_auc is None and suite.machines[1].source_auc is not None
    assert lines(tmp_path, "official")[0][-2:] == ["2", ""]


# --- order and notes ----------------------------------------------------------------------------------------------


def test_every_table_is_sorted_whatever_the_order_of_the_evaluations(tmp_path):
    tables = {machine: scored(machine) for machine in ("valve", "fan")}
    runs = [evaluation(tmp_path, *who) for who in (("Blend", tables, "system"), ("b", tables), ("a", tables))]
    facts = {"provenance": {}, "notes": ["PCA 64 -> 19 components"]}
    notes = []
    for branch in ("zeta", "beta"):
        path = tmp_path / "scores" / "external" / "fan" / f"{branch}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts), encoding="utf-8")
        notes.append(str(path))
    config = {**CONFIG, "systems": {"Blend": {"branches": ["a", "b"], "weights": {"a": 0.5, "b": 0.5}}}}
    tabulate(tmp_path, *runs, notes=notes, left_out=[("gamma", "no far channel"), ("alpha", "x")], config=config)
    ranking = lines(tmp_path, "ranking")
    keys = [(*row[:7], int(row[7])) for row in ranking]
    assert keys == sorted(keys) and len(keys) == 3 * 2 * 20
    best_first = [-float(row[-1]) for row in ranking[:20]]
    assert best_first == sorted(best_first)
    names = [row[1] for row in lines(tmp_path, "notes")]
    assert names == ["Blend", "alpha", "beta", "gamma", "zeta"]
    for name in HEADERS:
        if name != "ranking":
            assert lines(tmp_path, name) == sorted(lines(tmp_path, name))


@pytest.mark.parametrize(
    ("weights", "noted"), [({}, []), ({"weights": {"a": 0.25, "b": 0.75}}, [("Blend", FIXED_WEIGHTS)])]
)
def test_fixed_weights_are_noted_and_chosen_ones_are_not(tmp_path, weights, noted):
    run = evaluation(tmp_path, "Blend", {"fan": scored("fan")}, "system")
    config = {**CONFIG, "systems": {"Blend": {"branches": ["a", "b"], **weights}, "Unused": {"weights": {"a": 1}}}}
    suite = tabulate(tmp_path, run, config=config)
    assert [(row.branch, row.note) for row in suite.notes] == noted
    assert suite.fixed_weights == {name for name, _ in noted}


def label_free(folder: Path, normal: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A system of a and b without folds on the fan; normal: branch -> scores of its normal training clips."""
    paths = {}
    for branch, scores in normal.items():
        paths[branch] = str(folder / f"{branch}.csv")
        clips = [f"{place:02d}.wav" for place in range(len(scores))]
        write_scores(folder / f"{branch}.csv", ScoreTable(clips, ["source"] * len(clips), [0] * len(clips), scores))
    settings = {"branches": ["a", "b"], "search": "none", "calibration": "normal"}
    found = evaluation(folder, "Plain", {"fan": scored("fan")}, "system")
    return {**found, "normal": {"fan": paths}, "folds": {}, "label_free": settings}


def test_a_system_that_chooses_nothing_says_so_and_where_a_scale_has_no_spread(tmp_path):
    run = label_free(tmp_path, {"a": [1.0, 2.0, 4.0], "b": [3.0, 3.0]})
    config = {**CONFIG, "systems": {"Plain": run["label_free"]}}
    suite = tabulate(tmp_path, run, config=config)
    assert suite.equal_weights == suite.normal_calibration - {"Plain@equal"} == {"Plain"}
    (flat,) = (row for row in suite.notes if row.machine)
    assert (flat.branch, flat.machine) == ("Plain", "fan") and flat.note.startswith("b: no standard deviation")
    weights = ["mine", "complete_dev", "Plain", "", ""]
    assert lines(tmp_path, "weights") == [[*weights, branch, "0.5", "", "", "", ""] for branch in "ab"]
    page = page_of(tmp_path)
    assert "Plain: each machine is calibrated by its own normal training clips." in page
    assert "The branches of Plain have equal weights: no machine chose them." in page and "Ω where" not in page


def test_the_threshold_of_a_system_that_chooses_nothing_is_of_its_own_normal_scores(tmp_path):
    a, b = np.array([1.0, 2.0, 4.0, 5.0]), np.array([3.0, 9.0, 7.0, 4.0])
    run = label_free(tmp_path, {"a": a, "b": b})
    path = tmp_path / "thresholds.csv"
    write_thresholds(path, [run], {"method": "quantile", "quantile": 0.8}, CONFIG)
    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    fused = ((a - a.mean()) / a.std() + (b - b.mean()) / b.std()) / 2
    assert float(row["threshold"]) == pytest.approx(np.quantile(fused, 0.8), rel=1e-12)


def test_the_share_of_equal_weights_of_a_fold_is_in_the_tables(tmp_path):
    tables = {machine: {"a": scored(machine), "b": scored(machine, 2)} for machine in ("fan", "pump", "valve")}
    folds = []
    for shrink in (0.25, [0, 0.5]):
        system = {"branches": ["a", "b"], "step": 0.5, "search": "grid", "shrink": shrink}
        selection = tables if shrink == 0.25 else {"fan": tables["fan"]}  # one machine cannot choose
        fold = fit_fold(selection, system, {"a": ["a"], "b": ["b"]}, "cross_fitted")
        folds.append(tmp_path / str(len(folds)) / "noseed.json")
        folds[-1].parent.mkdir()
        write_fold(folds[-1], fold, suite="mine", system="Blend", held_out=f"held{len(folds)}")
    run = evaluation(tmp_path, "Blend", {"fan": scored("fan")}, "system")
    suite = tabulate(tmp_path, run, folds=list(map(str, folds)))
    assert {(row.held_out, row.shrink) for row in suite.weights} == {("held1", 0.25), ("held2", 0.5)}
    (note,) = (row.note for row in suite.notes if "shrink" in row.note)
    assert note == f"shrink (cross_fitted, held out: held2): {TOO_FEW}"
    assert "Shrink: share of equal weights" in page_of(tmp_path)


# --- models ---------------------------------------------------------------------------------------------------------


def test_every_model_is_named_with_the_licence_of_its_weights(tmp_path):
    models = {
        "ae": {"kind": "autoencoder"},
        "ced": {"kind": "frozen", "encoder": "ced", "checkpoint": str(tmp_path / "model.safetensors")},
        "drawn": {"kind": "frozen", "encoder": "eat", "checkpoint": "random"},
        "tuned": {"kind": "adapted", "base": "drawn"},
    }
    notes = []
    for model in ("ae", "ced", "drawn", "tuned@full-seed1", "external"):
        notes.append(tmp_path / "scores" / model / "fan" / "a.json")
        notes[-1].parent.mkdir(parents=True)
        notes[-1].write_text(json.dumps({"notes": [], "provenance": {}}), encoding="utf-8")
    run = evaluation(tmp_path, "a", {"fan": scored("fan")})
    suite = tabulate(tmp_path, run, notes=list(map(str, notes)), config={**CONFIG, "models": models})
    assert {row.model: row.licence for row in suite.models} == {
        "ae": "trained here",
        "ced": "CED-Base, GPL-3.0 (repository)",
        "drawn": "random weights",
        "external": "",
        "tuned@full-seed1": "random weights",
    }
    table = page_of(tmp_path).split("Models of mine", 1)[1].split("</table>", 1)[0]
    assert "Licence of weights" in table and "CED-Base, GPL-3.0 (repository)" in table
