from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.embedding.spectra import embed_spectra
from workflow_lib.job import run_job


def main(job):
    embed_spectra(
        read_manifest(job.input.manifest),
        job.output.embeddings,
        name=job.wildcards.model,
        model=job.params.model,
        channels=job.params.channels,
        reading=job.params.reading,
        workers=job.threads,
        code=job.params.code,
    )


run_job(snakemake, main)
