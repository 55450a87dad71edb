"""Motor on a ball bearing: shaft orders, rolling noise through the housing's resonances, impacts of damaged races.

Model. A bearing of n balls of diameter d on pitch diameter D, contact angle a, shaft rate f, has the defect rates
    outer race  BPFO = n/2 f (1 - d/D cos a)        inner race  BPFI = n/2 f (1 + d/D cos a)
    cage        FTF  = f/2 (1 - d/D cos a)          ball        BSF  = D/(2 d) f (1 - (d/D cos a)^2), two hits a spin
(Randall and Antoni, "Rolling element bearing diagnostics: a tutorial", Mech. Syst. Signal Process. 25, 2011). Slip
makes the spacing random by about a percent. The load on the damaged spot is steady for the outer race; the inner race
passes the load zone once per turn of the shaft, a ball once per turn of the cage.

Faults: `outer_race`, `inner_race`, `ball`: impulse trains at these rates that ring the housing.

The domains differ in speed.
"""

import numpy as np

from workflow_lib.simulation import SAMPLE_RATE_HZ
from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import Mode, band, crossing_times, impulses, periodic_wave, ring

SHAFT_HZ = 30.0
BALLS, BALL_MM, PITCH_MM, CONTACT_RAD = 9, 7.94, 39.04, 0.0  # deep-groove bearing 6205
HOUSING = (Mode(1900, 0.004, 1.0), Mode(3200, 0.003, 1.0), Mode(5100, 0.002, 0.7))
SLIP = 0.01


def defect_orders() -> dict[str, float]:
    """Defect rates as multiples of the shaft rate: outer_race, inner_race, ball (two hits a spin) and cage."""
    ratio = BALL_MM / PITCH_MM * np.cos(CONTACT_RAD)
    return {
        "outer_race": BALLS / 2 * (1 - ratio),
        "inner_race": BALLS / 2 * (1 + ratio),
        "ball": PITCH_MM / BALL_MM * (1 - ratio**2),
        "cage": (1 - ratio) / 2,
    }


def sound(operation: Operation) -> np.ndarray:
    """Radiated sound pressure (samples,), arbitrary unit."""
    speed = operation.condition.speed
    turns = operation.shaft(SHAFT_HZ * speed)
    phases = np.exp(2j * np.pi * operation.rng.uniform(size=8))
    shaft = periodic_wave(turns, 0.8 * phases / np.arange(1, 9) ** 0.8)
    rolling = operation.noise(band(500, 5000, 1))
    housing = ring(rolling, HOUSING)
    return speed * (shaft + 0.5 * rolling + 0.06 * housing) + _defect(operation, turns)


def _defect(operation: Operation, turns: np.ndarray) -> np.ndarray | float:
    if operation.fault is None:
        return 0.0
    rng, orders = operation.fault_rng, defect_orders()
    times_s = crossing_times(turns, orders[operation.fault])
    times_s = times_s + SLIP * rng.standard_normal(len(times_s)) * np.median(np.diff(times_s))
    # The load on the damaged spot: steady for the outer race, which does not move.
    per_turn = {"outer_race": 0.0, "inner_race": 1.0, "ball": orders["cage"]}[operation.fault]
    angle = np.interp(times_s * SAMPLE_RATE_HZ, np.arange(len(turns)), turns) * per_turn
    heights = rng.normal(1, 0.2, len(times_s)) * (0.55 + 0.45 * np.cos(2 * np.pi * angle))
    strength = 2.2 * operation.severity * operation.condition.speed
    return ring(impulses(times_s, strength * heights, operation.samples), HOUSING)


SLOWEST, *SOURCE, FASTEST = (
    Condition(f"vel_{velocity}", speed=0.26 + 0.09 * velocity, background=("motor", "air"))
    for velocity in (4, 6, 8, 10, 12)
)

MACHINE = Machine(
    source=tuple(SOURCE),
    target=(SLOWEST, FASTEST),
    faults=("outer_race", "inner_race", "ball"),
    sound=sound,
)
