"""What every script of a rule shares: log, threads, outputs that appear whole, errors of one line.

A script defines `main(job)` and calls `run_job(snakemake, main)`; the library behind it never sees `snakemake`.
"""

import glob
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_lib.errors import UserError

# Once so many bytes were freed, glibc keeps freed arrays up to that size (below its largest M_MMAP_THRESHOLD) for the
# next ones. Before, it maps and clears new memory for each: half of the time of short transforms.
LARGEST_KEPT = 30_000_000
USER_ERROR = "the job ended:"  # precedes a user's error in a log


@dataclass(frozen=True)
class Job:
    """Inputs, params, wildcards and threads of a rule, and its outputs, which are moved into place at the end."""

    input: Any
    output: "Outputs"
    params: Any
    wildcards: Any
    threads: int
    rule: str


class Outputs:
    """Named outputs as paths beside the real ones; `publish` moves all of them into place, `discard` removes them."""

    def __init__(self, final: dict[str, str]) -> None:
        self._final = {name: Path(path) for name, path in final.items()}
        here = socket.gethostname()
        self._part = {
            name: path.with_name(f".{here}-{os.getpid()}.part.{path.name}") for name, path in self._final.items()
        }
        for path in self._final.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_orphans(path, here)

    def __getattr__(self, name: str) -> Path:
        try:
            return self.__dict__["_part"][name]
        except KeyError:
            raise AttributeError(f"the rule has no output named {name!r}") from None

    def place(self, name: str) -> Path:
        """Final path of an output."""
        return self._final[name]

    def publish(self) -> None:
        """Move all outputs into place; RuntimeError if one was not made."""
        missing = [str(self._final[name]) for name, part in self._part.items() if not part.exists()]
        if missing:
            raise RuntimeError(f"the job ended without making {', '.join(missing)}")
        for name, part in self._part.items():
            final = self._final[name]
            if final.is_dir():
                shutil.rmtree(final)
            part.replace(final)

    def discard(self) -> None:
        """Remove all outputs made so far."""
        for part in self._part.values():
            _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_orphans(final: Path, host: str) -> None:
    """Remove partial outputs of killed jobs of this machine."""
    for path in final.parent.glob(f".{glob.escape(host)}-*.part.{glob.escape(final.name)}"):
        process = path.name.removeprefix(f".{host}-").split(".")[0]
        if process.isdigit() and not Path("/proc", process).exists():
            _remove(path)


def run_job(snakemake: Any, main: Callable[[Job], None]) -> None:
    """Run `main` with its log and outputs; exit with 1 and one clear line when the user's input is at fault."""
    limit_threads(snakemake.threads)
    bytearray(LARGEST_KEPT)  # allocated and freed at once
    outputs = Outputs(dict(snakemake.output.items()))
    job = Job(snakemake.input, outputs, snakemake.params, snakemake.wildcards, snakemake.threads, snakemake.rule)
    with log_to(snakemake.log[0] if snakemake.log else None):
        try:
            main(job)
            outputs.publish()
        except UserError as error:
            outputs.discard()
            logging.getLogger(__name__).error("%s %s", USER_ERROR, error)
            print(f"Error in {job.rule}: {error}", file=sys.__stderr__, flush=True)
            sys.exit(1)
        except BaseException:
            outputs.discard()
            logging.getLogger(__name__).exception("%s failed", job.rule)
            raise


def limit_threads(threads: int) -> None:
    """Limit the numeric libraries that the script has imported to the threads of the job."""
    from threadpoolctl import threadpool_limits  # not needed while the DAG is built, which imports this module

    threadpool_limits(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def error_lines(logs: Path, since: float) -> list[str]:
    """Errors for the user, each once, from the logs below a folder that changed since a time (seconds of the epoch)."""
    recent = [path for path in logs.rglob("*.log") if path.stat().st_mtime >= since]
    lines = [line for path in sorted(recent) for line in _errors_of(path)]
    return list(dict.fromkeys(lines))


def _errors_of(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    found = text.partition(f" {USER_ERROR} ")[2]
    return found.splitlines()


@contextmanager
def log_to(path: str | None) -> Iterator[None]:
    """Send the log records of this package, and warnings, to a file."""
    if path is None:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
