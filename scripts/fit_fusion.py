from workflow_lib.fusion.fold_file import fit_fold, write_fold
from workflow_lib.job import run_job


def main(job):
    w = job.wildcards
    fold = fit_fold(job.input.tables, job.params.machines, job.params.system, job.params.candidates, w.protocol)
    write_fold(job.output.fusion, fold, suite=w.suite, system=w.system, held_out=w.held_out)


run_job(snakemake, main)
