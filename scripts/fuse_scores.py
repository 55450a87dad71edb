from workflow_lib.fusing import fuse_machine
from workflow_lib.job import run_job
from workflow_lib.tables import write_scores


def main(job):
    write_scores(job.output.scores, fuse_machine(job.input.tables, job.params.branches, job.input.fusion))


run_job(snakemake, main)
