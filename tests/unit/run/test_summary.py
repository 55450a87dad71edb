"""The last lines of a run: at most nine, with protocol, interval, what is odd, and where the page is."""

import csv
from pathlib import Path
from types import SimpleNamespace

from workflow_lib.run.summary import MOST_LINES, summary_lines

OFFICIAL = ["suite", "protocol", "kind", "name", "seed", "omega", "low", "high", "level"]
RANKING = ["protocol", "kind", "name", "seed", "machine", "rank", "clip", "anomaly"]


def write(folder: Path, **tables: list[list[object]]) -> Path:
    """Tables of a suite with the columns that the summary reads; those that are not named are empty."""
    heads = {"uncertainty": OFFICIAL, "official": OFFICIAL, "ranking": RANKING, "models": ["model", "trained"]}
    heads |= {"notes": ["note"], "findings": ["machine", "finding"]}
    folder.mkdir(exist_ok=True)
    for name, head in heads.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *tables.get(name, [])])
    return folder


def job(rule: str, output: Path, **wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=wildcards, output=[str(output)])


def test_the_best_entry_of_each_protocol_stands_with_its_interval(tmp_path):
    scores = [
        ["dev", "cross_fitted", "system", "DualDL4", "13711", "0.61", "0.55", "0.66", "0.95"],
        ["dev", "cross_fitted", "system", "ResMah", "", "0.58", "0.5", "0.6", "0.95"],
        ["dev", "complete_dev", "branch", "ae_mse", "", "0.5616824", "", "", "0.95"],
        ["dev", "complete_dev", "branch", "ae_mahalanobis", "", "", "", "", "0.95"],
    ]
    tables = write(tmp_path / "dev", uncertainty=scores, official=scores, notes=[["K_t 9 -> 5"]])
    write(tables, uncertainty=scores, official=scores, models=[["eat@full", "no"], ["eat", "no"], ["ae", "yes"]])
    health = write(tmp_path / "health", findings=[["fan", "silent"], ["fan", "clipped"]])
    jobs = [job("tabulate_suite", tables, suite="dev"), job("tabulate_health", health, suite="dev")]
    lines = summary_lines([*jobs, job("write_report", tmp_path / "report.html"), SimpleNamespace(output=[])])
    assert lines == [
        "dev  complete_dev  best: ae_mse                Omega 0.562",
        "dev  cross_fitted  best: DualDL4 (seed 13711)  Omega 0.610, 95% interval 0.550 to 0.660",
        "Findings on the recordings of fan (dev): snakemake check",
        "Warning: random weights in eat: their scores show the machinery, not the method",
        f"Report: {tmp_path / 'report.html'}",
    ]


def test_a_suite_without_labels_ends_with_the_clips_that_rank_highest(tmp_path):
    ranked = [
        ["complete_dev", kind, name, "", machine, rank, f"{machine}_{rank}.wav", ""]
        for kind, name in (("branch", "ae_mse"), ("system", "Both"))
        for machine in ("fan", "pump")
        for rank in (1, 2, 3, 4)
    ]
    tables = write(tmp_path / "mine", ranking=ranked)
    assert summary_lines([job("tabulate_suite", tables, suite="mine")]) == [
        "mine fan, highest by Both (complete_dev): fan_1.wav, fan_2.wav, fan_3.wav",
        "mine pump, highest by Both (complete_dev): pump_1.wav, pump_2.wav, pump_3.wav",
    ]


def test_many_machines_stay_within_the_lines(tmp_path):
    ranked = [["complete_dev", "branch", "ae", "", f"m{number}", 1, "a.wav", ""] for number in range(30)]
    tables = write(tmp_path / "mine", ranking=ranked, notes=[["a"], ["b"]])
    lines = summary_lines([job("tabulate_suite", tables, suite="mine"), job("write_report", tmp_path / "page")])
    assert len(lines) == MOST_LINES
    assert lines[-3] == "... and 24 more lines like these in the report"
    assert lines[-2] == f"Notes on what was reduced or left out: 2 in {tables / 'notes.csv'}"


def test_a_run_that_tabulates_nothing_says_nothing(tmp_path):
    assert summary_lines([job("index_machine", tmp_path / "fan.csv", suite="dev", machine="fan")]) == []
