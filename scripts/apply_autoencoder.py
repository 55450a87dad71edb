from workflow_lib.autoencoder.job import reconstruct_machine
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.job import run_job


def main(job):
    reconstruct_machine(
        read_manifest(job.input.manifest),
        job.input.weights,
        job.output.residuals,
        name=job.wildcards.model,
        model=job.params.model,
        second_moments=job.params.second_moments,
        reading=job.params.reading,
        code=job.params.code,
    )


run_job(snakemake, main)
