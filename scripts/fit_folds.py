from workflow_lib.fusion.fold_file import fit_folds
from workflow_lib.job import run_job


def main(job):
    w = job.wildcards
    names = {"suite": w.suite, "protocol": w.protocol, "held_out": w.held_out}
    fit_folds(job.output.fusion, job.input.scores, job.params.machines, job.params.systems, **names)


run_job(snakemake, main)
