from pathlib import Path

from workflow_lib.dataset.health_table import health_lines
from workflow_lib.job import run_job


def main(job):
    for suite, folder in zip(job.params.suites, job.input.get("tables", []), strict=True):
        print(f"\nHealth of suite {suite} ({folder}/*.csv)", *health_lines(Path(folder)), sep="\n", flush=True)


run_job(snakemake, main)
