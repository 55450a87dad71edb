"""The demo suite: machines with physical models and graded faults, recorded by a near and a far microphone in one room.

`pseudo` disturbs recorded normal clips, for rankings of branches without labels.

Importing this package costs nothing but the standard library, so the names are at hand while a DAG is built.
"""

from pathlib import Path
from pkgutil import iter_modules

SAMPLE_RATE_HZ = 16000  # of all that is simulated


def machine_kinds() -> list[str]:
    """Names of the machines that can be simulated: one module of `workflow_lib.simulation.machines` each, sorted."""
    return sorted(module.name for module in iter_modules([str(Path(__file__).parent / "machines")]))
