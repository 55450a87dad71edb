"""Axial fan: blade-pass harmonics, shaft imbalance, turbulence noise.

Model. A shaft of 40 Hz carries seven blades. Each passing blade gives a pressure pulse, so one turn is the sum of
seven pulses; where the blades are alike only the blade-pass frequency 7 f and its multiples remain (Gutin, "On the
sound field of a rotating propeller", NACA TM 1195, 1948). Imbalance drives the shaft frequency with a force that
grows as speed squared. Turbulence is a broad haystack whose amplitude grows as speed cubed (dipole sound power as
U^6, Curle, Proc. R. Soc. A 231, 1955) and with load.

Faults: `imbalance` (the shaft's tones grow, the whirling tip gap modulates turbulence and blade tones once a turn),
`blade_damage` (one blade's pulse shrinks and widens: tones appear at all multiples of the shaft frequency), `rubbing`
(a blade touches the housing once per turn: a scraping noise burst).

The domains differ in noise: the target runs at the same speeds while another machine runs beside it.
"""

import numpy as np

from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import band, coloured_noise, periodic_wave

SHAFT_HZ = 40.0
BLADES = 7
ORDERS = 63
PULSE_TURNS = 0.012


def sound(operation: Operation) -> np.ndarray:
    """Radiated sound pressure (samples,), arbitrary unit."""
    speed, imbalance = operation.condition.speed, operation.grade("imbalance")
    turns = operation.shaft(SHAFT_HZ * speed)
    blades = periodic_wave(turns, _blade_orders(operation.rng, operation.grade("blade_damage")))
    shaft = periodic_wave(turns, (0.3 + 1.5 * imbalance) * np.array([1.0, 0.5, 0.25]))
    turbulence = operation.noise(band(250 * speed, 1200 * speed, 1))
    tip_gap = 1 + (0.03 + 0.6 * imbalance) * np.cos(2 * np.pi * turns)
    air = tip_gap * (blades + 0.6 * speed * operation.condition.load * turbulence)
    scrape = coloured_noise(operation.fault_rng, operation.samples, band(2500, 6000))
    contact = np.maximum(0, np.cos(2 * np.pi * turns)) ** 12
    return speed**2 * (air + shaft) + 2 * operation.grade("rubbing") * contact * scrape


def _blade_orders(rng: np.random.Generator, damage: float) -> np.ndarray:
    """Amplitudes of the shaft orders (63,) complex: pulse spectrum times the sum over the blades' phases."""
    order = np.arange(1, ORDERS + 1)
    strength = 1 + 0.03 * rng.standard_normal(BLADES)
    pulses = np.exp(-((np.pi * order * PULSE_TURNS) ** 2) * np.ones((BLADES, 1)))
    pulses[0] = (1 - damage) * np.exp(-((np.pi * order * PULSE_TURNS * (1 + 2 * damage)) ** 2))
    phases = np.exp(-2j * np.pi * order * np.arange(BLADES)[:, None] / BLADES)
    return 0.26 * np.sum(strength[:, None] * pulses * phases, axis=0)


QUIET, LOUD = ("hum", "ventilation"), ("hum", "ventilation", "motor")
SPEEDS = (("spd_1", 0.9), ("spd_2", 1.0), ("spd_3", 1.1))

MACHINE = Machine(
    source=tuple(Condition(name, speed, background=QUIET) for name, speed in SPEEDS),
    target=tuple(Condition(name, speed, background=LOUD, background_db=1.5) for name, speed in SPEEDS),
    faults=("imbalance", "blade_damage", "rubbing"),
    sound=sound,
)
