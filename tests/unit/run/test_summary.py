"""The last lines of a run: at most nine, with protocol, interval, what is odd, and where the page is."""

from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace

from workflow_lib.csv_rows import write_rows
from workflow_lib.dataset.health_table import Finding
from workflow_lib.evaluation.evidence_rows import TABLES, ModelRow, NoteRow, OfficialRow, RankingRow, UncertaintyRow
from workflow_lib.run.summary import MOST_LINES, summary_lines


def write(folder: Path, *rows: object) -> Path:
    """Tables of a suite with these rows; those without a row are empty."""
    folder.mkdir()
    for name, row_type in {**TABLES, "findings": Finding}.items():
        write_rows(folder / f"{name}.csv", row_type, [row for row in rows if type(row) is row_type])
    return folder


def entry(protocol: str, kind: str, name: str, seed: str, *figures: float | None) -> UncertaintyRow:
    return UncertaintyRow("dev", protocol, kind, name, seed, False, *figures, 0.95, 2000, 13711)


def ranked(machine: str, rank: int, name: str = "ae_mse", kind: str = "branch") -> RankingRow:
    clip = f"{machine}_{rank}.wav"
    return RankingRow("mine", "complete_dev", kind, name, "", False, machine, rank, clip, "source", None, 10.0 - rank)


def model(name: str, trained: str) -> ModelRow:
    return ModelRow("dev", name, "frozen", trained, "", "", (), "")


def job(rule: str, output: Path, **wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=wildcards, output=[str(output)])


def test_the_best_entry_of_each_protocol_stands_with_its_interval(tmp_path):
    scores = [
        entry("cross_fitted", "system", "DualDL4", "13711", 0.61, 0.55, 0.66),
        entry("cross_fitted", "system", "ResMah", "", 0.58, 0.5, 0.6),
        entry("complete_dev", "branch", "ae_mse", "", 0.5616824, None, None),
        entry("complete_dev", "branch", "ae_mahalanobis", "", None, None, None),
    ]
    official = [OfficialRow(*astuple(row)[:6], 7, row.omega) for row in scores]
    models = [model("eat@full-seed1", "no"), model("eat", "no"), model("ae", "yes")]
    tables = write(tmp_path / "dev", *scores, *official, *models)
    findings = [Finding("dev", "fan", finding, "a.wav", "") for finding in ("silent", "clipped")]
    health = write(tmp_path / "health", *findings)
    jobs = [job("tabulate_suite", tables, suite="dev"), job("tabulate_health", health, suite="dev")]
    lines = summary_lines([*jobs, job("write_report", tmp_path / "report.html"), SimpleNamespace(output=[])])
    assert lines == [
        "dev  complete_dev  best: ae_mse                Omega 0.562",
        "dev  cross_fitted  best: DualDL4 (seed 13711)  Omega 0.610, 95% interval 0.550 to 0.660",
        "Findings on the recordings of fan (dev): snakemake check",
        "Warning: random weights in eat: their scores show the machinery, not the method",
        f"Report: {tmp_path / 'report.html'}",
    ]


def test_an_untrained_entry_is_the_best_only_where_there_is_no_other(tmp_path):
    known = [
        entry("complete_dev", kind, name, "", 0.55, None, None)
        for kind, name in (("branch", "spectral"), ("system", "Spectral"))  # alike: the system is named
    ]
    random = [
        UncertaintyRow("dev", protocol, "branch", "eat", "", True, 0.9, None, None, 0.95, 2000, 13711)
        for protocol in ("complete_dev", "cross_fitted")
    ]
    tables = write(tmp_path / "dev", *known, *random, *(OfficialRow(*astuple(row)[:6], 7, 0.5) for row in random))
    assert summary_lines([job("tabulate_suite", tables, suite="dev")]) == [
        "dev  complete_dev  best: Spectral  Omega 0.550",
        "dev  cross_fitted  best: eat       Omega 0.900",
    ]


def test_a_suite_without_labels_ends_with_the_clips_that_rank_highest(tmp_path):
    entries = [("ae_mse", "branch"), ("Both", "system")]
    rows = [ranked(machine, rank, *e) for e in entries for machine in ("fan", "pump") for rank in (1, 2, 3, 4)]
    tables = write(tmp_path / "mine", *rows)
    assert summary_lines([job("tabulate_suite", tables, suite="mine")]) == [
        "mine fan, highest by Both (complete_dev): fan_1.wav, fan_2.wav, fan_3.wav",
        "mine pump, highest by Both (complete_dev): pump_1.wav, pump_2.wav, pump_3.wav",
    ]


def test_many_machines_stay_within_the_lines(tmp_path):
    notes = [NoteRow("mine", "ae", "", "", note) for note in ("a", "b")]
    tables = write(tmp_path / "mine", *notes, *(ranked(f"m{number}", 1) for number in range(30)))
    lines = summary_lines([job("tabulate_suite", tables, suite="mine"), job("write_report", tmp_path / "page")])
    assert len(lines) == MOST_LINES
    assert lines[-3] == "... the report has 24 more of these"
    assert lines[-2] == f"Notes on what was reduced or left out: 2 in {tables / 'notes.csv'}"
    assert summary_lines([job("index_machine", tmp_path / "fan.csv", suite="dev", machine="fan")]) == []
