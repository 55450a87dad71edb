"""Results: scores of a branch or system with their protocol; results of two protocols are never compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from workflow_lib.errors import UserError, nearest
from workflow_lib.metrics import MachineMetrics, official_score
from workflow_lib.protocols import PROTOCOLS
from workflow_lib.scoring.score_table import ScoreTable

KINDS = ("branch", "system")


def known_protocol(protocol: str) -> str:
    """The protocol itself; UserError for a name that is none."""
    if protocol not in PROTOCOLS:
        raise UserError(f"there is no protocol {protocol!r}: {nearest(protocol, PROTOCOLS)}")
    return protocol


def one_protocol(protocols: Iterable[str]) -> str:
    """The single protocol of figures that are to be compared; UserError where there are several or none."""
    found = sorted(set(protocols))
    if len(found) != 1:
        raise UserError(
            f"one comparison holds one protocol, not {' and '.join(found) or 'none'}: their figures answer different "
            "questions; compare figures of the same protocol"
        )
    return known_protocol(found[0])


@dataclass(frozen=True, eq=False)
class Result:
    """Scores of one branch or system under one protocol and seed; `seed` is "" for results without a random seed.

    tables: machine -> score table of its test clips, sorted by machine.
    """

    kind: str
    name: str
    protocol: str
    seed: str
    tables: Mapping[str, ScoreTable]

    def __post_init__(self) -> None:
        """Refuse a protocol or kind that does not exist, and a result without a machine."""
        known_protocol(self.protocol)
        if self.kind not in KINDS:
            raise UserError(f"{self.name}: a result is of a {' or '.join(KINDS)}, not {self.kind!r}")
        if not self.tables:
            raise UserError(f"{self.label}: there is no score table: give those of at least one machine")
        # By name, so that no figure depends on the order of the machines, not even in its last bit.
        object.__setattr__(self, "tables", dict(sorted(self.tables.items())))

    @property
    def label(self) -> str:
        """What messages call it: kind, name, seed and protocol."""
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{self.kind} {self.name}{seed} ({self.protocol})"

    @cached_property
    def metrics(self) -> dict[str, MachineMetrics]:
        """The three figures of every machine; NaN where its labels define none."""
        return {machine: table.defined_metrics() for machine, table in self.tables.items()}

    @cached_property
    def omega(self) -> float:
        """Omega over all machines; NaN as soon as one figure is undefined."""
        return official_score(list(self.metrics.values()))
