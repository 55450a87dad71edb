"""Outputs appear whole or not at all; a user's error is one line."""

from types import SimpleNamespace

import pytest

from workflow_lib.errors import UserError
from workflow_lib.job import run_job


class Named(dict):
    __getattr__ = dict.__getitem__


def snakemake(tmp_path, **outputs):
    return SimpleNamespace(
        input=Named(),
        output=Named({name: str(tmp_path / path) for name, path in outputs.items()}),
        params=Named(),
        wildcards=Named(),
        threads=1,
        rule="score_model",
        log=[str(tmp_path / "logs" / "job.log")],
    )


def test_outputs_are_moved_into_place_at_the_end(tmp_path):
    seen = []

    def main(job):
        job.output.scores.write_text("whole", encoding="utf-8")
        job.output.folder.mkdir()
        (job.output.folder / "a").write_text("b", encoding="utf-8")
        seen.append(sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")))

    run_job(snakemake(tmp_path, scores="out/s.csv", folder="out/f"), main)
    assert seen == [[]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["f", "s.csv"]


def test_a_failing_job_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "s.csv").write_text("old", encoding="utf-8")

    def main(job):
        job.output.scores.write_text("half", encoding="utf-8")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        run_job(snakemake(tmp_path, scores="out/s.csv"), main)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s.csv"]
    assert (tmp_path / "out" / "s.csv").read_text(encoding="utf-8") == "old"


def test_a_users_error_is_one_line_on_the_screen_and_in_the_log(tmp_path, capfd):
    def main(job):
        raise UserError("clip.wav: truncated: copy it again")

    with pytest.raises(SystemExit) as exit_:
        run_job(snakemake(tmp_path, scores="out/s.csv"), main)
    assert exit_.value.code == 1
    assert capfd.readouterr().err == "Error in score_model: clip.wav: truncated: copy it again\n"
    log = (tmp_path / "logs" / "job.log").read_text(encoding="utf-8")
    assert "clip.wav: truncated: copy it again" in log
    assert "Traceback" not in log


def test_an_output_that_was_not_made_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"s\.csv"):
        run_job(snakemake(tmp_path, scores="out/s.csv"), lambda job: None)


def test_the_log_holds_the_librarys_records(tmp_path):
    import logging

    def main(job):
        logging.getLogger("workflow_lib.anything").info("PCA 768 -> 89")
        job.output.scores.write_text("x", encoding="utf-8")

    run_job(snakemake(tmp_path, scores="out/s.csv"), main)
    assert "PCA 768 -> 89" in (tmp_path / "logs" / "job.log").read_text(encoding="utf-8")
