"""Which suites and systems are submitted, and what is said before anything runs."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from submission_example import AUTHOR

from workflow_lib.config.submission_form import LARGEST_REPORT
from workflow_lib.errors import UserError
from workflow_lib.plan.load import load_plan
from workflow_lib.plan.submission import SubmissionFiles, evaluation_suites, faults, left_out, missing_facts, submitted
from workflow_lib.run.preflight import check_ready
from workflow_lib.submission.job import submission_lines

DEFAULTS = Path(__file__).parents[3] / "config.yaml"
EVAL = SimpleNamespace(suite="eval")
SUBMIT = [SimpleNamespace(rule=SimpleNamespace(name="submission"), wildcards=SimpleNamespace())]


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    config["submission"] |= {"institute": "CRRC", "authors": [dict(AUTHOR)]}
    return config


def test_the_four_systems_are_submitted_for_the_evaluation_suite(config):
    plan = load_plan(config, DEFAULTS)
    assert evaluation_suites(plan) == ["eval"]
    assert [(row["label"], row["system"], row["seed"]) for row in submitted(plan, "eval")] == [
        ("Lei_CRRC_task2_1", "NearMah", ""),
        ("Lei_CRRC_task2_2", "AEM2DFuse", ""),
        ("Lei_CRRC_task2_3", "ResMah", ""),
        ("Lei_CRRC_task2_4", "DualDL4", "13711"),
    ]
    assert faults(plan) == []
    config["submission"]["seed"] = 2026
    assert submitted(load_plan(config, DEFAULTS), "eval")[3]["seed"] == "2026"


def test_a_submission_stands_on_tables_weights_and_the_development_suite(config):
    inputs = SubmissionFiles(load_plan(config, DEFAULTS))
    scores = inputs.scores(EVAL)
    assert len(scores) == 3 * 5, "two autoencoders, whose tables are submitted as they are, and what is fused"
    assert {"results/eval/scores/ae/Sander", "results/eval/fused/complete_dev/Sander"} <= set(scores)
    assert inputs.development_tables(EVAL) == ["results/dev/tables"]
    assert inputs.made_weights(EVAL) == [
        "results/dev/adapters/dualmic@full-seed13711",
        "results/eval/autoencoders/ae/BlowerDustCollector.safetensors",
        "results/eval/autoencoders/ae_residual/BlowerDustCollector.safetensors",
    ]
    config["run"]["suites"] = ["eval"]
    assert SubmissionFiles(load_plan(config, DEFAULTS)).development_tables(EVAL) == []


def test_a_system_that_is_not_run_leaves_its_index_free_and_is_said(config):
    config["run"]["systems"] = ["NearMah", "ResMah"]
    plan = load_plan(config, DEFAULTS)
    assert [row["label"][-1] for row in submitted(plan, "eval")] == ["1", "3"]
    assert left_out(plan, "eval") == [
        f"suite eval: system {index}, {name}, is not submitted: not part of this run (run.systems)"
        for index, name in ((2, "AEM2DFuse"), (4, "DualDL4"))
    ]


def test_no_weights_are_chosen_on_the_labels_that_are_submitted_for(config, tmp_path):
    """With ground truth but no other suite, a fused system would be chosen on it."""
    truth = tmp_path / "eval_data_list_2026.csv"
    true = "section_00_source_test_normal_0000_x_1.wav"
    machines = config["suites"]["eval"]["machines"]
    truth.write_text("".join(f"{m}\nsection_00_0000.wav,{true}\n" for m in machines), encoding="utf-8")
    del config["suites"]["eval"]["select_on"]
    config["suites"]["eval"]["ground_truth"] = str(truth)
    config["run"]["suites"] = ["eval"]
    plan = load_plan(config, DEFAULTS)
    assert [row["system"] for row in submitted(plan, "eval")] == ["NearMah", "ResMah"]
    assert "its weights would be chosen on the labels" in left_out(plan, "eval")[0]


def test_all_that_is_missing_is_one_line_before_anything_runs(config):
    shipped = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    plan = load_plan(shipped, DEFAULTS)
    assert missing_facts(plan) == [
        "submission.institute",
        *(f"submission.authors[0].{key}" for key in ("firstname", "lastname", "email")),
        *(f"submission.authors[0].affiliation.{key}" for key in ("institution", "location")),
    ]
    with pytest.raises(UserError) as caught:
        check_ready(plan, SUBMIT)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("config: submission: missing for the meta files: submission.institute, ")
    config["submission"]["authors"][0]["corresponding"] = False
    assert missing_facts(load_plan(config, DEFAULTS)) == ["submission.authors (corresponding: true for one of them)"]


def test_a_long_name_needs_an_abbreviation(config):
    config["systems"]["NearAndResidual"] = config["systems"]["ResMah"]
    config["submission"]["systems"] = ["NearAndResidual"]
    assert missing_facts(load_plan(config, DEFAULTS)) == ["submission.meta.NearAndResidual.abbreviation"]
    config["submission"]["meta"] = {"NearAndResidual": {"abbreviation": "NearRes"}}
    assert missing_facts(load_plan(config, DEFAULTS)) == []


@pytest.mark.parametrize(
    ("name", "instead"),
    [("'t Hooft", "tHooft"), ("-Lei", "Lei"), ("Müller", "Muller"), ("O.Neil", "ONeil"), ("李", "<lastname>")],
)
def test_a_name_that_cannot_become_a_label_is_said_before_anything_runs(config, name, instead):
    config["submission"]["authors"][0]["lastname"] = name
    plan = load_plan(config, DEFAULTS)
    (line,) = faults(plan)
    assert line.startswith("submission.label_name: missing, ") and line.endswith(f"write for instance {instead}")
    with pytest.raises(UserError, match=r"submission\.label_name"):
        check_ready(plan, SUBMIT)
    config["submission"]["label_name"] = "Hooft"
    plan = load_plan(config, DEFAULTS)
    assert faults(plan) == [] and submitted(plan, "eval")[0]["label"] == "Hooft_CRRC_task2_1"


def test_a_technical_report_that_cannot_be_packed_is_said_before_anything_runs(config, tmp_path):
    report = tmp_path / "report.pdf"
    config["submission"]["technical_report"] = str(report)
    report.touch()
    for size, fault in ((0, "0 bytes"), (LARGEST_REPORT + 1, "50,331,649 bytes"), (LARGEST_REPORT, "")):
        os.truncate(report, size)
        line = f"submission.technical_report: {report} has {fault}: 1 to 50,331,648 can be packed"
        assert faults(load_plan(config, DEFAULTS)) == ([line] if fault else [])


def test_without_an_evaluation_suite_there_is_nothing_to_submit(config):
    config["run"]["suites"] = ["dev"]
    config["submission"]["technical_report"] = "report.pdf"
    lines = faults(load_plan(config, DEFAULTS))
    assert lines[0].startswith("submission: no evaluation suite is run (dev)")
    assert lines[1] == "submission.technical_report: there is no file report.pdf: write null or where it is"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"systems": ["NearMa"]}, "submission.systems: there is no system 'NearMa': write NearMah"),
        ({"meta": {"X": {}}}, "submission.meta: there is no system 'X'"),
        ({"seed": 7}, "submission.seed: 7 is not among run.seeds: write one of: 13711, 2026"),
        ({"systems": ["NearMah", "ResMah", "DualDL4", "AEM2DFuse", "NearRes"]}, "submission.systems"),
        ({"institute": "CR RC"}, "submission.institute"),
        ({"authors": [{"lastname": "a_b"}]}, "submission.authors"),
        ({"authors": [{"email": "nobody"}]}, "submission.authors[0].email"),
        ({"label_name": "'t Hooft"}, "submission.label_name"),
    ],
)
def test_a_fault_of_the_section_is_one_line(config, change, expected):
    config["submission"] |= change
    with pytest.raises(UserError) as caught:
        load_plan(config, DEFAULTS)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("config: ") and expected in line


def test_normal_scores_are_made_beside_each_score_table(config):
    plan = load_plan(config, DEFAULTS)
    lines = {(e.kind, e.name, e.protocol, e.seed): e for e in plan.evaluations.by_suite["dev"]}
    line, normal = lines["system", "DualDL4", "cross_fitted", "2026"], "results/dev/normal_scores"
    assert line.normal["fan"] == {
        "ae_mahalanobis": f"{normal}/ae/fan/ae_mahalanobis.csv",
        "ced": f"{normal}/ced/fan/ced.csv",
        "m2d": f"{normal}/m2d/fan/m2d.csv",
        "dualmic": f"{normal}/dualmic@without-fan-seed2026/fan/dualmic.csv",
    }
    assert line.folds["fan"] == "results/dev/fusion/cross_fitted/fan/DualDL4/seed2026.json"
    assert lines["branch", "ced", "complete_dev", ""].normal["fan"] == {"ced": line.normal["fan"]["ced"]}
    assert f"{normal}/ced/fan" in plan.evaluations.normal_folders(SimpleNamespace(suite="dev"))


def test_normal_scores_made_elsewhere_lie_in_a_folder_of_their_own(config, tmp_path):
    (tmp_path / "theirs" / "normal").mkdir(parents=True)
    for name in ("fan.csv", "valve.csv", "normal/fan.csv"):
        (tmp_path / "theirs" / name).write_text("clip,domain,anomaly,score\na.wav,source,0,1\n", encoding="utf-8")
    config["suites"]["tables"] = {}
    config["branches"]["theirs"] = {"scores": "theirs"}
    config["run"] |= {"suites": ["tables"], "branches": ["theirs"], "systems": []}
    plan = load_plan(config, DEFAULTS)
    assert plan.suites["tables"].machines == ("fan", "valve")
    job = SimpleNamespace(suite="tables", model="external", machine="fan")
    assert plan.scores.sources(job) == ["theirs/fan.csv"]
    assert plan.scores.external_normal_scores(job) == ["theirs/normal/fan.csv"]
    job.machine = "valve"
    assert plan.scores.external_normal_scores(job) == []


def test_the_end_of_the_command_names_each_package(tmp_path):
    package = tmp_path / "eval"
    (package / "task2" / "Lei_CRRC_task2_1").mkdir(parents=True)
    (package / "Lei_CRRC_task2.zip").write_bytes(b"")
    (package / "scores_after_the_fact.csv").write_bytes(b"")
    assert submission_lines([str(package)], ["a remark"]) == [
        "a remark",
        f"{package}/Lei_CRRC_task2.zip: Lei_CRRC_task2_1: valid",
        f"{package}/scores_after_the_fact.csv: scored after the fact",
    ]
