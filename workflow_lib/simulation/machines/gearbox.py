"""Two-shaft gearbox: mesh tone, its harmonics, sidebands spaced by both shaft rates, ringing casing.

Model. A pinion of 23 teeth at 24 Hz drives a wheel of 57 teeth. The mesh tone of 552 Hz and its harmonics are
modulated in amplitude and phase by both shafts, which makes sidebands spaced by the shaft rates (Randall, "A new
method of modeling gear faults", J. Mech. Design 104, 1982; McFadden, "Detecting fatigue cracks in gears by amplitude
and phase demodulation of the meshing vibration", J. Vib. Acoust. Stress Reliab. Des. 108, 1986). The mesh force grows
with load.

Faults: `tooth_impact` (a chipped pinion tooth hits once per turn and rings the casing), `wear` (the harmonics of the
mesh tone grow), `eccentricity` (the pinion runs out of true: deeper modulation by its shaft rate).

The domains differ in load.
"""

import numpy as np

from workflow_lib.simulation.model import Condition, Machine, Operation
from workflow_lib.simulation.signals import Mode, band, crossing_times, impulses, periodic_wave, ring

PINION_HZ = 24.0
PINION_TEETH, WHEEL_TEETH = 23, 57
MESH_ORDERS = np.array([1.0, 0.55, 0.3, 0.2, 0.12, 0.08])
WEAR_ORDERS = np.array([0.1, 0.5, 0.45, 0.3, 0.12, 0.1])
CASING = (Mode(1450, 0.006, 1.0), Mode(2700, 0.004, 0.8), Mode(4300, 0.003, 0.6))


def sound(operation: Operation) -> np.ndarray:
    """Radiated sound pressure (samples,), arbitrary unit."""
    rng, condition = operation.rng, operation.condition
    pinion = operation.shaft(PINION_HZ * condition.speed)
    wheel = pinion * (PINION_TEETH / WHEEL_TEETH) + rng.uniform()
    runout = 0.08 + 0.9 * operation.grade("eccentricity")
    pinion_wave, wheel_wave = np.cos(2 * np.pi * pinion), np.cos(2 * np.pi * wheel)
    depth = 1 + runout * pinion_wave + 0.06 * wheel_wave
    mesh_turns = PINION_TEETH * pinion + 0.2 * runout * pinion_wave + 0.01 * wheel_wave
    phases = np.exp(2j * np.pi * rng.uniform(size=len(MESH_ORDERS)))
    mesh = depth * periodic_wave(mesh_turns, (MESH_ORDERS + operation.grade("wear") * WEAR_ORDERS) * phases)
    churning = operation.noise(band(300, 2500, 1))
    hits_s = crossing_times(pinion)
    hardness = 1.7 * operation.grade("tooth_impact") * condition.load
    heights = hardness * operation.fault_rng.normal(1, 0.15, len(hits_s))
    impacts = ring(impulses(hits_s, heights, operation.samples), CASING)
    return condition.load**0.7 * mesh + 0.45 * churning + impacts


MACHINE = Machine(
    source=tuple(Condition(f"volt_{i}_load_1", speed=s, load=0.8) for i, s in ((1, 0.9), (2, 1.0), (3, 1.1))),
    target=(Condition("volt_2_load_2", load=1.3), Condition("volt_2_load_3", load=1.7)),
    faults=("tooth_impact", "wear", "eccentricity"),
    sound=sound,
)
