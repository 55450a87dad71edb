from workflow_lib.job import run_job
from workflow_lib.submission.baseline_files import write_baseline_suite


def main(job):
    write_baseline_suite(
        job.output.files,
        job.params.machines,
        job.input.residuals,
        job.input.batch_values,
        seed=job.params.seed,
        evaluation=job.params.evaluation,
    )


run_job(snakemake, main)
