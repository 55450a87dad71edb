"""Linear slider: a carriage goes to and fro; motor tone and rail friction follow its speed, stops knock at the ends.

Model. The position follows a sine, so speed is |cos|. The belt motor's step tone follows the speed (1100 Hz at the
top), rail friction noise is proportional to it, and the carriage knocks on a buffer at each reversal.

Faults: `missed_stroke` (the belt slips in every third half stroke and the carriage stands still for a part of it),
`dry_rail` (friction noise grows and stick-slip whistles at the rail's resonance; Akay, "Acoustics of friction",
J. Acoust. Soc. Am. 111, 2002), `loose_belt` (each reversal rattles: further knocks).

The domains differ in speed and load, and the clip names do not tell (`noAttribute`).
"""

from functools import partial

import numpy as np

from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import Mode, band, crossing_times, impulses, periodic_wave, ring, smooth_steps

STROKE_HZ = 1.0
STEP_TONE_HZ = 1100.0
SLIPPING_SHARE = 1 / 3
MOTOR_ORDERS = np.array([1.0, 0.5, 0.35, 0.2])
BUFFER = (Mode(420, 0.012, 1.0), Mode(1300, 0.008, 0.7), Mode(3000, 0.004, 0.4))
RAIL = (Mode(2600, 0.02, 1.0),)


def sound(operation: Operation) -> np.ndarray:
    """Radiated sound pressure (samples,), arbitrary unit."""
    condition = operation.condition
    turns = operation.shaft(STROKE_HZ * condition.speed, offset=0.03)
    velocity = np.abs(np.cos(2 * np.pi * turns)) * condition.speed * _moving(operation, turns)
    motor_turns = np.cumsum(velocity) * (STEP_TONE_HZ / SAMPLE_RATE_HZ)
    phases = np.exp(2j * np.pi * operation.rng.uniform(size=len(MOTOR_ORDERS)))
    motor = np.sqrt(velocity) * periodic_wave(motor_turns, MOTOR_ORDERS * phases)
    friction = operation.noise(band(600, 5000, 1))
    dry = operation.grade("dry_rail")
    drag = condition.load * velocity * (1 + 0.4 * dry) * friction
    whistle = 0.06 * ring(dry * drag, RAIL) if dry else 0.0
    return 0.6 * motor + 0.5 * drag + whistle + ring(_knocks(operation, turns), BUFFER)


def _moving(operation: Operation, turns: np.ndarray) -> np.ndarray | float:
    """1 where the carriage moves, 0 during half strokes in which the belt slips, (samples,)."""
    grade = operation.grade("missed_stroke")
    if not grade:
        return 1.0
    phase = 2 * turns + 0.5
    half_stroke = np.floor(phase).astype(int) - int(np.floor(phase[0]))
    count = half_stroke[-1] + 1
    slips = np.zeros(count, dtype=bool)
    slips[operation.fault_rng.permutation(count)[: max(1, round(SLIPPING_SHARE * count))]] = True
    stands = slips[half_stroke] & (np.abs(phase - np.floor(phase) - 0.5) < grade / 2)
    return smooth_steps(1.0 - stands, 0.01)


def _knocks(operation: Operation, turns: np.ndarray) -> np.ndarray:
    """Impulses (samples,) at the reversals; a loose belt adds five ever weaker ones."""
    loose = operation.grade("loose_belt")
    times_s = crossing_times(turns + 0.25, 2)
    heights = 3.0 * operation.rng.normal(1, 0.15, len(times_s))
    knocks = impulses(times_s, heights, operation.samples)
    for repeat in range(1, 6) if loose else ():
        delay_s = 0.03 * repeat * operation.fault_rng.normal(1, 0.15, len(times_s))
        knocks += impulses(times_s + delay_s, heights * loose * 0.9**repeat, operation.samples)
    return knocks


CONDITION = partial(Condition, "noAttribute", background=("ventilation", "motor", "air"))

MACHINE = Machine(
    source=(CONDITION(0.9), CONDITION(1.0), CONDITION(1.1)),
    target=(CONDITION(1.3, 1.4), CONDITION(1.45, 1.4)),
    faults=("missed_stroke", "dry_rail", "loose_belt"),
    sound=sound,
)
