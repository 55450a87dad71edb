"""`snakemake check`: the health of the recordings on the terminal, as tables and on the page."""

import csv

from conftest import SMALL


def test_check_prints_what_the_run_has_measured(small_run):
    output = small_run.make("check")
    assert "Health of suite small" in output
    assert "rule check_machine" not in output and "Measure level" not in output
    lines = output.split("Health of suite small", 1)[1].splitlines()
    for machine in SMALL["suites"]["small"]["machines"]:
        assert sum(line.startswith(f"{machine} ") for line in lines) == 6


def test_health_is_on_the_page_and_in_tables(small_run):
    page = (small_run.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "Levels, coherence and faults of small" in page
    with (small_run.folder / "results" / "small" / "check" / "health.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["clips"]) for row in rows) == 3 * (14 + 3 + 4 * 4)
    assert {row["channels"] for row in rows} == {"2"}
    assert all(-60 < float(row["near_dbfs"]) < 0 and 0 <= float(row["coherence"]) <= 1 for row in rows)


def test_check_of_one_machine_is_one_target(small_run):
    assert "Nothing to be done" in small_run.make("results/small/health/fan.csv")
