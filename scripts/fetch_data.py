from workflow_lib.fetch.recordings import say_what_is_there
from workflow_lib.job import run_job


def main(job):
    say_what_is_there(job.params.suites, job.input.done)


run_job(snakemake, main)
