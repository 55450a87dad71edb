"""A real Slurm of one node, started for these tests, and the workflow run through it as a user does."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from conftest import ROOT, SNAKEMAKE, Workflow

HERE = Path(__file__).parent / "slurm"
EMBEDDINGS = "results/small/embeddings/tiny/fan.h5"
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
# A partition whose jobs are queued again when another wants the node, and one whose jobs are lost.
PREEMPTION = """\
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=requeue Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=scavenge Nodes=ALL PriorityTier=1 PreemptMode=CANCEL State=UP
PartitionName=urgent Nodes=ALL PriorityTier=100 PreemptMode=OFF State=UP
"""
WAIT_S = 600.0
FIRST_PORT, PORTS = 27817, 40
SITE = {"gpu": {"request": "gpu"}, "patience_s": 40, "partitions": {"cpu": {}, "gpu": {"max_gpu": 1}}}


@dataclass(frozen=True)
class Slurm:
    """The commands of the test's own Slurm."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Its commands first on PATH; nothing of what the tests set for themselves."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, "PATH": f"{self.folder / 'bin'}:{kept['PATH']}"}

    def ask(self, *command: str) -> str:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def start(self) -> None:
        """Start it, or what is missing of it."""
        extra = self.folder / "preemption.conf"
        extra.write_text(PREEMPTION, encoding="utf-8")
        # Two processes of pytest that look for free ports at the same moment would find the same ones.
        port = FIRST_PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        subprocess.run(
            [HERE / "start-test-slurm.sh", self.folder],
            env={
                **os.environ,
                "TEST_SLURM_EXTRA": str(extra),
                "TEST_SLURM_MEM_MB": "200000",
                "TEST_SLURM_PORT": str(port),
            },
            check=True,
            timeout=120,
        )

    def stop(self) -> None:
        subprocess.run([HERE / "stop-test-slurm.sh", self.folder], check=False, timeout=120)

    def stop_controller(self) -> None:
        pid = int((self.folder / "run" / "slurmctld.pid").read_text(encoding="utf-8"))
        os.kill(pid, 15)
        wait_until(lambda: not Path("/proc", str(pid)).exists(), "the controller is away")

    def clear(self, folder: Path) -> None:
        """After a test, however it ended: none of its jobs, and the node in service."""
        if numbers := self.jobs(folder, "PENDING", "RUNNING", "COMPLETING"):
            self.ask("scancel", *numbers)
        node, state = self.ask("sinfo", "--noheader", "--format=%n %T", "--partition=cpu").split()
        if state.startswith(("drain", "down")):
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")

    def start_now(self, folder: Path) -> None:
        """Let the pending jobs of a folder start: Slurm puts off by two minutes what it queues again."""
        for number in self.jobs(folder, "PENDING"):
            self.ask("scontrol", "update", f"jobid={number}", "starttime=now")

    def has_steps_of(self, *numbers: str) -> bool:
        """Whether the node still looks after these jobs: by its processes and, a moment longer, by their sockets."""
        titles = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        spool = self.folder / "spool"
        return any(
            any(title.startswith(f"slurmstepd: [{n}.") for title in titles) or any(spool.glob(f"*_{n}.*"))
            for n in numbers
        )

    def jobs(self, folder: Path, *states: str) -> list[str]:
        """Numbers of the jobs that were submitted from a folder, of some states (all: that Slurm still knows)."""
        lines = self.ask("squeue", "--noheader", "--states=all", "--format=%A|%T|%Z").splitlines()
        found = [line.split("|", 2) for line in lines]
        return [number for number, state, place in found if place == str(folder) and (not states or state in states)]


def wait_until(true: Callable[[], object], what: str, within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.2)


class ClusterWorkflow(Workflow):
    """The workflow of this clone under `--profile slurm`, with faults in its jobs if asked for."""

    def __init__(self, folder: Path, slurm: Slurm) -> None:
        super().__init__(folder)
        self.slurm = slurm
        self.mark = folder / "fault"
        self.fault: dict[str, str] = {}
        self.started: list[subprocess.Popen] = []
        self.site(SITE)

    def site(self, site: dict) -> None:
        (self.folder / "site.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")

    def configure(self, **settings) -> None:
        compute = {**settings.get("compute", {}), "site": str(self.folder / "site.yaml")}
        super().configure(**{**settings, "compute": compute})

    def inject(self, fault: str, hold_s: float = 600.0) -> None:
        """Do this to the script of the next job (tests/slurm/faults)."""
        self.fault = {
            "FAULT": fault,
            "FAULT_MARK": str(self.mark),
            "HOLD_S": str(hold_s),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE / "faults"), os.environ.get("PYTHONPATH")])),
        }

    def command(self, *arguments: str) -> list[str]:
        profile = ["--profile", str(ROOT / "profiles" / "slurm"), "--slurm-partition-config", "site.yaml"]
        # Looked at more often than on a cluster, and with a file system that shows files at once.
        quick = ["--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "0.5"]
        own = ["--configfile", "mine.yaml", "--cores", "2", "--latency-wait", "5"]
        return [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), *profile, *quick, *own, *arguments]

    def environment(self) -> dict[str, str]:
        return {**self.slurm.environment, **self.fault}

    def start(self, *arguments: str, stdout: Path | None = None) -> subprocess.Popen:
        process = super().start(*arguments, stdout=stdout)
        self.started.append(process)
        return process

    def clear(self) -> None:
        """Nothing of this workflow goes on, however its test ended."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.slurm.clear(self.folder)
        # Without control groups Slurm leaves processes of a job that it gave up on a node that was set down.
        for process in psutil.process_iter(["cwd"]):
            if process.info["cwd"] == str(self.folder):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def start_and_hold(self, *arguments: str) -> tuple[subprocess.Popen, Path]:
        """Start a run whose job stops working in its script; returns when it does so."""
        self.inject("hold")
        output = self.folder / "output.txt"
        process = self.start(*arguments, stdout=output)
        wait_until(lambda: self.mark.exists() or process.poll() is not None, "the job is at work")
        assert process.poll() is None, output.read_text(encoding="utf-8")[-4000:]
        return process, output

    def finish(self, process: subprocess.Popen, output: Path, within_s: float = WAIT_S) -> str:
        """Wait for a run that must succeed; what it said."""
        process.wait(timeout=within_s)
        text = output.read_text(encoding="utf-8")
        assert process.returncode == 0, text[-6000:]
        return text
