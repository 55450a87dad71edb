"""A simulated machine: operating conditions of both domains, graded faults, and the sound that it radiates."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from workflow_lib.errors import UserError
from workflow_lib.simulation import machine_kinds
from workflow_lib.simulation.signals import coloured_noise, shaft_turns


@dataclass(frozen=True)
class Condition:
    """One operating condition: the attribute part of the clip name, and its effect on machine and background.

    `speed` and `load` are relative to the machine's rated values, `background_db` raises (or lowers) the background,
    `background` names the noise sources that run (workflow_lib.simulation.background).
    """

    attributes: str
    speed: float = 1.0
    load: float = 1.0
    background_db: float = 0.0
    background: tuple[str, ...] = ("hum", "ventilation", "motor")


@dataclass(frozen=True)
class Operation:
    """The running of a machine during one clip: inputs of its model.

    Normal sound is drawn from `rng` and a fault's own sound from `fault_rng`, so that the same clip with and without a
    fault, or with a heavier one, differs by the fault alone.
    """

    samples: int
    condition: Condition
    rng: np.random.Generator
    fault_rng: np.random.Generator
    fault: str | None = None
    severity: float = 0.0

    def grade(self, fault: str) -> float:
        """Severity of this fault, 0 for a machine that does not have it."""
        return self.severity if fault == self.fault else 0.0

    def shaft(self, rate_hz: float, offset: float = 0.01) -> np.ndarray:
        """Angle in turns (samples,) of a shaft of this machine, as `shaft_turns`."""
        return shaft_turns(self.rng, self.samples, rate_hz, offset)

    def noise(self, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Stationary noise (samples,) of RMS 1, as `coloured_noise`."""
        return coloured_noise(self.rng, self.samples, gain)


@dataclass(frozen=True)
class Machine:
    """A machine: conditions per domain, names of its faults, `sound(operation) -> (samples,)` in units of its own.

    `near_ratio_db` is the span from which each clip's machine-to-background ratio at the near microphone is drawn.
    """

    source: tuple[Condition, ...]
    target: tuple[Condition, ...]
    faults: tuple[str, ...]
    sound: Callable[[Operation], np.ndarray]
    near_ratio_db: tuple[float, float] = (-9.0, 3.0)


def load_machine(name: str) -> Machine:
    """The constant MACHINE of the module of that name in `workflow_lib.simulation.machines`; UserError if none is."""
    if name not in machine_kinds():
        raise UserError(f"simulate: no machine is called {name!r}: choose from {', '.join(machine_kinds())}")
    return import_module(f"workflow_lib.simulation.machines.{name}").MACHINE


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random generator of its own for each seed and sequence of names, alike on every computer and in every process."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, *np.frombuffer(digest, dtype="<u4").tolist()]))


def make_operation(
    samples: int, condition: Condition, rng: np.random.Generator, fault: str | None = None, severity: float = 0.0
) -> Operation:
    """Operation with two independent generators, both children of `rng`: one for the machine, one for its fault."""
    machine_rng, fault_rng = rng.spawn(2)
    return Operation(samples, condition, machine_rng, fault_rng, fault, severity)
