from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.embedding.job import embed_machine
from workflow_lib.job import run_job


def main(job):
    embed_machine(
        read_manifest(job.input.manifest),
        job.output.embeddings,
        name=job.wildcards.model,
        model=job.params.model,
        encoder_settings=job.params.encoder,
        adapter=job.input.get("adapter"),
        channels=job.params.channels,
        reading=job.params.reading,
        compute=job.params.compute,
        workers=job.threads,
        code=job.params.code,
    )


run_job(snakemake, main)
