from pathlib import Path

from workflow_lib.job import run_job
from workflow_lib.submission.job import Submission, write_submission


def main(job):
    params, development = job.params, job.input.get("development")
    submission = Submission(
        suite=job.wildcards.suite,
        systems=params.systems,
        settings=params.settings,
        threshold=params.threshold,
        models=params.models,
        sample_rate=params.sample_rate,
        tables=Path(job.input.tables),
        development_tables=Path(development[0]) if development else None,
        afterwards=params.afterwards,
    )
    write_submission(submission, job.output.package)


run_job(snakemake, main)
