from workflow_lib.fusion.fold_file import fuse_machine
from workflow_lib.job import run_job


def main(job):
    fuse_machine(job.output.fused, job.input.scores, job.input.fusion, job.wildcards.machine, job.params.systems)


run_job(snakemake, main)
