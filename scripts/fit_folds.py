from workflow_lib.fusion.fold_file import fit_folds
from workflow_lib.job import run_job


def main(job):
    w, params = job.wildcards, job.params
    names = {"suite": w.suite, "protocol": w.protocol, "held_out": w.held_out}
    more = {"normal_folders": job.input.get("normal_scores") or (), "folds": params.folds}
    fit_folds(job.output.fusion, job.input.scores, params.machines, params.systems, **names, **more)


run_job(snakemake, main)
