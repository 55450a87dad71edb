"""The tables of intervals, differences and seeds hold every entry and pair that one protocol allows, and no other."""

import math

import numpy as np
import pytest

from workflow_lib.csv_rows import cells, read_rows
from workflow_lib.evaluation import Evidence, write_tables
from workflow_lib.evaluation.bootstrap import Resampling, compare, resample
from workflow_lib.evaluation.evidence_rows import TABLES, UncertaintyRow
from workflow_lib.evaluation.labelled_entries import LabelledEntry
from workflow_lib.evaluation.uncertainty import seed_rows, uncertainty_rows
from workflow_lib.scoring.result import Result
from workflow_lib.scoring.score_file import write_scores
from workflow_lib.scoring.score_table import ScoreTable

FEW = Resampling(replicates=40, level=0.9, seed=5)
LABELS = {
    "clip": [f"{i:02d}.wav" for i in range(24)],
    "domain": ["source", "target"] * 12,
    "anomaly": np.arange(24) // 2 % 2,
}


def entry(kind, name, protocol="complete_dev", seed="", gain=0.5, untrained=False, clips=slice(None), draw=0):
    """An entry of drawn scores: the larger the gain, the better."""
    rng = np.random.default_rng([draw, *name.encode(), *seed.encode()])
    columns = {key: np.asarray(column)[clips] for key, column in LABELS.items()}
    score = rng.normal(size=24)[clips] + gain * columns["anomaly"]
    tables = {machine: ScoreTable(**columns, score=score + 0.1 * m) for m, machine in enumerate(("fan", "pump"))}
    return LabelledEntry("dev", untrained, Result(kind, name, protocol, seed, tables))


def tabulated(entries):
    return uncertainty_rows(sorted(entries, key=lambda one: one.identity), FEW)


def pairs_of(rows):
    return [(row.protocol, row.a, row.b) for row in rows]


def test_every_entry_has_its_interval():
    entries = [entry("branch", "a"), entry("system", "S", "cross_fitted", "13711", untrained=True)]
    rows, _, _ = tabulated(entries)
    for row, one in zip(rows, entries, strict=True):
        found = resample([one.result], FEW)[0].interval()
        wanted = (found.omega, found.low, found.high, 0.9, 40, 5)
        assert row == UncertaintyRow(*one.identity, *wanted)


def test_systems_and_branches_of_one_protocol_are_compared_and_each_system_with_the_best_branch():
    entries = [
        entry("branch", "good", gain=2),
        entry("branch", "poor", gain=0),
        entry("branch", "fixed", "fixed_lomo", gain=9),
        entry("system", "S"),
        entry("system", "T"),
        entry("system", "S", "cross_fitted"),
        entry("system", "T", "cross_fitted", untrained=True),
    ]
    _, rows, notes = tabulated(entries)
    assert pairs_of(rows) == [
        ("complete_dev", ("branch", "good", ""), ("branch", "poor", "")),
        ("complete_dev", ("system", "S", ""), ("branch", "good", "")),
        ("complete_dev", ("system", "S", ""), ("system", "T", "")),
        ("complete_dev", ("system", "T", ""), ("branch", "good", "")),
        ("cross_fitted", ("system", "S", ""), ("system", "T", "")),
    ]
    assert [row.untrained for row in rows] == [False] * 4 + [True] and not notes
    found = compare(entries[3].result, entries[0].result, FEW)
    figures = [rows[1].difference, rows[1].low, rows[1].high, rows[1].same_sign]
    assert figures == [found.difference, found.low, found.high, found.same_sign]
    assert found.difference == entries[3].result.omega - entries[0].result.omega


def test_a_twin_comes_before_its_system_in_their_difference():
    entries = [
        entry("branch", "good", gain=2),
        entry("branch", "poor", gain=0),
        *(entry("system", name, seed=seed) for name in ("S", "S@equal") for seed in ("1", "2")),
        entry("system", "T"),
        entry("system", "T@equal"),
        entry("system", "Lone@equal"),
    ]
    _, rows, _ = tabulated(entries)
    pairs = {(a[1:], b[1:]) for _, a, b in pairs_of(rows)}
    assert {(("S@equal", seed), ("S", seed)) for seed in ("1", "2")} | {(("T@equal", ""), ("T", ""))} <= pairs
    assert {(("Lone@equal", ""), ("good", "")), (("T", ""), ("S@equal", "2"))} & pairs != set()
    assert len({frozenset(pair) for pair in pairs}) == len(pairs), "each pair in one direction"
    assert not [pair for pair in pairs if {seed for _, seed in pair} == {"1", "2"}]
    systems = {("S", "1"), ("S@equal", "1"), ("T", ""), ("T@equal", ""), ("Lone@equal", "")}
    assert len([pair for pair in pairs if set(pair) <= systems]) == 5 * 4 // 2
    (row,) = (row for row in rows if (row.name_a, row.name_b) == ("T@equal", "T"))
    found = compare(entries[7].result, entries[6].result, FEW)
    assert (row.difference, row.low, row.high) == (found.difference, found.low, found.high)


def test_seeds_are_compared_with_their_own_and_what_has_none_with_each():
    entries = [
        entry("branch", "frozen", gain=1),
        entry("branch", "tuned", seed="1", gain=9),
        entry("branch", "tuned", seed="2", gain=0),
        entry("system", "Plain"),
        entry("system", "Tuned", seed="1"),
        entry("system", "Tuned", seed="2"),
    ]
    _, rows, _ = tabulated(entries)
    plain, first, second = (("system", "Plain", ""), ("system", "Tuned", "1"), ("system", "Tuned", "2"))
    frozen, best, worst = ("branch", "frozen", ""), ("branch", "tuned", "1"), ("branch", "tuned", "2")
    wanted = [
        (frozen, best),
        (frozen, worst),
        (plain, frozen),
        (plain, best),
        (plain, first),
        (plain, second),
        (first, best),
        (second, frozen),
    ]
    # With seed 1 the adapted branch is the best, with seed 2 the frozen one.
    assert [(a, b) for _, a, b in pairs_of(rows)] == sorted(wanted)


def test_different_clips_are_not_compared_and_noted():
    entries = [entry("system", "S"), entry("system", "T", clips=slice(4, None))]
    _, (row,), notes = tabulated(entries)
    assert cells(row)[9:12] == ("", "", "") and cells(row)[13] == ""
    (note,) = notes
    assert note.branch == "S" and "only one of them has clip 00.wav" in note.note


def test_undefined_figures_are_empty_cells():
    blind = entry("system", "S")
    tables = {m: ScoreTable(t.clip, ["source"] * 24, t.anomaly, t.score) for m, t in blind.result.tables.items()}
    undefined = [LabelledEntry("dev", False, Result("system", name, "complete_dev", "", tables)) for name in "ST"]
    intervals, (difference,), _ = tabulated(undefined)
    assert [cells(row)[6:9] for row in intervals] == [("", "", "")] * 2
    assert all(map(math.isnan, (difference.difference, difference.low, difference.high, difference.same_sign)))


def test_seeds_are_summarised_by_entry_and_protocol():
    entries = [
        entry("branch", "tuned", seed="1"),
        entry("branch", "tuned", seed="2", untrained=True),
        entry("branch", "tuned", "fixed_lomo", seed="1"),
        entry("system", "Plain"),
    ]
    omegas = [one.result.omega for one in entries]
    rows = seed_rows(sorted(entries, key=lambda one: one.identity))
    assert [cells(row)[:6] for row in rows] == [
        ("dev", "complete_dev", "branch", "tuned", "yes", 2),
        ("dev", "complete_dev", "system", "Plain", "no", 1),
        ("dev", "fixed_lomo", "branch", "tuned", "no", 1),
    ]
    assert rows[0].omega_mean == pytest.approx(np.mean(omegas[:2]), abs=1e-15)
    assert rows[0].omega_sd == pytest.approx(np.std(omegas[:2], ddof=1), abs=1e-15)
    assert [cells(row)[6:] for row in rows[1:]] == [(repr(omegas[3]), ""), (repr(omegas[2]), "")]


def written(folder, labelled):
    """The tables of two systems of two seeds, as the job writes them."""
    evaluations = []
    for name in ("S", "T"):
        for seed in ("1", "2"):
            one = entry("system", name, seed=seed)
            paths = {m: folder / f"{name}-{seed}-{m}.csv" for m in one.result.tables}
            for machine, path in paths.items():
                write_scores(path, one.result.tables[machine])
            facts = {"suite": "dev", "protocol": "complete_dev", "kind": "system", "name": name, "seed": f"seed{seed}"}
            evaluations.append({**facts, "untrained": False, "tables": {m: str(path) for m, path in paths.items()}})
    config = {"models": {}, "branches": {}, "systems": {"S": {"branches": []}, "T": {"branches": []}}}
    evidence = Evidence("dev", labelled, evaluations[::-1], config, [], [], [], [], bootstrap=FEW)
    write_tables(evidence, folder / "tables")
    names = ("uncertainty", "differences", "seeds")
    return {name: read_rows(folder / "tables" / f"{name}.csv", TABLES[name], "") for name in names}


def test_the_tables_are_written_and_sorted(tmp_path):
    found = written(tmp_path, True)
    assert [len(found[name]) for name in ("uncertainty", "differences", "seeds")] == [4, 2, 2]
    assert all(list(rows) == sorted(rows, key=cells) for rows in found.values())
    assert cells(found["seeds"][0])[:6] == ("dev", "complete_dev", "system", "S", "no", 2)


def test_an_unlabelled_suite_has_headers_alone(tmp_path):
    assert written(tmp_path, False) == {"uncertainty": (), "differences": (), "seeds": ()}
