"""Time of the evidence half on one core: bootstrap, grid search, linear program.

    .venv/bin/python tests/benchmarks/evidence.py --repeat 3

Tables are those of tests/golden/fusion: four detectors, seven machines, 200 test clips each. The fifth branch is one of
them, each score times a log-normal factor drawn with a fixed seed (tests/unit/real_scores.py): it costs what a real one
does, and its figures mean nothing. Prints one line per measurement. Processor time counts: other jobs on the machine
stretch the clock.
"""

import os
import platform
import time
from collections.abc import Callable
from itertools import combinations

import measure
from real_scores import BRANCHES, FIFTH, branch_results, five_branches

from workflow_lib.evaluation.bootstrap import Resampling, resample
from workflow_lib.fusion.cross_fit import cross_fit
from workflow_lib.fusion.weight_grid import simplex_grid

FIVE = (*BRANCHES, FIFTH)


def main() -> None:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    measure.set_threads(1)
    core = one_core()
    tables = five_branches()
    print(f"{measure.machine_in_words()}, core {core} alone, Python {platform.python_version()}")
    report("bootstrap: 5 results x 7 machines x 2000, 5 intervals, 10 differences", lambda: bootstrap(tables), repeat)
    for branches, step in ((FIVE, 0.05), (BRANCHES, 0.1)):
        what = f"grid: {len(branches)} branches, step {step} ({len(simplex_grid(len(branches), step)):,} points)"
        report(f"{what}, 7 folds", lambda branches=branches, step=step: cross_fit(tables, branches, step), repeat)
    for branches in (FIVE, BRANCHES):
        what = f"linear program: {len(branches)} branches, 7 folds"
        report(what, lambda branches=branches: cross_fit(tables, branches, search="linear_program"), repeat)


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
        begin, used = time.perf_counter(), sum(os.times()[:4])  # of this process and of those it has waited for
        measured()
        spent.append((sum(os.times()[:4]) - used, time.perf_counter() - begin))
    (best, wall), (worst, _) = min(spent), max(spent)
    print(f"{what}: {best:.2f} to {worst:.2f} s of processor time; {wall:.2f} s on the clock", flush=True)


def one_core() -> int:
    """Keep this process, and the solver that it starts, to one core where the system can; that core."""
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


if __name__ == "__main__":
    main()
