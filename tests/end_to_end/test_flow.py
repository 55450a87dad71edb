"""The whole flow on a small simulated suite: from recordings to the page, through Snakemake."""

import csv
import json
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from conftest import SMALL, SNAKEMAKE, Workflow, copy_checkout

from workflow_lib.fusion.cross_fit import CrossFit, cross_fit
from workflow_lib.metrics import official_score
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.scoring.score_table import ScoreTable

MACHINES = SMALL["suites"]["small"]["machines"]


def rows(workflow: Workflow, table: str) -> list[dict[str, str]]:
    path = workflow.folder / "results" / "small" / "tables" / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_says_on_its_first_screen_that_a_model_is_untrained(small_run):
    page = (small_run.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "untrained" in page[: page.index("<table")].lower()


def test_every_number_carries_its_protocol(small_run):
    found = {(row["kind"], row["name"], row["protocol"]) for row in rows(small_run, "official")}
    assert found == {
        ("branch", "ae_mse", "complete_dev"),
        ("branch", "ae_mahalanobis", "complete_dev"),
        ("branch", "tiny_raw", "complete_dev"),
        ("branch", "tiny_whitened", "complete_dev"),
        ("branch", "ae_mse", "cross_fitted"),  # a branch alone chooses nothing: what the systems are compared with
        ("branch", "ae_mahalanobis", "cross_fitted"),
        ("branch", "tiny_raw", "cross_fitted"),
        ("branch", "tiny_whitened", "cross_fitted"),
        ("system", "pair", "complete_dev"),
        ("system", "pair", "cross_fitted"),
    }
    assert {row["untrained"] for row in rows(small_run, "official") if row["name"] == "pair"} == {"yes"}
    assert {row["untrained"] for row in rows(small_run, "official") if row["name"] == "ae_mse"} == {"no"}


def test_the_tables_hold_what_the_score_tables_give(small_run):
    folder = small_run.folder / "results" / "small" / "fused" / "cross_fitted"
    metrics = {machine: read_scores(folder / machine / "pair" / "noseed.csv").metrics() for machine in MACHINES}
    crossed = [row for row in rows(small_run, "machines") if (row["name"], row["protocol"]) == ("pair", "cross_fitted")]
    shown = {row["machine"]: row for row in crossed}
    for machine, figures in metrics.items():
        assert float(shown[machine]["source_auc"]) == figures.source_auc
        assert float(shown[machine]["pauc"]) == figures.pauc
    (official,) = [
        row for row in rows(small_run, "official") if (row["name"], row["protocol"]) == ("pair", "cross_fitted")
    ]
    assert float(official["omega"]) == official_score(list(metrics.values()))


def of_branches(workflow: Workflow) -> dict[str, dict[str, ScoreTable]]:
    scores = workflow.folder / "results" / "small" / "scores"
    return {
        machine: {
            "ae_mahalanobis": read_scores(scores / "ae" / machine / "ae_mahalanobis.csv"),
            "tiny_whitened": read_scores(scores / "tiny" / machine / "tiny_whitened.csv"),
        }
        for machine in MACHINES
    }


def check_folds(workflow: Workflow, crossed: CrossFit, fold_of: dict[str, str]) -> None:
    """The fold that judges each machine, and what it makes of its scores, are the library's."""
    for machine, fold_name in fold_of.items():
        path = workflow.folder / f"results/small/fusion/cross_fitted/{fold_name}/pair/noseed.json"
        fold = json.loads(path.read_text(encoding="utf-8"))
        assert fold["weights"] == crossed.folds[machine].weights
        assert not [other for other in fold["machines"] if fold_of[other] == fold_name]
        fused = read_scores(workflow.folder / f"results/small/fused/cross_fitted/{machine}/pair/noseed.csv")
        np.testing.assert_allclose(fused.score, crossed.folds[machine].table.score, rtol=0, atol=1e-15)


def test_the_workflows_folds_equal_the_librarys_cross_fit(small_run):
    crossed = cross_fit(of_branches(small_run), ["ae_mahalanobis", "tiny_whitened"], 0.25)
    check_folds(small_run, crossed, {machine: machine for machine in MACHINES})


def test_folds_of_several_machines_go_through_to_the_page(small_run, tmp_path):
    """`folds: {size: 2}` of three machines: the first is held out alone, the other two together."""
    shutil.copytree(small_run.folder, tmp_path / "grouped")
    workflow = Workflow(tmp_path / "grouped")
    workflow.configure(**{**SMALL, "folds": {"size": 2}})
    made = workflow.make()
    assert "Choose calibration and weights of all systems, held out: fold02" in made and "Embed all clips" not in made
    fold_of = {"bearing": "fold01", "fan": "fold02", "valve": "fold02"}
    crossed = cross_fit(of_branches(workflow), ["ae_mahalanobis", "tiny_whitened"], 0.25, folds=fold_of)
    check_folds(workflow, crossed, fold_of)
    official = {(row["name"], row["protocol"]): float(row["omega"]) for row in rows(workflow, "official")}
    expected = official_score([fold.metrics for fold in crossed.folds.values()])
    assert official["pair", "cross_fitted"] == pytest.approx(expected, rel=0, abs=1e-12)
    page = (workflow.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "fold02" in page


def test_a_store_holds_both_channels_and_its_provenance(small_run):
    with h5py.File(small_run.folder / "results" / "small" / "embeddings" / "tiny" / "fan.h5") as store:
        clips = 14 + 3 + 4 * 4
        for channel in ("near", "far"):
            for moment in ("mean", "std"):
                values = store[f"statistics/block_02/{channel}/{moment}"]
                assert (values.shape, values.dtype) == ((clips, 24), np.float32)
                assert np.isfinite(values[:]).all()
        assert not np.array_equal(store["statistics/block_02/near/mean"], store["statistics/block_02/far/mean"])
        assert {"config_digest", "weights_digest", "code_version", "schema_version"} <= set(store.attrs)
        assert store.attrs["trained"] == "no"


def test_reductions_are_said_once_in_log_and_tables(small_run):
    notes = [
        row["note"] for row in rows(small_run, "notes") if row["machine"] == "fan" and row["branch"] == "tiny_whitened"
    ]
    assert len([note for note in notes if "768" in note]) == 1
    assert len([note for note in notes if note.startswith("K_t 5 -> 2")]) == 1
    log = (small_run.folder / "results/logs/small/scores/tiny/fan.log").read_text(encoding="utf-8")
    for note in notes:
        assert log.count(f"tiny_whitened: {note}") == 1


def test_a_second_run_makes_nothing(small_run):
    assert "Nothing to be done" in small_run.make()


def test_a_fresh_checkout_reruns_nothing_and_a_changed_module_the_rules_that_use_it(small_run, tmp_path):
    """Under the profile of the cluster, whose dry run needs no Slurm."""
    clone = tmp_path / "a clone"
    environment = copy_checkout(clone)

    def would_run() -> str:
        command = [*SNAKEMAKE, "--profile", str(clone / "profiles/slurm"), "--configfile", "mine.yaml", "-n"]
        command += ["--quiet", "host", "--snakefile", str(clone / "Snakefile")]
        done = subprocess.run(command, cwd=small_run.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    assert "Nothing to be done" in would_run()
    with (clone / "workflow_lib" / "scoring" / "local_density.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    reasons = dict(re.findall(r"^ {4}([^\n]+):\n {8}([^\n]+)$", would_run().rpartition("Reasons:")[2], re.MULTILINE))
    assert [rules for reason, rules in reasons.items() if "param" in reason] == ["score_model"], reasons


def test_one_fold_is_rerun_alone_with_the_same_bytes(small_run):
    """The command of the README."""
    target, fold = "results/small/fused/cross_fitted/fan", "results/small/fusion/cross_fitted/fan"
    before = small_run.files("small/fus*/**/*")
    output = small_run.make("--forcerun", fold, "--", target)
    assert "Choose calibration and weights of all systems, held out: fan" in output
    assert "held out: valve" not in output
    assert small_run.files("small/fus*/**/*") == before


def test_a_clips_score_does_not_depend_on_the_other_test_clips(small_run, tmp_path):
    """Leakage rule 3: half of the test clips gone, the other half's scores are the same bytes."""
    recordings = small_run.folder / "results" / "small" / "recordings"
    for machine in MACHINES:
        shutil.copytree(recordings / machine, tmp_path / "kept" / machine)
        for path in sorted((tmp_path / "kept" / machine / "test").iterdir())[::2]:
            path.unlink()
    fewer = Workflow(tmp_path / "run")
    settings = {**SMALL, "suites": {"small": {"root": str(tmp_path / "kept")}}}
    fewer.configure(**settings)
    fewer.make("results/small/scores/ae/fan", "results/small/scores/tiny/fan")
    tables = [f"results/small/scores/{name}.csv" for name in ("ae/fan/ae_mahalanobis", "ae/fan/ae_mse")]
    tables += [f"results/small/scores/tiny/fan/{branch}.csv" for branch in ("tiny_whitened", "tiny_raw")]
    for table in tables:
        whole = (small_run.folder / table).read_text(encoding="utf-8").splitlines()
        part = (fewer.folder / table).read_text(encoding="utf-8").splitlines()
        assert len(part) == 1 + (len(whole) - 1) // 2
        assert set(part) <= set(whole), table


@pytest.mark.parametrize("table", ["machines", "official", "ranking", "weights", "clips", "models", "notes"])
def test_tables_are_sorted_and_have_one_header(small_run, table):
    lines = (small_run.folder / f"results/small/tables/{table}.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1
    assert lines.count(lines[0]) == 1


def test_the_baselines_own_files_hold_the_scores_of_the_tables(small_run):
    small_run.make("baseline")
    folder = small_run.folder / "results/baseline/small/ae"
    for score, branch in (("MSE", "ae_mse"), ("MAHALA", "ae_mahalanobis")):
        files = sorted((folder / f"results/dev_data/baseline_{score}").iterdir())
        assert len(files) == 3 * 3
        scores = read_scores(small_run.folder / f"results/small/scores/ae/fan/{branch}.csv")
        name = "anomaly_score_DCASE2026T2fan_section_00_test_seed13711_id(0_).csv"
        with next(path for path in files if path.name == name).open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        assert sorted(clip for clip, _ in lines) == list(scores.clip)
        found = dict(lines)
        expected = scores.score.astype(np.float32).astype(float)
        assert [float(found[clip]) for clip in scores.clip] == expected.tolist()
        assert "_anomaly_" not in lines[0][0] and "_anomaly_" in lines[-1][0]
    with (folder / "thresholds.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3
    assert "Nothing to be done" in small_run.make("baseline")
