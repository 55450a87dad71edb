"""What goes wrong on clusters, done once to the process of a rule's script: found on PYTHONPATH by the jobs of a test.

FAULT: hold (stop working for HOLD_S seconds, as a job that is far too slow), kill_before_rename (die between writing an
output and moving it into place), memory (let the process have no more address space than Slurm granted the job). The
first two happen to the first process only, which FAULT_MARK remembers.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path


def _is_script() -> bool:
    return any("/.snakemake/scripts/" in argument for argument in sys.orig_argv)


def _first() -> bool:
    try:
        os.close(os.open(os.environ["FAULT_MARK"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _hold() -> None:
    if _first():
        time.sleep(float(os.environ["HOLD_S"]))


def _kill_before_rename() -> None:
    replace = os.replace

    def die_once(source, target, *arguments, **options):
        if ".part." in str(source) and _first():
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(source, target, *arguments, **options)

    os.replace = die_once


def _memory() -> None:
    asked = ["squeue", "--noheader", f"--jobs={os.environ['SLURM_JOB_ID']}", "--format=%m"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    granted = int(float(answer[:-1]) * 2 ** {"M": 20, "G": 30}[answer[-1]])
    resource.setrlimit(resource.RLIMIT_AS, (granted, granted))
    with Path(os.environ["FAULT_MARK"]).open("a", encoding="utf-8") as file:
        file.write(f"{granted >> 20}\n")


if "FAULT" in os.environ and _is_script():
    {"hold": _hold, "kill_before_rename": _kill_before_rename, "memory": _memory}[os.environ["FAULT"]]()
