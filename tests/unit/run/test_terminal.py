"""What the terminal shows of Snakemake's records: stages, the table of a dry run, warnings and errors."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from workflow_lib.run import stages
from workflow_lib.run.stages import STAGE_OF, StageLines
from workflow_lib.run.terminal import LogHandler

SHORT = {Quietness.RULES, Quietness.PROGRESS}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(stream: io.StringIO, jobs: dict[str, dict[int, object]]) -> tuple[StageLines, Clock]:
    clock = Clock()
    lines = StageLines(stream, clock)
    lines.begin(jobs)
    return lines, clock


def test_a_short_stage_is_one_line_of_a_file():
    stream = io.StringIO()
    lines, clock = lines_of(stream, {"score": {1: "fan", 2: "fan", 3: "pump"}, "report": {4: None}})
    for job in (1, 2, 3, 4):
        lines.start(job)
        clock.now += 5
        lines.finish(job)
    lines.close()
    assert stream.getvalue().splitlines() == [
        "score       2 of 2 machines, 3 of 3 jobs, 15 s",
        "report      1 of 1 job, 5 s",
    ]


def test_a_long_stage_says_how_far_it_is_and_how_long_it_takes():
    stream = io.StringIO()
    lines, clock = lines_of(stream, {"adapt": dict.fromkeys(range(100))})
    lines.start(0)
    for job in range(100):
        clock.now += 40
        lines.finish(job)
    found = stream.getvalue().splitlines()
    assert found[0] == "adapt       1 of 100 jobs, about 66 min left"
    assert found[-1] == "adapt       100 of 100 jobs, 67 min"
    assert len(found) == 1 + 9 + 1
    lines.close()
    assert stream.getvalue().splitlines() == found


def test_a_stage_that_stands_still_has_a_line_every_ten_minutes():
    stream = io.StringIO()
    lines, clock = lines_of(stream, {"adapt": {1: None, 2: None}})
    lines.start(1)
    for clock.now in range(0, 1300, 10):
        lines.start(1)
        lines._draw(lines._stage_of[1])
    assert stream.getvalue().splitlines() == ["adapt       0 of 2 jobs"] * 3
    lines.close()


def test_a_run_that_ends_early_says_how_far_it_came():
    stream = io.StringIO()
    lines, _ = lines_of(stream, {"index": {1: "fan", 2: "pump"}, "score": {3: "fan"}})
    lines.start(1)
    lines.finish(1)
    lines.close()
    lines.close()
    assert stream.getvalue() == "index       1 of 2 machines, about 0 s left\n"


def test_a_terminal_has_one_line_of_each_stage_that_changes():
    stream = Terminal()
    lines, _ = lines_of(stream, {"index": {1: "fan", 2: "pump"}, "embed": {3: "fan"}})
    for job in (1, 3):
        lines.start(job)
    lines.finish(1)
    lines.write(lambda: stream.write("a warning\n"))
    lines.finish(2)
    lines.finish(3)
    lines.close()
    shown = stream.getvalue()
    assert "index       1 of 2 machines" in shown and "a warning\n" in shown
    assert shown.count("index       2 of 2 machines, 0 s ") and "embed       1 of 1 machine, 0 s " in shown
    assert shown.count("\n") < 12


@pytest.fixture
def handler(capsys):
    """A function that gives records to a handler and returns what it shows, once closed."""

    def shown(*records: logging.LogRecord, quiet=SHORT, **settings) -> str:
        settings = OutputSettings(quiet=quiet, nocolor=True, **settings)
        one = LogHandler(settings, None)
        assert settings.quiet == set(), "what is not shown is in the log file all the same"
        for record in records:
            one.handle(record)
        one.close()
        one.close()
        out, err = capsys.readouterr()
        assert not (err if settings.dryrun else out)
        return out + err

    return shown


def record(text: str = "", level: int = logging.INFO, name: str = "snakemake.logging", **extra) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, text, None, None)
    made.__dict__.update(extra)
    return made


def job(number: int, rule: str, *, output: bool = True, indent: bool = False, event: LogEvent = LogEvent.JOB_INFO):
    fields = {"jobid": number, "rule_name": rule, "output": ["out"] * output, "input": ["in"], "indent": indent}
    fields |= {"rule_msg": f"Make it with {rule}", "reason": "Missing output files: out"}
    return record(event=event, **fields)


STARTED = record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)


def test_a_dry_run_is_a_table_of_rules_jobs_and_slurm_jobs(handler):
    members = [SimpleNamespace(jobid=number, rule=SimpleNamespace(name="score_model")) for number in (2, 3)]
    stats = {"embed_machine": 1, "score_model": 2, "all": 1, "total": 4}
    records = [
        STARTED,
        record("Job stats: ...", event=LogEvent.RUN_INFO, stats=stats),
        job(1, "embed_machine"),
        record("", event=LogEvent.GROUP_INFO, group_id="scores", jobs=members),
        job(2, "score_model", indent=True),
        job(3, "score_model", indent=True),
        job(4, "all", output=False),
    ]
    shown = handler(*records, dryrun=True, stdout=True)
    head, _, *rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert head == "rule jobs Slurm jobs"
    assert rows[:4] == ["embed_machine 1 1", "score_model 2 1", "all 1 0", "total 4 2"]
    assert "Each job with its reason: --quiet host" in shown
    stats = record("Job stats: ...", event=LogEvent.RUN_INFO, stats={"embed_machine": 1, "total": 1})
    without_groups = handler(STARTED, stats, job(1, "embed_machine"), dryrun=True, stdout=True)
    assert "Slurm" not in without_groups and "Make it" not in without_groups


def test_a_run_shows_stages_warnings_errors_and_our_own_lines(handler):
    error = {"log": ["results/logs/a.log"], "rule_msg": None, "conda_env": None, "shellcmd": None, "aux": {}}
    failed = job(1, "embed_machine", event=LogEvent.JOB_ERROR)
    failed.__dict__.update(error, levelno=logging.ERROR, levelname="ERROR", msg="Error in rule", input=["in"] * 300)
    records = [
        record("Building DAG of jobs..."),
        STARTED,
        record("Using shell: /usr/bin/bash"),
        record("", name=stages.log.name, stages={"embed": {1: "fan", 2: "pump"}}),
        job(1, "embed_machine"),
        job(2, "embed_machine"),
        record(event=LogEvent.JOB_FINISHED, job_id=2),
        record("suite mine: ResMah is left out: it needs both channels", logging.WARNING),
        failed,
        record("Report: results/report.html", name=stages.log.name),
        record("Complete log(s): .snakemake/log/1.log"),
    ]
    shown = handler(*records).splitlines()
    assert shown[0] == "suite mine: ResMah is left out: it needs both channels"
    assert "Error in rule embed_machine:" in shown and "in, in" not in "".join(shown)
    assert "    log: results/logs/a.log (check log file(s) for error details)" in shown
    assert shown[-3:-1] == ["Report: results/report.html", "Complete log(s): .snakemake/log/1.log"]
    assert shown[-1].startswith("embed       1 of 2 machines")
    assert not [line for line in shown if "Make it" in line or "shell" in line or "DAG" in line]


def test_quiet_host_shows_each_job_with_its_reason(handler):
    announced = record("", name=stages.log.name, stages={"embed": {1: "fan"}})
    shown = handler(STARTED, announced, job(1, "embed_machine"), quiet={Quietness.HOST})
    assert "Job 1: Make it with embed_machine\nReason: Missing output files: out" in shown
    assert "1 machines" not in shown


def test_the_answer_to_a_question_is_shown(handler):
    assert handler(record("Unlocked working directory.")) == "Unlocked working directory.\n"
    assert handler(record("Nothing to be done (all requested files are present).")).startswith("Nothing to be done")


def test_every_rule_that_runs_something_has_a_stage():
    from conftest import ROOT

    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    rules = [part for part in text.split("\nrule ")[1:] if "script:" in part]
    printing = {"check", "submission"}
    assert {rule.split(":")[0] for rule in rules} - printing == set(STAGE_OF)
