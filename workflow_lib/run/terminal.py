"""What Snakemake's main process shows: the stages of a run, a table for a dry run, warnings and errors.

`LogHandler` is a logger plugin of Snakemake, which `workflow_lib.run.command` registers; jobs have none. It replaces
Snakemake's own messages where `--quiet` names `rules`, as the profiles do; `--quiet host` brings them back.
"""

import copy
import sys
from collections import Counter
from logging import WARNING, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tabulate import tabulate

from workflow_lib.run.stages import StageLines, log

SHOWN = ("Nothing to be done", "Complete log(s)")  # of what Snakemake says without an event


class LogHandler(LogHandlerBase):
    """Shows Snakemake's messages as they are, or in short."""

    writes_to_stream, writes_to_file, has_filter, has_formatter, needs_rulegraph = True, False, True, True, False

    def __post_init__(self) -> None:
        from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter  # imports its plugins
        from snakemake.settings.enums import Quietness

        settings: Any = self.common_settings
        quiet, stream = set(settings.quiet or ()), sys.stdout if settings.stdout else sys.stderr
        self._short = Quietness.RULES in quiet and not settings.verbose
        self._text = ColorizingTextHandler(settings.nocolor, stream, DefaultFormatter(quiet, settings.show_failed_logs))
        if not self._short:
            self._text.addFilter(
                DefaultFilter(quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds)
            )
        self._dry_run = DryRun() if settings.dryrun else None
        self._stages = StageLines(stream)
        self._before: list[LogRecord] | None = []  # what was said before the workflow started
        settings.quiet = set()  # or Snakemake's log file would lack what is not shown

    def emit(self, record: Any) -> None:  # a LogRecord with the fields of its event
        """Show a record, or count the job that it is about."""
        event, stages = getattr(record, "event", None), getattr(record, "stages", None)
        if not self._short:
            if stages is None:
                self._text.handle(record)
        elif record.levelno >= WARNING:
            self._stages.write(lambda: self._text.handle(_shortened(record)))
        elif stages is not None:
            self._stages.begin(stages)
        elif event == LogEvent.WORKFLOW_STARTED:
            self._before = None
        elif event is None and (record.name == log.name or record.getMessage().startswith(SHOWN)):
            self._stages.write(lambda: self._text.handle(record))
        elif event is None:
            if self._before is not None:
                self._before.append(record)
        elif self._dry_run:
            self._dry_run.count(event, record)
        elif event == LogEvent.JOB_INFO:
            self._stages.start(record.jobid)
        elif event == LogEvent.JOB_FINISHED:
            self._stages.finish(record.job_id)

    def close(self) -> None:
        """Show what only the end decides; nothing when called again."""
        self._stages.close()
        for record in self._before or ():  # the answer to a question such as --list-rules: no workflow started
            self._text.handle(record)
        if self._dry_run and self._dry_run.jobs:
            print(self._dry_run.table(), file=self._text.stream)
        self._before = self._dry_run = None
        super().close()


class DryRun:
    """Counts the jobs that would run, by rule, and the Slurm jobs that they would be."""

    def __init__(self) -> None:
        self.jobs: dict[str, int] = {}
        self._submitted: dict[int, set[str]] = {}  # lowest job number of a Slurm job -> its rules
        self._grouped = False

    def count(self, event: LogEvent, record: Any) -> None:
        """Take note of a record of Snakemake's dry run."""
        if event == LogEvent.RUN_INFO:
            self.jobs = record.stats
        elif event == LogEvent.GROUP_INFO:
            self._grouped = True
            self._submitted[min(job.jobid for job in record.jobs)] = {job.rule.name for job in record.jobs}
        elif event == LogEvent.JOB_INFO and not record.indent and record.output:  # in no group, and no mere target
            self._submitted[record.jobid] = {record.rule_name}

    def table(self) -> str:
        """One line a rule with its jobs and, where a profile groups them, the Slurm jobs that it is part of."""
        head, rows = ["rule", "jobs"], [[rule, count] for rule, count in self.jobs.items()]
        if self._grouped:
            head.append("Slurm jobs")
            parts = Counter(rule for rules in self._submitted.values() for rule in [*rules, "total"])
            rows = [[rule, count, parts[rule]] for rule, count in self.jobs.items()]
        return f"{tabulate(rows, head)}\nNothing was run. Each job with its reason: --quiet host"


def _shortened(record: LogRecord) -> LogRecord:
    """An error without the files of its job, of which there may be hundreds."""
    record = copy.copy(record)
    if getattr(record, "event", None) == LogEvent.JOB_ERROR:
        record.input = record.output = []
    return record
