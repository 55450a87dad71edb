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

from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import (
    Mode,
    band,
    coloured_noise,
    crossing_times,
    impulses,
    periodic_wave,
    ring,
    shaft_turns,
)

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
    rng, rate, speed = operation.rng, operation.sample_rate_hz, operation.condition.speed
    turns = shaft_turns(rng, operation.samples, rate, SHAFT_HZ * speed)
    phases = np.exp(2j * np.pi * rng.uniform(size=8))
    shaft = periodic_wave(turns, 0.8 * phases / np.arange(1, 9) ** 0.8)
    rolling = coloured_noise(rng, operation.samples, rate, band(500, 5000, 1))
    housing = ring(rolling, HOUSING, rate)
    return speed * (shaft + 0.5 * rolling + 0.06 * housing) + _defect(operation, turns)


def _defect(operation: Operation, turns: np.ndarray) -> np.ndarray | float:
    if operation.fault is None:
        return 0.0
    rng, rate = operation.fault_rng, operation.sample_rate_hz
    times_s = crossing_times(turns, rate, defect_orders()[operation.fault])
    times_s = times_s + SLIP * rng.standard_normal(len(times_s)) * np.median(np.diff(times_s))
    # The load on the damaged spot: steady for the outer race, which does not move.
    per_turn = {"outer_race": 0.0, "inner_race": 1.0, "ball": defect_orders()["cage"]}[operation.fault]
    angle = np.interp(times_s * rate, np.arange(len(turns)), turns) * per_turn
    heights = rng.normal(1, 0.2, len(times_s)) * (0.55 + 0.45 * np.cos(2 * np.pi * angle))
    strength = 2.2 * operation.severity * operation.condition.speed
    return ring(impulses(times_s, strength * heights, operation.samples, rate), HOUSING, rate)


BACKGROUND = ("hum", "ventilation", "clatter")


def _condition(velocity: int) -> Condition:
    return Condition(f"vel_{velocity}", speed=0.26 + 0.09 * velocity, background=BACKGROUND)


MACHINE = Machine(
    source=tuple(_condition(vel) for vel in (6, 8, 10)),
    target=tuple(_condition(vel) for vel in (4, 12)),
    faults=("outer_race", "inner_race", "ball"),
    sound=sound,
    near_ratio_db=(-4.0, 8.0),
)
