"""The demo's own adaptation, as `make demo` configures it: it learns what it has not heard."""

import csv
import os
import subprocess

from conftest import ROOT, SNAKEMAKE

FOLDER = "results/demo/adapters/dualmic_untrained@full-seed13711"


def test_the_attribute_head_knows_withheld_normal_clips_of_the_demo(tmp_path):
    """At least twice chance, which is what naming the commonest class would get."""
    command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default")]
    command += ["--configfile", str(ROOT / "profiles" / "demo" / "workflow.yaml"), "--", FOLDER]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with (tmp_path / FOLDER / "validation.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert int(last["clips"]) >= 30
    assert float(last["accuracy_attribute"]) >= 2 * float(last["chance"])
    with (tmp_path / FOLDER / "training_log.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
