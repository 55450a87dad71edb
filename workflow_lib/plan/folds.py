"""Which machines are held out together: each alone, or in groups where a training for each machine is too many.

Imported while the DAG is built, so only the standard library lies below it.
"""

from collections.abc import Sequence
from itertools import pairwise

from workflow_lib.errors import UserError


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
        told = ", ".join(taken)
        raise UserError(
            f"config: folds.size: {told} is the name of a machine and of a fold: rename its folder, or size: 1"
        )
    return folds
