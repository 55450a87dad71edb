"""Which GPUs a process may use, and which one it takes; without torch, as it is asked while the DAG is built."""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

DEVICES = Path("/dev")
_CLAIMS: dict[str, int] = {}  # name of a GPU -> open file that holds the lock


def visible_gpus() -> int:
    """Number of NVIDIA GPUs of this machine, or of those that CUDA_VISIBLE_DEVICES leaves."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = sum(path.name.removeprefix("nvidia").isdigit() for path in DEVICES.glob("nvidia*"))
    if allowed is None or not present:
        return present
    return len([name for name in allowed.split(",") if name.strip() not in ("", "-1")])


def claim_gpu(names: Sequence[str], folder: Path | None = None) -> int | None:
    """Take the first of these GPUs that no other process of this user has taken; None if each is taken.

    names: one that holds across processes (the UUID) for each visible GPU, in order; folder: where the claims lie. The
    claim is a lock that ends with the process, however it ends.
    """
    folder = folder or Path(tempfile.gettempdir(), f"dualmic-asd-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for number, name in enumerate(names):
        if name in _CLAIMS:
            return number
        file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        _CLAIMS[name] = file
        return number
    return None
