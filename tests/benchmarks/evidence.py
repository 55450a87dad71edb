"""Time of the evidence half on one core: bootstrap, grid search, linear program.

    .venv/bin/python tests/benchmarks/evidence.py --repeat 3

Tables are those of tests/golden/fusion: four detectors, seven machines, 200 test clips each. The fifth branch is one of
them, each score times a log-normal factor drawn with a fixed seed (tests/unit/real_scores.py): it costs what a real one
does, and its figures mean nothing. Prints one line per measurement. Processor time counts: other jobs on the machine
stretch the clock.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]

from real_scores import BRANCHES, FIFTH, branch_results, five_branches  # noqa: E402

from workflow_lib.evaluation.bootstrap import Resampling, resample  # noqa: E402
from workflow_lib.fusion.cross_fit import cross_fit  # noqa: E402
from workflow_lib.fusion.weight_grid import simplex_grid  # noqa: E402

FIVE = (*BRANCHES, FIFTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    core = one_core()
    tables = five_branches()
    print(f"{processor()}, core {core} alone, Python {platform.python_version()}")
    report("bootstrap: 5 results x 7 machines x 2000, 5 intervals, 10 differences", lambda: bootstrap(tables), repeat)
    points = len(simplex_grid(5, 0.05))
    report(
        f"grid: five branches, step 0.05 ({points:,} points), 7 folds", lambda: cross_fit(tables, FIVE, 0.05), repeat
    )
    points = len(simplex_grid(4, 0.1))
    report(f"grid: four branches, step 0.1 ({points} points), 7 folds", lambda: cross_fit(tables, BRANCHES), repeat)
    report("linear program: five branches, 7 folds", lambda: cross_fit(tables, FIVE, search="linear_program"), repeat)
    report(
        "linear program: four branches, 7 folds", lambda: cross_fit(tables, BRANCHES, search="linear_program"), repeat
    )


def bootstrap(tables) -> None:
    """Intervals of five results and all their paired differences."""
    resampled = resample(branch_results(tables), Resampling())
    for one in resampled:
        one.interval()
    for a, b in combinations(resampled, 2):
        a.minus(b)


def report(what: str, measured: Callable[[], object], repeat: int) -> None:
    """Best and worst processor time of `repeat` calls, the solver's included, and the wall time of the best."""
    spent = []
    for _ in range(repeat):
        begin, used = time.perf_counter(), processor_time()
        measured()
        spent.append((processor_time() - used, time.perf_counter() - begin))
    (best, wall), (worst, _) = min(spent), max(spent)
    print(f"{what}: {best:.2f} to {worst:.2f} s of processor time; {wall:.2f} s on the clock", flush=True)


def processor_time() -> float:
    """Seconds that this process and the finished processes it started have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def one_core() -> int:
    """Keep this process, and the solver that it starts, to one core where the system can; that core."""
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def processor() -> str:
    """The processor's name and what it can do at once, as /proc/cpuinfo says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    vectors = [name for name in ("avx512f", "avx2") if name in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.machine())} ({', '.join(vectors) or 'no AVX2'})"


if __name__ == "__main__":
    main()
