"""Which machines are held out together: each alone, or in groups where a training for each machine is too many.

Loaded while the DAG is built, so it imports only the standard library.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from workflow_lib.errors import UserError
from workflow_lib.plan.paths import NO_ONE
from workflow_lib.plan.suites import Suite


def folds_of(machines: Sequence[str], size: int) -> dict[str, tuple[str, ...]]:
    """Name of a fold -> its machines; together all machines of a suite, each once.

    size: at most so many machines in a fold (config `folds.size`). With 1 a fold is named after its machine; else folds
    are neighbours in the suite's order, as equal in size as can be, and named fold01, fold02, ... Neighbours, since
    machines of one type mostly have neighbouring names: what is known of a twin stays out of a machine's fold.
    UserError if a machine has the name of a fold of several.
    """
    if size == 1:
        return {machine: (machine,) for machine in machines}
    count = -(-len(machines) // size)
    digits = max(2, len(str(count)))
    bounds = [len(machines) * number // count for number in range(count + 1)] if count else []
    folds = {
        f"fold{number:0{digits}}": tuple(machines[start:end]) for number, (start, end) in enumerate(pairwise(bounds), 1)
    }
    if taken := sorted(set(folds).intersection(machines)):
        names = ", ".join(taken)
        raise UserError(
            f"config: folds.size: {names} is the name of a machine and of a fold: rename its folder, or size: 1"
        )
    return folds


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds of all suites."""

    suites: Mapping[str, Suite]
    size: int

    @cached_property
    def by_name(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Suite -> name of a fold -> machines that are held out together."""
        return {name: folds_of(suite.machines, self.size) for name, suite in self.suites.items()}

    @cached_property
    def by_machine(self) -> dict[str, dict[str, str]]:
        """Suite -> machine -> the fold in which it is held out."""
        return {
            suite: {machine: fold for fold, machines in folds.items() for machine in machines}
            for suite, folds in self.by_name.items()
        }

    def held_out(self, suite: str, fold: str) -> tuple[str, ...]:
        """Machines that a fold of a suite holds out: none for the fold of a complete-development fusion."""
        if fold == NO_ONE:
            return ()
        folds = self.by_name[suite]
        if fold not in folds:
            raise UserError(f"suite {suite} has no fold {fold} (folds.size): name one of {', '.join(folds)}")
        return folds[fold]

    def other_machines(self, suite: str, folds: Iterable[str]) -> list[str]:
        """Machines of a suite that none of these folds holds out, in the suite's order."""
        held_out = {machine for fold in folds for machine in self.held_out(suite, fold)}
        return [machine for machine in self.suites[suite].machines if machine not in held_out]
