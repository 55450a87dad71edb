"""Checks before the first job of a run: all that is missing or faulty, reported at once, before anything is written."""

import fcntl
import logging
import os
import sys
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from workflow_lib.dataset.manifest import Fault, format_faults, index_machine
from workflow_lib.errors import UserError
from workflow_lib.plan.plan import Plan
from workflow_lib.plan.requirements import missing_suites, missing_weights
from workflow_lib.plan.submission import faults as submission_faults

log = logging.getLogger(__name__)
SUBMITTING = ("submission", "write_submission")


def check_ready(plan: Plan, jobs: Iterable[Any]) -> None:
    """Raise one UserError with all files that the jobs need and lack, else with all faulty recordings they would index.

    `jobs` are Snakemake's jobs that are about to run, so that a partial target asks for no more than it needs.
    """
    jobs = list(jobs)
    if any(job.rule.name in SUBMITTING for job in jobs) and (unfit := submission_faults(plan)):
        raise UserError("\n".join(f"config: {line}" for line in unfit))
    if " " in sys.executable:
        raise UserError(f"{sys.executable}: Snakemake runs no scripts from a path with a space: set up with make setup")
    to_index = sorted({(j.wildcards.suite, j.wildcards.machine) for j in jobs if j.rule.name == "index_machine"})
    indexed = {suite: [machine for _, machine in pairs] for suite, pairs in groupby(to_index, itemgetter(0))}
    models = sorted({job.wildcards.model for job in jobs if job.rule.name in ("embed_machine", "train_adapter")})
    if missing := [*missing_suites(plan, indexed), *missing_weights(plan, models)]:
        raise UserError("\n".join(f"config: {line}" for line in missing))
    faults: list[Fault] = []
    for name, machines in indexed.items():
        suite = plan.suites[name]
        if suite.root is not None and not suite.is_made:
            rules = {"suite": name, **plan.recordings.index_rules(name)}
            faults += sorted(fault for machine in machines for fault in index_machine(suite.root, machine, **rules)[1])
    if faults:
        raise UserError(format_faults(faults))


def remarks(plan: Plan) -> list[str]:
    """One line for each suite with folders that are not used, and for each entry that is left out."""
    lines = []
    for name in plan.run_suites:
        suite = plan.suites[name]
        if suite.root and suite.present and not suite.is_made:
            folders = sorted(path.name for path in Path(suite.root).iterdir() if path.is_dir())
            unused = [path for path in folders if not path.startswith(".") and path not in suite.machines]
            lines += [f"suite {name}: not a machine of it, not used: {', '.join(unused)}"] if unused else []
        lines += [f"suite {name}: {what} is left out: {reason}" for what, reason in plan.reported.left_out(name)]
    return lines


def hold_run_lock(path: Path) -> None:
    """Take the lock of this folder until the process ends, however it ends; UserError if another run holds it.

    Snakemake's own lock files outlive a killed run, and somebody has to remove them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # never closed: the system does
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another run is at work in {Path.cwd()}: wait for it, or end it") from None
    except OSError as error:  # a file system without locks
        log.warning("%s cannot be locked (%s): do not start two runs in this folder", path, error)
