from workflow_lib.job import run_job
from workflow_lib.scoring.job import score_model


def main(job):
    score_model(
        job.input.sources,
        job.params.branches,
        job.output.scores,
        job.output.normal_scores,
        normal_tables=job.input.get("normal"),
    )


run_job(snakemake, main)
