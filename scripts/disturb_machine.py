from pathlib import Path

from workflow_lib.job import run_job
from workflow_lib.simulation.pseudo import disturb_machine


def main(job):
    given = job.params.disturbing
    another = given["another"] and Path(given["another"])
    disturb_machine(job.wildcards.machine, Path(given["train"]), another, job.output.recordings, **given["settings"])


run_job(snakemake, main)
