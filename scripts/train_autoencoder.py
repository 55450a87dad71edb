from workflow_lib.autoencoder.job import train_on_machine
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.job import run_job


def main(job):
    train_on_machine(
        read_manifest(job.input.manifest),
        job.output.weights,
        job.output.training_log,
        job.output.batch_values,
        model=job.params.model,
        reading=job.params.reading,
    )


run_job(snakemake, main)
