"""Solenoid valve: timed strikes that ring the body, flow hiss while it is open.

Model. The valve opens and closes by a timed pattern; the plunger strikes its stop on opening and its seat on closing,
and the body rings in damped modes. While it is open a jet hisses: a subsonic jet's noise is broad and peaks near a
Strouhal number of 0.2 (3.3 kHz for 50 m/s through 3 mm); it grows with pressure.

Faults: `leak` (the seat does not close: hiss in the pauses too), `missed_stroke` (some strokes fail, at least one and
up to 70 %), `bounce` (a worn spring lets the plunger strike again and again).

The domains differ in pattern and pressure.
"""

from functools import partial

import numpy as np

from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import Mode, band, impulses, ring, smooth_steps

CYCLE_HZ = 2.5
OPEN_SHARE = 0.45
BOUNCE_S = 0.022
MISSED_SHARE = 0.7
BODY = (Mode(850, 0.012, 1.0), Mode(2250, 0.007, 0.9), Mode(3900, 0.005, 0.7))


def sound(operation: Operation) -> np.ndarray:
    """Radiated sound pressure (samples,), arbitrary unit."""
    open_s, close_s = _strokes(operation)
    strikes = _strikes(operation, open_s, close_s)
    leak = 0.8 * operation.grade("leak")
    flow = leak + (1 - leak) * _flow(operation, open_s, close_s)
    hiss = operation.noise(band(2200, 6000))
    body = ring(strikes, BODY)
    return 1.6 * body + 0.22 * np.sqrt(operation.condition.load) * flow * hiss


def _strokes(operation: Operation) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds of opening and closing; failed strokes are left out."""
    cycle_s = 1 / (CYCLE_HZ * operation.condition.speed)
    count = int(np.ceil(operation.samples / SAMPLE_RATE_HZ / cycle_s)) + 1
    jitter_s = operation.rng.normal(0, 0.004, (2, count))
    start_s = (np.arange(count) - operation.rng.uniform()) * cycle_s
    open_s, close_s = start_s + jitter_s[0], start_s + OPEN_SHARE * cycle_s + jitter_s[1]
    grade = operation.grade("missed_stroke")
    if grade:
        failed = operation.fault_rng.permutation(count)[: max(1, round(MISSED_SHARE * grade * count))]
        open_s, close_s = np.delete(open_s, failed), np.delete(close_s, failed)
    return open_s, close_s


def _strikes(operation: Operation, open_s: np.ndarray, close_s: np.ndarray) -> np.ndarray:
    """Impulses (samples,) of plunger on stop and seat, each repeated weaker where the plunger bounces."""
    times_s = np.concatenate([open_s, close_s])
    heights = np.repeat([1.0, 0.7], len(open_s)) * operation.rng.normal(1, 0.1, len(times_s))
    bounce = operation.grade("bounce")
    later_s = BOUNCE_S * operation.fault_rng.normal(1, 0.1, len(times_s))
    times_s = np.concatenate([times_s, times_s + later_s, times_s + 1.8 * later_s])
    heights = np.concatenate([heights, bounce * heights, bounce**2 * heights])
    return impulses(times_s, heights, operation.samples)


def _flow(operation: Operation, open_s: np.ndarray, close_s: np.ndarray) -> np.ndarray:
    """Envelope (samples,) of the flow, 0 closed to 1 open."""
    time_s = np.arange(operation.samples) / SAMPLE_RATE_HZ
    is_open = np.searchsorted(open_s, time_s) > np.searchsorted(close_s, time_s)
    return smooth_steps(is_open.astype(float), 0.008)


CONDITION = partial(Condition, background=("motor", "air"))

MACHINE = Machine(
    source=(CONDITION("pat_1_bar_1"), CONDITION("pat_2_bar_1", speed=1.25)),
    target=(CONDITION("pat_3_bar_2", speed=1.6, load=2.0), CONDITION("pat_1_bar_2", load=2.0)),
    faults=("leak", "missed_stroke", "bounce"),
    sound=sound,
    near_ratio_db=(-8.0, 2.0),
)
