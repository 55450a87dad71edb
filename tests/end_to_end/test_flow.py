"""The whole flow on a small simulated suite: from recordings to the page, through Snakemake."""

import csv
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from conftest import SMALL, SNAKEMAKE, Workflow, copy_checkout

from workflow_lib.fusion.cross_fit import CrossFit, cross_fit
from workflow_lib.metrics import official_score
from workflow_lib.report.page.glossary import UNTRAINED_HEADLINE
from workflow_lib.scoring.score_file import read_scores
from workflow_lib.scoring.score_table import ScoreTable

MACHINES = SMALL["suites"]["small"]["machines"]
BRANCHES = {"ae_mse": "ae", "ae_mahalanobis": "ae", "tiny_raw": "tiny", "tiny_whitened": "tiny"}
PAIR = ["ae_mahalanobis", "tiny_whitened"]


def branch_table(workflow: Workflow, branch: str, machine: str) -> ScoreTable:
    return read_scores(workflow.results / "small/scores" / BRANCHES[branch] / machine / f"{branch}.csv")


def fused_table(workflow: Workflow, machine: str) -> ScoreTable:
    return read_scores(workflow.results / f"small/fused/cross_fitted/{machine}/pair/noseed.csv")


def of_pair(rows: list[dict[str, str]], protocol: str = "cross_fitted") -> list[dict[str, str]]:
    return [row for row in rows if (row["name"], row["protocol"]) == ("pair", protocol)]


def test_the_report_says_on_its_first_screen_that_a_model_is_untrained(small_run):
    page = small_run.page()
    assert UNTRAINED_HEADLINE in page[: page.index("Ω is the official score")]


def test_every_number_carries_its_protocol(small_run):
    """A branch alone chooses nothing, but is reported for each protocol: what the systems are compared with."""
    rows = small_run.rows("small/tables/official.csv")
    entries = [*(("branch", name) for name in BRANCHES), ("system", "pair"), ("system", "pair@equal")]
    assert {(row["kind"], row["name"], row["protocol"]) for row in rows} == {
        (*entry, protocol) for entry in entries for protocol in ("complete_dev", "cross_fitted")
    }
    assert {row["untrained"] for row in rows if row["name"] == "pair"} == {"yes"}
    assert {row["untrained"] for row in rows if row["name"] == "ae_mse"} == {"no"}


def test_the_tables_hold_what_the_score_tables_give(small_run):
    metrics = {machine: fused_table(small_run, machine).metrics() for machine in MACHINES}
    shown = {row["machine"]: row for row in of_pair(small_run.rows("small/tables/machines.csv"))}
    for machine, figures in metrics.items():
        assert float(shown[machine]["source_auc"]) == figures.source_auc
        assert float(shown[machine]["pauc"]) == figures.pauc
    (official,) = of_pair(small_run.rows("small/tables/official.csv"))
    assert float(official["omega"]) == official_score(list(metrics.values()))


def check_folds(workflow: Workflow, fold_of: dict[str, str]) -> CrossFit:
    """The fold that judges each machine, and what it makes of its scores, are the library's."""
    tables = {machine: {branch: branch_table(workflow, branch, machine) for branch in PAIR} for machine in MACHINES}
    crossed = cross_fit(tables, PAIR, 0.25, folds=fold_of)
    for machine, fold_name in fold_of.items():
        fold = workflow.read_json(f"small/fusion/cross_fitted/{fold_name}/pair/noseed.json")
        assert fold["weights"] == crossed.folds[machine].weights
        assert not [other for other in fold["machines"] if fold_of[other] == fold_name]
        fused = fused_table(workflow, machine)
        np.testing.assert_allclose(fused.score, crossed.folds[machine].table.score, rtol=0, atol=1e-15)
    return crossed


def test_the_workflows_folds_equal_the_librarys_cross_fit(small_run):
    check_folds(small_run, {machine: machine for machine in MACHINES})


def test_the_equal_weight_twin_stands_beside_its_system(small_run):
    """Same branches and folds, calibration and figures as the library gives them, and the paired difference."""
    tables = {machine: {branch: branch_table(small_run, branch, machine) for branch in PAIR} for machine in MACHINES}
    crossed = cross_fit(tables, PAIR, search="none", calibration="selection")
    for machine, fold in crossed.folds.items():
        fused = read_scores(small_run.results / f"small/fused/cross_fitted/{machine}/pair@equal/noseed.csv")
        assert fused.score.tobytes() == fold.table.score.tobytes()
    rows = small_run.rows("small/tables/official.csv")
    omega = {row["name"]: float(row["omega"]) for row in rows if row["protocol"] == "cross_fitted"}
    assert omega["pair@equal"] == pytest.approx(crossed.score, rel=0, abs=1e-12)
    (row,) = (
        row
        for row in small_run.rows("small/tables/differences.csv")
        if (row["protocol"], row["name_a"], row["name_b"]) == ("cross_fitted", "pair@equal", "pair")
    )
    assert float(row["difference"]) == omega["pair@equal"] - omega["pair"]
    assert "pair, equal weights" in small_run.page() and "pair@equal" not in small_run.page()


def test_folds_of_several_machines_go_through_to_the_page(small_run, tmp_path):
    """`folds: {size: 2}` of three machines: the first is held out alone, the other two together."""
    workflow = small_run.copy(tmp_path / "grouped")
    workflow.configure(**{**SMALL, "folds": {"size": 2}})
    made = workflow.make()
    assert "Choose calibration and weights of all systems, held out: fold02" in made and "Embed all clips" not in made
    crossed = check_folds(workflow, {"bearing": "fold01", "fan": "fold02", "valve": "fold02"})
    (official,) = of_pair(workflow.rows("small/tables/official.csv"))
    expected = official_score([fold.metrics for fold in crossed.folds.values()])
    assert float(official["omega"]) == pytest.approx(expected, rel=0, abs=1e-12)
    assert "fold02" in workflow.page()


def test_a_store_holds_both_channels_and_its_provenance(small_run):
    with h5py.File(small_run.results / "small/embeddings/tiny/fan.h5") as store:
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
    rows = small_run.rows("small/tables/notes.csv")
    notes = [row["note"] for row in rows if (row["machine"], row["branch"]) == ("fan", "tiny_whitened")]
    assert len([note for note in notes if "768" in note]) == 1
    assert len([note for note in notes if note.startswith("K_t 5 -> 2")]) == 1
    log = (small_run.results / "logs/small/scores/tiny/fan.log").read_text(encoding="utf-8")
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
    with (clone / "workflow_lib" / "scoring" / "job.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    reasons = dict(re.findall(r"^ {4}([^\n]+):\n {8}([^\n]+)$", would_run().rpartition("Reasons:")[2], re.MULTILINE))
    assert [rules for reason, rules in reasons.items() if "param" in reason] == ["score_model"], reasons


def test_one_fold_is_rerun_alone_with_the_same_bytes(small_run):
    """The command of the README."""
    before = small_run.files("small/fus*/**/*")
    fold, target = "results/small/fusion/cross_fitted/fan", "results/small/fused/cross_fitted/fan"
    output = small_run.make("--forcerun", fold, "--", target)
    assert "Choose calibration and weights of all systems, held out: fan" in output and "held out: valve" not in output
    assert small_run.files("small/fus*/**/*") == before != {}


def test_a_clips_score_does_not_depend_on_the_other_test_clips_and_a_rewritten_clip_is_seen(small_run, tmp_path):
    """Leakage rule 3: half of the test clips gone, the other half's scores are the same bytes.

    Recordings that are written again under the same names are indexed again, those of other machines are not.
    """
    recordings = tmp_path / "my recordings"
    for machine in MACHINES:
        shutil.copytree(small_run.results / "small/recordings" / machine, recordings / machine)
        for path in sorted((recordings / machine / "test").iterdir())[::2]:
            path.unlink()
    fewer = Workflow(tmp_path / "run")
    fewer.configure(**{**SMALL, "suites": {"small": {"root": "../my recordings"}}})
    manifests = [f"results/small/manifest/{machine}.csv" for machine in MACHINES]
    fewer.make(*(f"results/small/scores/{model}/fan" for model in ("ae", "tiny")), *manifests)
    for branch, model in BRANCHES.items():
        target = f"small/scores/{model}/fan/{branch}.csv"
        whole, part = ((run.results / target).read_text().splitlines() for run in (small_run, fewer))
        assert len(part) == 1 + (len(whole) - 1) // 2
        assert set(part) <= set(whole), target

    assert "Nothing to be done" in fewer.make(*manifests)
    clip = next((recordings / "fan" / "test").iterdir())
    clip.write_bytes(clip.read_bytes())
    output = fewer.make(*manifests)
    assert "recordings of fan" in output
    assert "recordings of valve" not in output


@pytest.mark.parametrize("table", ["machines", "official", "ranking", "weights", "clips", "models", "notes"])
def test_tables_are_sorted_and_have_one_header(small_run, table):
    """Whole numbers count as such: rank 10 follows rank 9."""
    with (small_run.results / f"small/tables/{table}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert rows and header not in rows
    assert rows == sorted(rows, key=lambda row: [(int(cell), "") if cell.isdigit() else (-1, cell) for cell in row])


def test_the_baselines_own_files_hold_the_scores_of_the_tables(small_run):
    small_run.make("baseline")
    folder = small_run.results / "baseline/small/ae"
    for score, branch in (("MSE", "ae_mse"), ("MAHALA", "ae_mahalanobis")):
        files = sorted((folder / f"results/dev_data/baseline_{score}").iterdir())
        assert len(files) == 3 * 3
        scores = branch_table(small_run, branch, "fan")
        name = "anomaly_score_DCASE2026T2fan_section_00_test_seed13711_id(0_).csv"
        with next(path for path in files if path.name == name).open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        assert sorted(clip for clip, _ in lines) == list(scores.clip)
        found = dict(lines)
        expected = scores.score.astype(np.float32).astype(float)
        assert [float(found[clip]) for clip in scores.clip] == expected.tolist()
        assert "_anomaly_" not in lines[0][0] and "_anomaly_" in lines[-1][0]
    assert len(small_run.rows("baseline/small/ae/thresholds.csv")) == 2 * 3
    assert "Nothing to be done" in small_run.make("baseline")


# ---- `snakemake check`: the health of the recordings on the terminal, as tables and on the page ----------------------


def test_check_prints_what_the_run_has_measured(small_run):
    output = small_run.make("check", "results/small/health/fan.csv")  # the table of one machine is a target too
    assert "Health of suite small" in output
    assert "rule check_machine" not in output and "Measure level" not in output
    lines = output.split("Health of suite small", 1)[1].splitlines()
    for machine in MACHINES:
        assert sum(line.startswith(f"{machine} ") for line in lines) == 6


def test_health_is_on_the_page_and_in_tables(small_run):
    assert "Levels, coherence and faults of small" in small_run.page()
    rows = small_run.rows("small/check/health.csv")
    assert sum(int(row["clips"]) for row in rows) == 3 * (14 + 3 + 4 * 4)
    assert {row["channels"] for row in rows} == {"2"}
    assert all(-60 < float(row["near_dbfs"]) < 0 and 0 <= float(row["coherence"]) <= 1 for row in rows)
