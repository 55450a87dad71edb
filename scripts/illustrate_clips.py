from workflow_lib.job import run_job
from workflow_lib.report.sections.clip_pictures import illustrate_clips


def main(job):
    illustrate_clips(
        job.wildcards.suite,
        job.input.tables,
        job.input.manifests,
        job.params.reading,
        job.output.clips,
        wrong_clips=job.params.wrong_clips,
        audio=job.params.audio,
        workers=job.threads,
    )


run_job(snakemake, main)
