"""What cancelling does to a machine that leaks into far: the table of docs/channels.md and the threshold of `check`.

    .venv/bin/python tests/benchmarks/leakage.py --clips 3

Simulated machines with the background of the demo at both microphones, and diffuse noise of their own. The machine is
-5 to 10 dB above the background at near, and at far -30 to 0 dB of its level at near, or not there. The filter comes
from the mixture and is applied to the machine and the rest apart. Prints medians by level and leak, then what is lost
where much of near is removed.
"""

from itertools import product

import measure
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from workflow_lib.channels import stft
from workflow_lib.simulation import machine_kinds
from workflow_lib.simulation.suite import Studio, plan_clips

SECONDS, TAPS, RIDGE = 10.0, 9, 1e-3
LEVELS_DB = (-5, 0, 5, 10)  # of the machine above the background, at near
DIFFUSE_DB = (-20, -10, 0)  # of noise of its own below the background, at each microphone
LEAKS_DB = (-np.inf, -30, -20, -15, -10, -5, 0)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--clips", type=int, default=3, help="of each machine")
    rows = np.array([row for kind in machine_kinds() for row in machine_rows(kind, parser.parse_args().clips)])
    level, leak, share, lost, gained = rows.T
    print("| machine above background, dB | leak, dB | share removed | machine, dB | machine to rest, dB |")
    for one in product(LEVELS_DB, LEAKS_DB):
        chosen = (level == one[0]) & (leak == one[1])
        print(
            f"| {one[0]} | {one[1]} | "
            + " | ".join(f"{np.median(x[chosen]):.2f}" for x in (share, lost, gained))
            + " |"
        )
    for least in SHARES:
        lossy = lost[share > least] < -3
        print(f"share above {least}: {len(lossy)} of {len(rows)}, {lossy.mean():.0%} lose 3 dB or more of the machine")


def machine_rows(kind: str, clips: int) -> list[tuple[float, ...]]:
    """(level, leak, share removed, change of the machine, change of machine to rest) of each pair of channels, dB."""
    studio = Studio(kind, 5, SECONDS)
    noise = np.random.default_rng(0)
    rows = []
    for clip in plan_clips(studio.machine, clips, 0, 1)[:clips]:
        parts = studio.parts(clip, (0.5, 1.0))
        machine = studio.acoustics.record({"machine": parts.pop("machine")}).astype(np.float64)
        background = studio.acoustics.record(parts).astype(np.float64)
        machine /= machine.std(axis=1, keepdims=True)
        for level, diffuse in product(LEVELS_DB, DIFFUSE_DB):
            rest = background * 10 ** (-level / 20) / background[0].std()
            deviation = 10 ** (diffuse / 20) * rest.std(axis=1, keepdims=True)
            near_rest, far_rest = map(stft, rest + deviation * noise.standard_normal(rest.shape))
            near_machine, far_machine = map(stft, machine)
            for leak in LEAKS_DB:
                rows.append((level, leak, *changes(near_machine, near_rest, 10 ** (leak / 20) * far_machine, far_rest)))
    return rows


def changes(
    near_machine: np.ndarray, near_rest: np.ndarray, far_machine: np.ndarray, far_rest: np.ndarray
) -> tuple[float, float, float]:
    """Share of near's energy that is removed, and changes of the machine's energy and of its ratio to the rest, dB."""
    near, far = near_machine + near_rest, far_machine + far_rest
    frames = shifted(far)
    gram = np.matmul(frames.conj().swapaxes(1, 2), frames)
    ridge = RIDGE * np.trace(gram, axis1=1, axis2=2).real / TAPS + 1e-12
    cross = np.matmul(frames.conj().swapaxes(1, 2), near.T[..., None])
    weights = np.linalg.solve(gram + ridge[:, None, None] * np.eye(TAPS), cross)
    machine, rest = (
        decibel(part - np.matmul(shifted(other), weights)[..., 0].T, part)
        for part, other in ((near_machine, far_machine), (near_rest, far_rest))
    )
    left = decibel(near - np.matmul(frames, weights)[..., 0].T, near)
    return 1 - 10 ** (left / 10), machine, machine - rest


def shifted(far: np.ndarray) -> np.ndarray:
    """Z (bins, frames, taps) of spectra (frames, bins)."""
    return sliding_window_view(np.pad(far.T, ((0, 0), (TAPS // 2, TAPS // 2))), TAPS, axis=1)


def decibel(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * float(np.log10(np.sum(np.abs(one) ** 2) / np.sum(np.abs(other) ** 2)))


if __name__ == "__main__":
    main()
