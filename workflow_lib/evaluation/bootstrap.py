"""Intervals of Omega and of differences: a stratified bootstrap over test clips, paired between results.

The clips of each machine, domain and label are drawn again with replacement, as many as there are, so every resample
has the sizes of the real set. Weights, calibration and models stay as they were chosen: an interval says how much
Omega depends on which clips were recorded of these machines, given the fit; not how it varies with the choice of
weights, the seed of an adapted model, or other machines.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_lib.errors import UserError, and_more
from workflow_lib.metrics import harmonic_means, resampled_metrics
from workflow_lib.scoring.result import Result, one_protocol
from workflow_lib.scoring.score_table import ScoreTable


@dataclass(frozen=True)
class Resampling:
    """How often clips are drawn again, the level of the percentile intervals, and the seed."""

    replicates: int = 2000
    level: float = 0.95
    seed: int = 13711

    def __post_init__(self) -> None:
        """Refuse what gives no interval."""
        if self.replicates < 1 or not 0 < self.level < 1 or self.seed < 0:
            raise UserError(
                f"bootstrap of {self.replicates} replicates, level {self.level}, seed {self.seed}: write at least one "
                "replicate, a level between 0 and 1 and a seed from 0"
            )

    @property
    def tails(self) -> tuple[float, float]:
        """The quantiles that bound an interval."""
        return (1 - self.level) / 2, (1 + self.level) / 2


@dataclass(frozen=True)
class Interval:
    """Omega of a result and its percentile interval; all NaN where Omega is undefined."""

    omega: float
    low: float
    high: float
    protocol: str = ""


@dataclass(frozen=True)
class Difference:
    """Omega of one result minus that of another on the same resampled clips; all NaN where one is undefined.

    same_sign: the fraction of resamples whose difference has the sign of the observed one; NaN where that is 0.
    """

    difference: float
    low: float
    high: float
    same_sign: float
    protocol: str = ""


@dataclass(frozen=True, eq=False)
class Resampled:
    """A result with Omega of every resample, (r,) float64."""

    result: Result
    omega: NDArray[np.float64]
    resampling: Resampling

    def interval(self) -> Interval:
        """Omega with its percentile interval."""
        low, high = np.quantile(self.omega, self.resampling.tails).tolist()
        return Interval(self.result.omega, low, high, self.result.protocol)

    def minus(self, other: "Resampled") -> Difference:
        """Paired difference; UserError for another protocol, other machines, clips or resamples."""
        check_comparable(self.result, other.result)
        if self.resampling != other.resampling:
            raise UserError(f"{self.result.label} and {other.result.label} were resampled differently: use one setting")
        observed, differences = self.result.omega - other.result.omega, self.omega - other.omega
        low, high = np.quantile(differences, self.resampling.tails).tolist()
        signed = bool(observed) and not np.isnan(observed)
        held = float((np.sign(differences) == np.sign(observed)).mean()) if signed else float("nan")
        return Difference(observed, low, high, held, self.result.protocol)


def resample(results: Iterable[Result], resampling: Resampling | None = None) -> list[Resampled]:
    """Omega of each result on the same resampled clips, in the order given.

    A machine's resamples follow from the seed, its name and its clips' labels alone: neither other machines nor other
    results, nor any order, change them.
    """
    resampling = resampling or Resampling()
    drawn: dict[bytes, NDArray[np.int64]] = {}
    return [Resampled(result, _omegas(result, resampling, drawn), resampling) for result in results]


def compare(a: Result, b: Result, resampling: Resampling | None = None) -> Difference:
    """Omega of `a` minus Omega of `b` with its paired interval; see `Resampled.minus`."""
    check_comparable(a, b)
    first, second = resample((a, b), resampling)
    return first.minus(second)


def check_comparable(a: Result, b: Result) -> None:
    """UserError where two results cannot be paired: their protocol, machines, clips or labels differ."""
    one_protocol((a.protocol, b.protocol))
    pair = f"{a.label} and {b.label} cannot be compared in pairs"
    if lone := sorted(set(a.tables) ^ set(b.tables)):
        raise UserError(f"{pair}: only one of them has machine {and_more(lone)}")
    for machine, table in a.tables.items():
        other = b.tables[machine]
        if len(clips := np.setxor1d(table.clip, other.clip)):
            raise UserError(f"{pair}: on {machine}, only one of them has clip {and_more(clips.tolist())}")
        same = (table.domain == other.domain) & ((table.anomaly == other.anomaly) | np.isnan(table.anomaly))
        if not (same & (np.isnan(table.anomaly) == np.isnan(other.anomaly))).all():
            raise UserError(f"{pair}: on {machine}, their domains or labels differ")


def draw_counts(table: ScoreTable, machine: str, resampling: Resampling) -> NDArray[np.int64]:
    """How often each clip is in each resample: (r, n), drawn anew within each domain and label."""
    rng = np.random.default_rng([resampling.seed, *machine.encode()])
    counts = np.zeros((resampling.replicates, len(table.clip)), dtype=np.int64)
    label = np.select([table.anomaly == 1, table.anomaly == 0], ["anomaly", "normal"], "")
    keys = np.strings.add(np.strings.add(table.domain, "/"), label)
    for stratum in (np.flatnonzero(keys == key) for key in np.unique(keys)):  # in a fixed order
        drawn = rng.integers(len(stratum), size=(resampling.replicates, len(stratum)))
        flat = drawn + np.arange(resampling.replicates)[:, None] * len(stratum)
        counts[:, stratum] = np.bincount(flat.ravel(), minlength=flat.size).reshape(flat.shape)
    return counts


def _omegas(result: Result, resampling: Resampling, drawn: dict[bytes, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Omega (r,) of all resamples; NaN throughout where a label that it needs is unknown."""
    if np.isnan(result.omega):
        return np.full(resampling.replicates, np.nan)
    figures = []
    for machine, table in result.tables.items():
        key = b"\0".join((machine.encode(), table.clip.tobytes(), table.domain.tobytes(), table.anomaly.tobytes()))
        if key not in drawn:
            drawn[key] = draw_counts(table, machine, resampling)
        domain = np.where(table.domain == "", "source", table.domain)  # only of anomalies, which all figures share
        figures.append(resampled_metrics(table.score, table.anomaly, domain, drawn[key]))
    return harmonic_means(np.concatenate(figures).T)
