from workflow_lib.adaptation.job import adapt_model
from workflow_lib.job import run_job


def main(job):
    folder = job.output.place("adapter")
    adapt_model(
        job.input.manifests,
        job.output.adapter,
        name=job.wildcards.model,
        model=job.params.model,
        encoder_settings=job.params.encoder,
        reading=job.params.reading,
        held_out=job.params.held_out,
        device=job.params.device,
        # Outside of the output, which Snakemake clears: a training that was killed goes on after its last epoch.
        state_folder=folder.with_name(f".{folder.name}.{job.params.code}.state"),
    )


run_job(snakemake, main)
