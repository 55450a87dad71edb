from workflow_lib.fetch.recordings import list_archives
from workflow_lib.job import run_job


def main(job):
    list_archives(job.output.listing, job.params.suite)


run_job(snakemake, main)
