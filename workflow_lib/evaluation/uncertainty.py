"""Intervals of Omega, paired differences and the spread over seeds."""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby
from math import isnan

from workflow_lib.config.twins import twin_of
from workflow_lib.csv_rows import cells
from workflow_lib.errors import UserError
from workflow_lib.evaluation.bootstrap import Difference, Resampling, resample
from workflow_lib.evaluation.evidence_rows import DifferenceRow, NoteRow, SeedsRow, UncertaintyRow
from workflow_lib.evaluation.labelled_entries import LabelledEntry
from workflow_lib.evaluation.seeds import omega_over_seeds

NAN = float("nan")
UNDEFINED = Difference(NAN, NAN, NAN, NAN)
Pair = tuple[int, int]  # places of two entries


def uncertainty_rows(
    entries: Sequence[LabelledEntry], resampling: Resampling
) -> tuple[list[UncertaintyRow], list[DifferenceRow], list[NoteRow]]:
    """Rows of uncertainty.csv and differences.csv, and a note for every pair that could not be compared."""
    resampled = resample([entry.result for entry in entries], resampling)
    drawn = (resampling.replicates, resampling.seed)
    intervals = []
    for entry, one in zip(entries, resampled, strict=True):
        around = one.interval()
        ends = (around.low, around.high, resampling.level)
        intervals.append(UncertaintyRow(*entry.identity, around.omega, *ends, *drawn))
    rows, notes = [], []
    for place, other in _pairs(entries):
        a, b = entries[place], entries[other]
        try:
            found = resampled[place].minus(resampled[other])
        except UserError as error:
            found = UNDEFINED
            notes.append(NoteRow(a.suite, a.result.name, "", "", f"no paired difference: {error}"))
        who = (*a.identity[:5], *b.identity[2:5], a.untrained or b.untrained)
        figures = (found.difference, found.low, found.high, resampling.level, found.same_sign)
        rows.append(DifferenceRow(*who, *figures, *drawn))
    return sorted(intervals, key=cells), sorted(rows, key=cells), notes


def seed_rows(entries: Sequence[LabelledEntry]) -> list[SeedsRow]:
    """Omega of each entry as mean and sample standard deviation over the seeds of adapted models."""
    rows = []
    for (suite, protocol, kind, name), group in groupby(entries, key=lambda entry: entry.identity[:4]):
        of_entry = list(group)
        found = omega_over_seeds([entry.result for entry in of_entry])
        untrained = any(entry.untrained for entry in of_entry)
        rows.append(SeedsRow(suite, protocol, kind, name, untrained, found.seeds, found.mean, found.sd))
    return sorted(rows, key=cells)


def _pairs(entries: Sequence[LabelledEntry]) -> Iterator[Pair]:
    """All pairs of systems and all pairs of branches of one protocol, and each system with its best branch.

    An equal-weight twin comes before its system: the difference says what equal weights gain.
    """
    for protocol in sorted({entry.result.protocol for entry in entries}):
        places = [place for place, entry in enumerate(entries) if entry.result.protocol == protocol]
        systems = [place for place in places if entries[place].result.kind == "system"]
        branches = [place for place in places if place not in systems]
        for a, b in (*combinations(systems, 2), *combinations(branches, 2)):
            # Adapted models of one seed with each other, and what has no seed with each of them.
            if len({entries[a].result.seed, entries[b].result.seed} - {""}) < 2:
                twin = twin_of(entries[b].result.name) == entries[a].result.name
                yield (b, a) if twin else (a, b)
        yield from dict.fromkeys(_pairs_with_best(entries, places, systems))


def _pairs_with_best(entries: Sequence[LabelledEntry], places: Sequence[int], systems: Sequence[int]) -> Iterator[Pair]:
    """By seed, the systems of that seed and those without one, each with the best branch among the same."""
    seeds = sorted({entries[place].result.seed for place in places} - {""}) or [""]
    for seed in seeds:
        here = [place for place in places if entries[place].result.seed in (seed, "")]
        results = {place: entries[place].result for place in here}
        defined = [place for place, one in results.items() if one.kind == "branch" and not isnan(one.omega)]
        # Of equal branches the first; none where none has a defined Omega.
        best = max(defined, key=lambda place: results[place].omega, default=None)
        yield from ((system, best) for system in systems if best is not None and system in here)
