from workflow_lib.fusion.fold_file import fuse_machine
from workflow_lib.job import run_job


def main(job):
    inputs, systems = job.input, job.params.systems
    folds, normal = next(iter(inputs.get("fusion") or ()), None), inputs.get("normal_scores") or ()
    names = {"suite": job.wildcards.suite, "protocol": job.wildcards.protocol}
    more = {"pseudo_folders": inputs.get("pseudo") or (), **names}
    fuse_machine(job.output.fused, inputs.scores, folds, job.wildcards.machine, systems, normal, **more)


run_job(snakemake, main)
