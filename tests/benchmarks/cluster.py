"""The demo through a Slurm of one node and through `--profile local`: wall time, number of jobs, share of waiting.

    .venv/bin/python tests/benchmarks/cluster.py [--only slurm|local] [--configfile mine.yaml]

Needs slurm-wlm and munge, half an hour, and a machine with nothing else to do. Waiting is the wall time in which Slurm
runs no job of the run: submissions, status checks, Snakemake's own start.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import measure
import yaml
from measure import ROOT
from slurm_cluster import Slurm

SITE = {"gpu": {"request": "none"}, "partitions": {"cpu": {}}}
LOOK_S = 1.0


def main() -> None:
    parser = measure.new_parser(__doc__)
    parser.add_argument("--only", choices=("slurm", "local"))
    parser.add_argument("--configfile", type=Path, help="instead of the demo's configuration")
    chosen = parser.parse_args()
    config = (chosen.configfile or ROOT / "profiles" / "demo" / "workflow.yaml").resolve()
    with tempfile.TemporaryDirectory(prefix="cluster") as folder:
        walls = {}
        if chosen.only != "slurm":
            walls["local"] = run_local(Path(folder, "local"), config)
        if chosen.only != "local":
            walls["slurm"] = run_slurm(Path(folder, "run"), Path(folder, "s"), config)
        if len(walls) == 2:
            print(f"slurm / local: {walls['slurm'] / walls['local']:.2f}")


def run_local(folder: Path, config: Path) -> float:
    folder.mkdir()
    began = time.time()
    with Path(folder, "log").open("w", encoding="utf-8") as log:
        done = subprocess.run(command("local", config), cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False)
    wall = time.time() - began
    report("local", folder, done.returncode, f"{wall:.0f} s")
    return wall


def run_slurm(folder: Path, place: Path, config: Path) -> float:
    folder.mkdir()
    (folder / "site.yaml").write_text(yaml.safe_dump(SITE), encoding="utf-8")
    slurm = Slurm(place)
    place.mkdir()
    slurm.start()
    try:
        own = ["--slurm-partition-config", "site.yaml", "--cores", str(os.cpu_count()), "--latency-wait", "5"]
        site = ["--config", f"compute={{site: {folder / 'site.yaml'}}}"]
        began = time.time()
        with Path(folder, "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*command("slurm", config), *own, *site],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=slurm.environment,
            )
            spans: dict[str, list[float]] = {}  # when each job was first and last seen running
            while process.poll() is None:
                now = time.time()
                for number in slurm.jobs(folder, "RUNNING", "COMPLETING"):
                    spans.setdefault(number, [now, now])[1] = now
                time.sleep(LOOK_S)
        wall = time.time() - began
    finally:
        slurm.stop()
    idle = wall - covered(spans.values())
    text = f"{wall:.0f} s, {len(spans)} jobs, {idle:.0f} s ({idle / wall:.0%}) without a running job"
    report("slurm", folder, process.returncode, text)
    return wall


def covered(spans: Iterable[list[float]]) -> float:
    """Seconds in which at least one job ran."""
    total, reached = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def command(profile: str, config: Path) -> list[str]:
    snakemake = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    return [*snakemake, "--profile", str(ROOT / "profiles" / profile), "--configfile", str(config)]


def report(name: str, folder: Path, status: int, text: str) -> None:
    if status:
        sys.exit(f"{name}: the run failed:\n" + Path(folder, "log").read_text(encoding="utf-8")[-3000:])
    print(f"{name}: {text}", flush=True)


if __name__ == "__main__":
    main()
