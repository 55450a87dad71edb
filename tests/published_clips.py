"""Small archives under the names of the published ones, and a workflow that fetches them from a local server."""

import io
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from conftest import Workflow
from fetch_server import Site, zipped

from workflow_lib.fetch.sets import SetPart, published_sets


def clip(channels: int, seed: int = 0, level: float = 0.1) -> bytes:
    memory = io.BytesIO()
    noise = level * np.random.default_rng(seed).standard_normal((4000, channels))
    soundfile.write(memory, noise, 16000, subtype="PCM_16", format="WAV")
    return memory.getvalue()


def clips_of(machine: str, part: SetPart, channels: int) -> dict[str, bytes]:
    domains = ("source", "target")
    cells = product(domains, ("normal", "anomaly"), range(2))
    names = {
        "train": [f"section_00_{d}_train_normal_{i:04d}_noAttribute.wav" for d, i in product(domains, range(3))],
        "test": [f"section_00_{d}_test_{label}_{i:04d}_noAttribute.wav" for d, label, i in cells],
    }
    if part.name == "eval_test":
        names["test"] = [f"section_00_{i:04d}.wav" for i in range(4)]
    chosen = [f"{machine}/{split}/{name}" for split in part.splits for name in names[split]]
    return {name: clip(channels, seed) for seed, name in enumerate(chosen)}


def publish(site: Site, source: str, machines: list[str], **settings) -> None:
    """Small archives of some machines of a set, under the names and records of the real ones."""
    published = published_sets()[source]
    for part in published.parts:
        archives = {part.archives[m]: zipped(clips_of(m, part, published.channels)) for m in machines}
        site.put_record(part.record, archives, **settings)


def fetching(folder: Path, site: Site, run: dict | None = None, **suites) -> Workflow:
    workflow = Workflow(folder)
    workflow.configure(
        suites=suites,
        run={"branches": ["ae_mse"], "systems": ["NearMah", "ResMah"], **(run or {})},
        fetch={"records_url": site.url("/api/records"), "timeout_s": 5, "attempts": 2},
        models={"ae": {"epochs": 1}, "ae_residual": {"epochs": 1}},
        compute={"threads": 1, "device": "cpu"},
    )
    return workflow


def tree(folder: Path) -> dict[str, bytes]:
    """All files of the machine folders of a root."""
    found = (path for path in sorted(folder.rglob("*.wav")) if not path.relative_to(folder).parts[0].startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


DEV = {"root": "data/dev", "machines": ["fan", "ToyCar"], "fetch": "dcase2026/dev"}
