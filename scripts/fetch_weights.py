from workflow_lib.fetch.weights import fetch_weights
from workflow_lib.job import run_job


def main(job):
    fetch_weights(job.params.wanted, job.params.fetch)


run_job(snakemake, main)
