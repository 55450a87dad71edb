"""The demo suite: machines with physical models and graded faults, heard by a near and a far microphone in one room.

Importing this package costs nothing but the standard library, so the names are at hand while a DAG is built.
"""

from pathlib import Path
from pkgutil import iter_modules

DEFAULT_SEVERITY = (0.3, 1.0)


def machine_kinds() -> list[str]:
    """Names of the machines that can be simulated: one module of `workflow_lib.simulation.machines` each, sorted."""
    return sorted(module.name for module in iter_modules([str(Path(__file__).parent / "machines")]))


def simulate_machine(
    machine: str,
    folder: Path,
    *,
    seed: int,
    seconds: float,
    train_source: int,
    train_target: int,
    test_per_cell: int,
    severity: tuple[float, float] = DEFAULT_SEVERITY,
) -> list[Path]:
    """Write `<folder>/train/*.wav` and `<folder>/test/*.wav` under challenge names; return them, train first, sorted.

    Files are 16-bit PCM, 16 kHz, two channels (0 near, 1 far). Each of the four test cells (source or target, normal
    or anomaly) holds `test_per_cell` clips; a fault's grade is drawn uniformly from `severity`, 0 < low <= high <= 1.
    The same arguments give the same bytes, and a clip depends on the seed, the machine, its own name, its length and
    the severity only, not on how many others are made. Raises UserError for a machine, count, length, severity, seed
    or folder that cannot be used.
    """
    from workflow_lib.simulation.suite import write_machine

    return write_machine(machine, Path(folder), seed, seconds, (train_source, train_target, test_per_cell), severity)
