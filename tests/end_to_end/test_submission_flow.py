"""`snakemake submission` on a simulated pair of suites: what the challenge gets, and its figures after the fact."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import SMALL, SMALL_SUITE, Workflow
from submission_example import AUTHOR

from workflow_lib.scoring.score_file import read_scores
from workflow_lib.submission.__main__ import main

MACHINES = ["fan"]
EVALUATION = "../evaluation"
ZIP = "results/submission/evaluation/Lei_CRRC_task2.zip"
SUBMISSION = {
    "systems": ["NearMah", "AEM2DFuse", "pair"],  # the second is not part of this run
    "institute": "CRRC",
    "authors": [AUTHOR],
}


def settings(**changed) -> dict:
    """The small suite chooses, an unlabelled copy of one of its machines is submitted for."""
    evaluation = {"root": EVALUATION, "machines": MACHINES, "select_on": "small", **changed.pop("evaluation", {})}
    return {
        **SMALL,
        "run": {**SMALL["run"], "suites": ["small", "evaluation"], "systems": ["NearMah", "pair"], "branches": []},
        "suites": {"small": SMALL_SUITE, "evaluation": evaluation},
        "submission": SUBMISSION,
        "evidence": {"threshold": {"method": "quantile", "quantile": 0.9}},
        **changed,
    }


def hide_labels(recordings: Path, evaluation: Path) -> list[str]:
    """Copy machines with test clips called as published; returns the lines of the list of their true names."""
    lines = []
    for machine in MACHINES:
        shutil.copytree(recordings / machine, evaluation / machine)
        clips = sorted((evaluation / machine / "test").iterdir())
        order = np.random.default_rng(len(machine)).permutation(len(clips))
        lines.append(machine)
        for number, clip in enumerate(clips[i] for i in order):
            published = clip.with_name(f"section_00_{number:04d}.wav")
            clip.rename(published)
            lines.append(f"{published.name},{clip.name}")
    return lines


@pytest.fixture(scope="module")
def submitted(small_run, tmp_path_factory) -> tuple[Workflow, str, list[str]]:
    """The small run with the evaluation suite beside it, submitted; what it said, and the true names."""
    folder = tmp_path_factory.mktemp("submission")
    workflow = small_run.copy(folder / "run")
    truth = hide_labels(workflow.results / "small/recordings", folder / "evaluation")
    workflow.configure(**settings())
    return workflow, workflow.make("submission"), truth


def test_the_submission_is_valid_and_says_what_is_not_in_it(submitted, capsys):
    workflow, output, _ = submitted
    assert f"{ZIP}: Lei_CRRC_task2_1, Lei_CRRC_task2_3: valid" in output
    assert "system 2, AEM2DFuse, is not submitted: not part of this run (run.systems)" in output
    folder = workflow.folder / EVALUATION
    assert main([str(workflow.folder / ZIP), "--recordings", str(folder)]) == 0, capsys.readouterr().out
    assert main([str(workflow.folder / ZIP)]) == 1  # these are not the machines of 2026


def test_what_is_submitted_are_the_systems_scores_and_decisions(submitted):
    workflow, _, _ = submitted
    rows = workflow.rows("evaluation/tables/thresholds.csv")
    thresholds = {(row["name"], row["machine"]): float(row["threshold"]) for row in rows}
    tables = {"NearMah": "scores/ae/{}/ae_mahalanobis.csv", "pair": "fused/complete_dev/{}/pair/noseed.csv"}
    for label, system in (("Lei_CRRC_task2_1", "NearMah"), ("Lei_CRRC_task2_3", "pair")):
        folder = workflow.results / "submission/evaluation/task2" / label
        for machine in MACHINES:
            table = read_scores(workflow.results / "evaluation" / tables[system].format(machine))
            lines = (folder / f"anomaly_score_{machine}_section_00_test.csv").read_text(encoding="utf-8").split("\n")
            expected = [f"{c},{s!r}" for c, s in zip(table.clip.tolist(), table.score.tolist(), strict=True)]
            assert lines == [*expected, ""]
            lines = (folder / f"decision_result_{machine}_section_00_test.csv").read_text(encoding="utf-8").split()
            flagged = (table.score > thresholds[system, machine]).astype(int)
            assert lines == [f"{c},{d}" for c, d in zip(table.clip.tolist(), flagged, strict=True)]


def test_the_meta_files_hold_the_development_results_and_what_can_be_counted(submitted):
    workflow, _, _ = submitted
    folder = workflow.results / "submission/evaluation/task2"
    meta = {
        index: yaml.safe_load((folder / f"Lei_CRRC_task2_{index}/Lei_CRRC_task2_{index}.meta.yaml").read_text("utf-8"))
        for index in (1, 3)
    }
    shown = {
        (row["name"], row["machine"]): row
        for row in workflow.rows("small/tables/machines.csv")
        if row["kind"] == "system" and row["protocol"] == "complete_dev"
    }
    for index, system in ((1, "NearMah"), (3, "pair")):
        development = meta[index]["results"]["development_dataset"]
        assert sorted(development) == ["bearing", "fan", "valve"]
        for machine, figures in development.items():
            assert figures["pauc"] == pytest.approx(100 * float(shown[system, machine]["pauc"]), abs=1e-4)
    assert 260_000 < meta[1]["system"]["complexity"]["total_parameters"] < 272_000
    assert meta[3]["system"]["complexity"]["total_parameters"] is None  # of random weights there is no file to count
    text = (folder / "Lei_CRRC_task2_3/Lei_CRRC_task2_3.meta.yaml").read_text(encoding="utf-8")
    assert "random weights takes part" in text and "tiny (random)" in text


def test_normal_scores_of_the_evaluation_machines_are_of_their_training_clips(submitted):
    workflow, _, _ = submitted
    for branch, model in (("ae_mahalanobis", "ae"), ("tiny_whitened", "tiny")):
        table = workflow.rows(f"evaluation/normal_scores/{model}/fan/{branch}.csv")
        assert len(table) == 17
        assert {row["anomaly"] for row in table} == {"0"} and all("_train_normal_" in row["clip"] for row in table)


def test_the_ground_truth_scores_the_submission_and_changes_nothing_in_it(submitted):
    workflow, _, truth = submitted
    before = workflow.files("submission/**/*")
    assert ZIP in before and not [path for path in before if "after" in path]
    (workflow.folder.parent / "eval_data_list_2026.csv").write_text("\n".join(truth) + "\n", encoding="utf-8")
    workflow.configure(**settings(evaluation={"ground_truth": "../eval_data_list_2026.csv"}))
    output = workflow.make("submission")
    assert "scores_after_the_fact.csv: scored after the fact" in output
    after = workflow.files("submission/**/*")
    scores = after.pop("results/submission/evaluation/scores_after_the_fact.csv").decode().splitlines()
    assert after == before
    table = list(csv.DictReader(scores))
    assert {(row["system"], row["machine"]) for row in table} == {
        (system, machine) for system in ("NearMah", "pair") for machine in (*MACHINES, "all 1")
    }
    assert {row["protocol"] for row in table} == {"complete_dev"}
    assert all(row["remark"].startswith("after the fact: ") for row in table)
    official = {row["name"]: row["omega"] for row in workflow.rows("evaluation/tables/official.csv")}
    assert {r["system"]: r["omega"] for r in table if r["omega"]} == {s: official[s] for s in ("NearMah", "pair")}


SHORTENED = ("tiny/fan/tiny_whitened.csv", "ae/fan/ae_mahalanobis.csv")


def test_a_fit_that_fails_stops_the_submission_with_a_line_for_each_machine(submitted):
    workflow, _, _ = submitted
    before = workflow.files("submission/**/*")
    known = {"evidence": {"threshold": {"method": "gamma", "quantile": 0.9}}}
    if (workflow.folder.parent / "eval_data_list_2026.csv").exists():
        known["evaluation"] = {"ground_truth": "../eval_data_list_2026.csv"}  # as the test before left it
    workflow.configure(**settings(**known))
    folder = workflow.results / "evaluation/normal_scores"
    originals = {folder / name: (folder / name).read_bytes() for name in SHORTENED}
    for path, content in originals.items():
        path.write_bytes(b"".join(content.splitlines(keepends=True)[:6]))  # five clips: too few for a fit
    done = workflow.run("submission")
    for path, content in originals.items():
        path.write_bytes(content)
    assert done.returncode != 0
    for system in ("NearMah", "pair"):
        what = f"suite evaluation: no threshold of {system} for fan: gamma fit failed: 5 normal clips, it needs 10"
        assert f"{what}: look at its normal scores, or write evidence.threshold.method: quantile" in done.stdout
    assert "Traceback" not in done.stdout
    left = workflow.files("submission/**/*")
    assert left in ({}, before)  # nothing half written


def test_what_is_missing_for_the_meta_files_is_said_before_anything_runs(submitted):
    workflow, _, _ = submitted
    author = {**AUTHOR, "email": None}
    workflow.configure(**settings(submission={**SUBMISSION, "institute": None, "authors": [author]}))
    done = workflow.run("submission", "--forcerun", "write_submission")
    (line,) = [line for line in done.stdout.splitlines() if "missing for the meta files" in line]
    assert "submission.institute, submission.authors[0].email" in line
    assert done.returncode != 0 and "Traceback" not in done.stdout
