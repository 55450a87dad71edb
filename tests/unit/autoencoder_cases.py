"""Golden data of the autoencoder baseline, read for the tests of its parts."""

import json
from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).parents[1] / "golden" / "baseline_ae"
MACHINES = ("fan", "ToyCar")
EXPECTED = {machine: np.load(FOLDER / machine / "golden.npz") for machine in MACHINES}
RUN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
SEED = 13711
BATCH_SIZE = 64
EPOCHS = 40


def near_channel(machine: str, name: str) -> np.ndarray:
    """Channel 0 (samples,) float32 of a golden clip."""
    return soundfile.read(FOLDER / machine / Path(name).name, dtype="float32")[0][:, 0]


def test_clips(machine: str) -> list[tuple[int, str]]:
    """Position in the golden arrays and name of the test clips that are here."""
    names = [str(name) for name in EXPECTED[machine]["test_names"]]
    return [(index, name) for index, name in enumerate(names) if (FOLDER / machine / name).exists()]


test_clips.__test__ = False


def fan_frames() -> list[np.ndarray]:
    """Log-mel frames (22, 128) of the 64 training clips of fan, as the golden run had them."""
    return list(np.ascontiguousarray(EXPECTED["fan"]["train_logmel"].transpose(0, 2, 1)))


def fan_targets() -> list[bool]:
    return ["target" in str(name) for name in EXPECTED["fan"]["train_names"]]


def random_frames(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Correlated frames (length, 128) float32 around -30 dB, one clip for each length."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((128, 128)) * 0.3 + np.eye(128)
    return [(rng.standard_normal((length, 128)) @ mixing - 30.0).astype(np.float32) for length in lengths]
