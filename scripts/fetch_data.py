from workflow_lib.fetch.recordings import print_fetched
from workflow_lib.job import run_job


def main(job):
    print_fetched(job.params.suites, job.input.done)


run_job(snakemake, main)
