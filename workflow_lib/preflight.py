"""What a real run looks at before its first job: all that is missing or faulty, said at once, with nothing written."""

import fcntl
import os
from pathlib import Path

from workflow_lib.errors import UserError
from workflow_lib.manifest import format_faults, index_suite
from workflow_lib.paths import fill
from workflow_lib.plan import Plan


def check_ready(plan: Plan) -> None:
    """Raise one UserError: what the configuration names and is not there, else every faulty recording of all suites.

    Only machines without a manifest are looked at: those that have one are watched through their folders' time stamps.
    """
    if missing := plan.missing():
        raise UserError("\n".join(f"config: {line}" for line in missing))
    faults = [fault for suite in plan.suites for fault in _faults(plan, suite)]
    if faults:
        raise UserError(format_faults(faults))


def hold_run_lock(path: Path) -> None:
    """Take the lock of this folder until the process ends, however it ends; UserError if another run holds it.

    Snakemake's lock files stay behind when a run is killed, and the next one would have to be told to remove them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # never closed: the system does
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another run is at work in {Path.cwd()}: wait for it, or end it") from None


def _faults(plan: Plan, name: str) -> list:
    suite = plan.suites[name]
    if suite.root is None or suite.simulate:
        return []
    new = [m for m in suite.machines if not Path(fill(plan.paths.manifest, suite=name, machine=m)).exists()]
    return index_suite(suite.root, new, suite=name, **plan.reading(name))[1]
