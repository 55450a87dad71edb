from workflow_lib.dataset.manifest import index_to_file
from workflow_lib.job import run_job


def main(job):
    w = job.wildcards
    index_to_file(job.output.manifest, job.params.root, w.machine, suite=w.suite, **job.params.rules)


run_job(snakemake, main)
