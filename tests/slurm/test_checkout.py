"""What docs/cluster.md tells a new user to do, in a checkout of their own whose path has a space."""

import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import SMALL, SNAKEMAKE, Workflow, copy_checkout
from slurm_cluster import SITE, Slurm

# A profile of one's own beside ours: what it says counts. Looked at more often than on a cluster, as jobs are short.
OWN = {"jobs": 7, "latency-wait": 5, "slurm-init-seconds-before-status-checks": 2, "max-status-checks-per-second": 0.5}


class Checkout:
    """Commands in a checkout, as a user gives them."""

    def __init__(self, folder: Path, slurm: Slurm) -> None:
        self.folder, self.environment = folder, {**slurm.environment, **copy_checkout(folder)}
        self.environment["PATH"] = slurm.environment["PATH"]
        (folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(SITE), encoding="utf-8")
        (folder / "profiles/mycluster").mkdir()
        (folder / "profiles/mycluster/config.yaml").write_text(yaml.safe_dump(OWN), encoding="utf-8")
        (folder / "mine.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status, and what was said."""
        command = [*SNAKEMAKE, *arguments, "--quiet", "host", "--configfile", "mine.yaml"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def make(self, *arguments: str) -> str:
        """What a run that must succeed said on the terminal and, in more detail, in its log file."""
        status, said = self.run(*arguments)
        assert status == 0, said[-6000:]
        logs = sorted((self.folder / ".snakemake" / "log").glob("*.log"))
        return said + "".join(log.read_text(encoding="utf-8") for log in logs[-1:])


@pytest.fixture(scope="module")
def checkout(slurm, tmp_path_factory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("user") / "a clone", slurm)


def test_the_whole_small_suite_by_the_name_of_the_profile_is_what_a_local_run_makes(checkout, slurm, small_run):
    said = checkout.make("--profile", "slurm", "--profile", "mycluster")
    assert "Provided remote nodes: 7" in said
    assert len(slurm.jobs(checkout.folder)) == 21
    here = Workflow(checkout.folder)
    for pattern in ("small/**/*.csv", "small/**/*.json", "small/**/*.h5", "small/**/*.safetensors"):
        assert here.files(pattern) == small_run.files(pattern) != {}


def test_a_profile_of_ones_own_may_go_first(checkout, slurm):
    """Ours then counts more, as Snakemake puts a workflow's profile over the user's."""
    before = len(slurm.jobs(checkout.folder))
    said = checkout.make("--profile", "mycluster", "--workflow-profile", "slurm", "--forcerun", "write_report")
    assert "Using profiles profiles/mycluster and workflow specific profile profiles/slurm" in said
    assert "Provided remote nodes: 100" in said
    assert len(slurm.jobs(checkout.folder)) == before + 1


def test_default_resources_that_replace_ours_are_one_line_before_the_first_job(checkout, slurm):
    """As the profile of a cluster may have them; groups would ask for the cores of all their members."""
    before = slurm.jobs(checkout.folder)
    own = checkout.folder / "profiles/bare/config.yaml"
    own.parent.mkdir()
    own.write_text("default-resources: {mem_mb: 1000}\n", encoding="utf-8")
    status, said = checkout.run("--profile", "slurm", "--profile", "bare", "--forcerun", "write_report")
    assert status != 0 and slurm.jobs(checkout.folder) == before
    told = [line for line in said.splitlines() if "profiles/slurm/config.yaml: add its lines" in line]
    assert len(told) == 1 and "Traceback" not in said


@pytest.mark.parametrize("profile", ["slurm", "local", "demo"])
def test_every_profile_is_found_by_its_name_and_finds_everything_made(checkout, profile):
    assert "Nothing to be done" in checkout.make("--profile", profile, "-n")
