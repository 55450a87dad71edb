"""How sure the figures are: intervals of Omega, paired differences, and the spread over seeds."""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby

from workflow_lib.bootstrap import Difference, Resampled, Resampling, resample
from workflow_lib.errors import UserError
from workflow_lib.evaluation.entries import Entry
from workflow_lib.evaluation.figures import figure
from workflow_lib.evaluation.headers import Row
from workflow_lib.seeds import omega_over_seeds

NAN = float("nan")
UNDEFINED = Difference(NAN, NAN, NAN, NAN)
Pair = tuple[int, int]  # places of two entries


def uncertainty_rows(
    entries: Sequence[Entry], resampling: Resampling
) -> tuple[list[Row], list[Row], list[tuple[str, str]]]:
    """Rows of uncertainty.csv and differences.csv, and (name, note) for every pair that could not be compared."""
    resampled = resample([entry.result for entry in entries], resampling)
    intervals = [
        (*entry.identity, *_interval_cells(one), resampling.replicates, resampling.seed)
        for entry, one in zip(entries, resampled, strict=True)
    ]
    rows, notes = [], []
    for a, b in _pairs(entries):
        try:
            found = resampled[a].minus(resampled[b])
        except UserError as error:
            found = UNDEFINED
            notes.append((entries[a].result.name, f"no paired difference: {error}"))
        rows.append(_difference_row(entries[a], entries[b], found, resampling))
    return sorted(intervals), sorted(rows), sorted(notes)


def seed_rows(entries: Sequence[Entry]) -> list[Row]:
    """Omega of each entry as mean and sample standard deviation over the seeds of adapted models."""
    rows = []
    for (suite, protocol, kind, name), group in groupby(entries, key=lambda entry: entry.identity[:4]):
        of_entry = list(group)
        found = omega_over_seeds([entry.result for entry in of_entry])
        head = (suite, protocol, kind, name, _untrained(of_entry))
        rows.append((*head, found.seeds, figure(found.mean), figure(found.sd)))
    return sorted(rows)


def _interval_cells(one: Resampled) -> tuple[str, ...]:
    found = one.interval()
    return (*map(figure, (found.omega, found.low, found.high)), repr(one.resampling.level))


def _pairs(entries: Sequence[Entry]) -> Iterator[Pair]:
    """All pairs of systems of one protocol, and each system with the best branch of its protocol."""
    for protocol in sorted({entry.result.protocol for entry in entries}):
        places = [place for place, entry in enumerate(entries) if entry.result.protocol == protocol]
        systems = [place for place in places if entries[place].result.kind == "system"]
        yield from (pair for pair in combinations(systems, 2) if _seeds_agree(entries, *pair))
        best = _best_branches(entries, places)
        yield from ((system, branch) for system in systems for branch in best if _seeds_agree(entries, system, branch))


def _seeds_agree(entries: Sequence[Entry], a: int, b: int) -> bool:
    """Adapted models of one seed are compared with each other, and what has no seed with each of them."""
    return entries[a].result.seed == entries[b].result.seed or "" in (entries[a].result.seed, entries[b].result.seed)


def _best_branches(entries: Sequence[Entry], places: Sequence[int]) -> list[int]:
    """The branch of the highest Omega among those of each seed and those without one; of equal ones the first."""
    seeds = sorted({entries[place].result.seed for place in places} - {""}) or [""]
    best = []
    for seed in seeds:
        branches = [p for p in places if entries[p].result.kind == "branch" and entries[p].result.seed in (seed, "")]
        defined = [p for p in branches if entries[p].result.omega == entries[p].result.omega]
        best += [max(defined, key=lambda p: entries[p].result.omega)] if defined else []
    return list(dict.fromkeys(best))


def _difference_row(a: Entry, b: Entry, found: Difference, resampling: Resampling) -> Row:
    first, second = a.result, b.result
    names = (first.kind, first.name, first.seed, second.kind, second.name, second.seed, _untrained((a, b)))
    interval = (*map(figure, (found.difference, found.low, found.high)), repr(resampling.level))
    counts = (resampling.replicates, resampling.seed)
    return (a.suite, first.protocol, *names, *interval, figure(found.same_sign), *counts)


def _untrained(entries: Sequence[Entry]) -> str:
    return "yes" if any(entry.untrained == "yes" for entry in entries) else "no"
