from workflow_lib.job import run_job
from workflow_lib.studies.job import make_study


def main(job):
    make_study(job.params.settings, job.input.tables, job.output.study)


run_job(snakemake, main)
