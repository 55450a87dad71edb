"""What a run shows under the profiles: a line a stage, a table for a dry run, ten lines at the end; its log has all."""

import pytest
import yaml
from conftest import ROOT, SHORT, Workflow

STAGES = ["simulate", "index", "check", "train", "embed", "score", "fuse", "tabulate", "studies", "report"]


def test_a_run_shows_its_stages_and_what_it_found(small_run):
    lines = (small_run.folder / "terminal.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("simulate    3 of 3 machines, ")]
    assert [line for line in lines if line.startswith("embed       3 of 3 machines, 6 of 6 jobs, ")]
    shown = [line.split()[0] for line in lines]
    assert set(STAGES) <= set(shown)
    end = lines[max(shown.index(stage) for stage in STAGES) + 1 :]
    assert len(end) <= 10
    assert [line.split()[:2] for line in end[:2]] == [["small", "complete_dev"], ["small", "cross_fitted"]]
    assert all("Omega 0." in line and "95% interval 0." in line for line in end[:2])
    assert "Warning: random weights in tiny: their scores show the machinery, not the method" in end
    assert end[-2].startswith("Report: ") and end[-2].endswith("/results/report.html")
    assert len(lines) < 60, "a slow machine has more lines of a stage, never one a job"


def test_the_log_file_has_what_the_terminal_has_not(small_run):
    shown = (small_run.folder / "terminal.txt").read_text(encoding="utf-8")
    text = min(small_run.folder.glob(".snakemake/log/*.log")).read_text(encoding="utf-8")
    for said in ("Embed all clips of fan with tiny (small)", "Reason: Missing output files", "Finished jobid: "):
        assert said in text and said not in shown


@pytest.mark.parametrize("profile", ["default", "local", "slurm"])
def test_a_dry_run_of_the_papers_configuration_is_a_table(tmp_path, profile):
    """With the number of Slurm jobs under the profile of the cluster; needs no Slurm."""
    settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text(encoding="utf-8"))
    assert settings["quiet"] == list(SHORT[1:])
    output = Workflow(tmp_path).make("--profile", str(ROOT / "profiles" / profile), *SHORT, "-n")
    lines = [line.split() for line in output.splitlines()]
    assert len(lines) < 30
    heads = [line for line in lines if line[:2] == ["rule", "jobs"]]
    (total,) = (line for line in lines if line[:1] == ["total"])
    assert heads == [["rule", "jobs", *(["Slurm", "jobs"] if profile == "slurm" else [])]]
    assert int(total[1]) <= 330 and all(int(number) <= 150 for number in total[2:])
