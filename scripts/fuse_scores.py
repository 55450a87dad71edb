from workflow_lib.fusion.fold_file import fuse_machine
from workflow_lib.job import run_job
from workflow_lib.scoring.score_file import write_scores


def main(job):
    fused = fuse_machine(job.input.tables, job.params.candidates, job.input.fusion, job.wildcards.machine)
    write_scores(job.output.scores, fused)


run_job(snakemake, main)
