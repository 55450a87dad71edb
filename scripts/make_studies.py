from workflow_lib.job import run_job
from workflow_lib.studies.job import make_study


def main(job):
    for settings in job.params.settings:
        make_study(settings, job.input.tables, job.output.studies / settings["name"])


run_job(snakemake, main)
