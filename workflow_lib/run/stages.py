"""The stages of a run and how far each is, as lines on a terminal or in a file."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from queue import Queue
from shutil import get_terminal_size
from typing import Any, TextIO

from tqdm import tqdm

from workflow_lib.progress import duration

log = logging.getLogger("snakemake.logging.workflow")  # the terminal shows all its records

STAGES = {  # in the order of the flow
    "fetch": ("list_archives", "fetch_archive", "fetch_data", "fetch_weights"),
    "simulate": ("simulate_machine",),
    "disturb": ("disturb_machine",),
    "index": ("index_machine",),
    "check": ("check_machine", "tabulate_health"),
    "train": ("train_autoencoder",),
    "adapt": ("train_adapter",),
    "embed": ("apply_autoencoder", "embed_machine", "embed_spectra"),
    "score": ("score_model",),
    "fuse": ("fit_folds", "fuse_machine"),
    "tabulate": ("tabulate_suite", "illustrate_clips"),
    "studies": ("make_studies",),
    "report": ("write_report",),
    "submission": ("write_submission",),
    "baseline": ("write_baseline_files",),
}
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
NAME_WIDTH = max(map(len, STAGES))
LINE_WIDTH = 70
TICK_S = 1.0
STEP_S = 30.0  # in a file: between two lines of a stage, at least
STEPS = 10  # so many lines of a stage, at most ...
SILENT_S = 600.0  # ... and one after so long without


@dataclass
class Stage:
    """Jobs of one stage: the number of each with its machine, None where it belongs to no single one."""

    name: str
    jobs: Mapping[int, object]
    done: set[int] = field(default_factory=set)
    started: float | None = None
    written: float = 0.0  # when its last line was
    step: int = -1  # of STEPS, in that line
    bar: tqdm | None = None  # on a terminal, while it runs

    @property
    def complete(self) -> bool:
        """Whether all jobs are done."""
        return len(self.done) == len(self.jobs)

    def line(self, now: float) -> str:
        """Machines and jobs that are done, with the time that they took or that is left."""
        counts = []
        machines = set(self.jobs.values()) - {None}
        if machines:
            unfinished = {self.jobs[number] for number in self.jobs.keys() - self.done}
            counts.append(_of(len(machines - unfinished), len(machines), "machine"))
        if len(machines) != len(self.jobs):
            counts.append(_of(len(self.done), len(self.jobs), "job"))
        seconds = now - (now if self.started is None else self.started)
        if self.complete:
            counts.append(duration(seconds))
        elif self.done:
            counts.append(f"about {duration(seconds * (len(self.jobs) / len(self.done) - 1))} left")
        return f"{self.name:<{NAME_WIDTH}}  {', '.join(counts)}"


def _of(done: int, total: int, noun: str) -> str:
    return f"{done} of {total} {noun}{'s' if total > 1 else ''}"


def announce(jobs: Iterable[Any]) -> None:
    """Tell the terminal which of Snakemake's jobs are about to run."""
    stages: dict[str, dict[int, object]] = {}
    for job in jobs:
        if stage := STAGE_OF.get(job.rule.name):
            machine = job.wildcards.get("machine")
            stages.setdefault(stage, {})[job.jobid] = machine and (job.wildcards.get("suite"), machine)
    log.info("", extra={"stages": stages})


def show(lines: Iterable[str]) -> None:
    """Show lines whatever `--quiet` says."""
    for line in lines:
        log.info(line)


def flush() -> None:
    """Wait until all is shown that was said so far: Snakemake passes it on to the terminal in a thread."""
    for handler in logging.getLogger("snakemake.logging").handlers:
        if isinstance(handler, QueueHandler) and isinstance(handler.queue, Queue):
            handler.queue.join()


class StageLines:
    """Shows the stages that have begun: on a terminal one line of each that changes, in a file one when it is complete.

    In a file a stage that takes long has up to `STEPS` lines before, and one after each `SILENT_S` seconds without.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._stage_of: dict[int, Stage] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()

    def begin(self, stages: Mapping[str, Mapping[int, object]]) -> None:
        """The stages of a run, each with its jobs."""
        self._stage_of = {job: stage for name, jobs in stages.items() for stage in [Stage(name, jobs)] for job in jobs}
        threading.Thread(target=self._keep_up_to_date, daemon=True).start()

    def start(self, job: int) -> None:
        """A job begins, for the first time or again."""
        with self._lock:
            stage = self._stage_of.get(job)
            if stage and stage.started is None:
                stage.started = stage.written = self._clock()
                if self._stream.isatty() and stage.name != "fetch":  # downloads have bars of their own
                    stage.bar = tqdm(file=self._stream, bar_format="{desc}", ncols=get_terminal_size().columns)
                self._draw(stage)

    def finish(self, job: int) -> None:
        """A job has ended well."""
        with self._lock:
            if stage := self._stage_of.get(job):
                stage.done.add(job)
                self._draw(stage)

    def write(self, show: Callable[[], object]) -> None:
        """Show something else, above the lines that change."""
        with self._lock, tqdm.external_write_mode(file=self._stream):
            show()

    def close(self) -> None:
        """Show a last line of each stage that has begun and is not complete."""
        self._closed.set()
        with self._lock:
            for stage in self._running():
                self._draw(stage, last=True)
            self._stage_of = {}

    def _running(self) -> list[Stage]:
        stages = {stage.name: stage for stage in self._stage_of.values()}.values()
        return [stage for stage in stages if stage.started is not None and not stage.complete]

    def _keep_up_to_date(self) -> None:
        while not self._closed.wait(TICK_S):
            with self._lock:
                for stage in self._running():
                    self._draw(stage)

    def _draw(self, stage: Stage, last: bool = False) -> None:
        now = self._clock()
        if stage.bar is not None:
            stage.bar.set_description_str(f"{stage.line(now):<{LINE_WIDTH}}")  # over what another bar left there
            if last or stage.complete:
                stage.bar.close()
            return
        step = STEPS * len(stage.done) // len(stage.jobs)
        if last or stage.complete or now - stage.written >= (STEP_S if step > stage.step else SILENT_S):
            stage.written, stage.step = now, step
            self.write(lambda: print(stage.line(now), file=self._stream, flush=True))
