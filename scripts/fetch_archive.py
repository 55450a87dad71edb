from workflow_lib.fetch.recordings import fetch_archive
from workflow_lib.job import run_job


def main(job):
    fetch_archive(job.input.listing, job.output.done, job.wildcards.part, job.wildcards.machine, job.params.suite)


run_job(snakemake, main)
