"""What several storeys of the tests share: running the workflow as a user does, in a folder of its own."""

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fetch_server import site as site  # a fixture

# Threads that wait for each other by spinning take the cores from the tests beside them: half a second became a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What a shell script puts into the background ignores Ctrl-C, and so would the runs that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
# The console script: its interpreter has no space in its path, wherever the clone lies.
SNAKEMAKE = [str(Path(sysconfig.get_path("scripts")).resolve() / "snakemake")]

SHORT = ("--quiet", "rules", "progress")  # what the profiles set


class Workflow:
    """The workflow of this clone, run in `folder` with a configuration laid over the shipped one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def configure(self, **settings) -> None:
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        config = ["--configfile", "mine.yaml"] if (self.folder / "mine.yaml").exists() else []
        profile = ["--workflow-profile", str(ROOT / "profiles" / "default")]
        snakefile = ["--snakefile", str(ROOT / "Snakefile")]
        # Each job with its message and reason is shown, which a profile may leave out.
        return [*SNAKEMAKE, *snakefile, *profile, *config, "--quiet", "host", "--cores", "2", *arguments]

    def start(self, *arguments: str, stdout: Path | None = None) -> subprocess.Popen:
        # A process group of its own: a kill then takes the jobs along, as the end of a session does.
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE if stdout is None else stdout.open("w", encoding="utf-8"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**self.environment(), "OMP_NUM_THREADS": "1"},
        )

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=1500)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def make(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def copy(self, folder: Path) -> "Workflow":
        """The same files and the same configuration in another folder."""
        shutil.copytree(self.folder, folder)
        return Workflow(folder)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def page(self) -> str:
        return (self.results / "report.html").read_text(encoding="utf-8")

    def rows(self, table: str) -> list[dict[str, str]]:
        """Rows of a CSV file, by its path below the results."""
        with (self.results / table).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def read_json(self, path: str) -> dict:
        return json.loads((self.results / path).read_text(encoding="utf-8"))

    def files(self, pattern: str) -> dict[str, bytes]:
        """Content of the result files that match, by path."""
        found = sorted(self.results.glob(pattern))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found if path.is_file()}


def copy_checkout(folder: Path) -> dict[str, str]:
    """A checkout of its own, with time stamps of now as git gives them; the environment in which its code is taken."""
    for name in ("Snakefile", "config.yaml"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("rules", "envs", "scripts", "profiles", "workflow_lib"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, copy_function=shutil.copyfile)
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


SMALL_SUITE = {
    "machines": ["bearing", "fan", "valve"],
    "simulate": {
        "seed": 5,
        "seconds": 1.0,
        "train_source": 14,
        "train_target": 3,
        "test_per_cell": 4,
        "severity": [0.5, 1.0],
    },
}
LOCAL_DENSITY = {"kind": "local_density", "k": [8, 5], "metric": "euclidean", "match": "nearest", "scale": "sum"}
SMALL = {
    "run": {
        "suites": ["small"],
        "systems": ["pair"],
        "branches": ["ae_mse", "tiny_raw"],
        "protocols": ["complete_dev", "cross_fitted"],
    },
    "suites": {"small": SMALL_SUITE},
    "models": {
        "ae": {"epochs": 2},
        "tiny": {
            "kind": "frozen",
            "encoder": "eat",
            "checkpoint": "random",
            "seed": 3,
            "embed_dim": 24,
            "depth": 2,
            "num_heads": 2,
            "blocks": [2],
            "batch_size": 8,
        },
    },
    "branches": {
        "tiny_raw": {
            "model": "tiny",
            "block": 2,
            "view": ["near"],
            "conditioning": {"standardise": False, "components": None, "whiten": False},
            "scorer": LOCAL_DENSITY,
        },
        "tiny_whitened": {
            "model": "tiny",
            "block": 2,
            "view": ["near", "near-far"],
            "conditioning": {"standardise": True, "components": 768, "whiten": True},
            "scorer": {**LOCAL_DENSITY, "metric": "cosine"},
        },
    },
    "systems": {"pair": {"branches": ["ae_mahalanobis", "tiny_whitened"], "step": 0.25}},
    "compute": {"threads": 1, "device": "cpu"},
}


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Workflow:
    """The whole flow on a small simulated suite, in a folder with a space: run once, a copy for each worker."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp()
    original = Workflow(shared / "the flow")
    with (shared / "flow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "flow.done").exists():
            original.configure(**SMALL)
            (original.folder / "terminal.txt").write_text(original.make(*SHORT), encoding="utf-8")
            (shared / "flow.done").touch()
    return original.copy(tmp_path_factory.mktemp("flow") / "a copy")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator:
    """A Slurm for each process of pytest, with a short path for its sockets."""
    # Imported here, as it builds on this module.
    from slurm_cluster import DAEMONS, Slurm

    missing = [name for name in DAEMONS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if missing:
        reason = f"there is no {', '.join(missing)}: apt-get install slurm-wlm munge"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    found = Slurm(tmp_path_factory.mktemp("slurm"))
    found.start()
    yield found
    found.stop()
