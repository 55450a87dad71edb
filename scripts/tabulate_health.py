from workflow_lib.dataset.findings import write_health
from workflow_lib.job import run_job


def main(job):
    write_health(job.input.clips, job.wildcards.suite, job.output.tables)


run_job(snakemake, main)
