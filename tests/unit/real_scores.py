"""The real score tables of tests/golden/fusion, and a fifth branch made of one of them for what needs five."""

import csv
from pathlib import Path

import numpy as np

from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_table import ScoreTable

GOLDEN = Path(__file__).parents[1] / "golden" / "fusion"
MACHINES = sorted(path.stem for path in (GOLDEN / "ae_mse").glob("*.csv"))
BRANCHES = ("ae_mse", "ae_mahalanobis", "alignment", "coherence_mask")
FIFTH = "perturbed"


def real_tables(branches=BRANCHES, machines=MACHINES):
    """Machine -> branch -> ScoreTable: 200 clips each."""
    return {m: {b: _read(GOLDEN / b / f"{m}.csv") for b in branches} for m in machines}


def five_branches(seed=13711):
    """`real_tables` with a fifth branch: `alignment`, each score times a log-normal factor drawn with the seed."""
    tables = real_tables()
    for machine, of_machine in tables.items():
        rng = np.random.default_rng([seed, *machine.encode()])
        table = of_machine["alignment"]
        factor = rng.lognormal(sigma=0.3, size=len(table.score))
        of_machine[FIFTH] = ScoreTable(table.clip, table.domain, table.anomaly, table.score * factor)
    return tables


def rows_of(table, rows):
    return ScoreTable(*(column[rows] for column in vars(table).values()))


def branch_results(tables, protocol="complete_dev"):
    """Each branch of machine -> branch -> ScoreTable as a result."""
    branches = next(iter(tables.values()))
    return [Result("branch", b, protocol, "", {m: of[b] for m, of in tables.items()}) for b in branches]


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return ScoreTable.from_any(list(csv.DictReader(file)), str(path))
