from workflow_lib.job import run_job
from workflow_lib.report import build_report


def main(job):
    build_report(
        dict(zip(job.params.suites, job.input.tables, strict=True)),
        job.output.report,
        title=job.params.title,
        provenance=job.params.provenance,
        figures=job.output.figures,
        health=dict(zip(job.params.checked, job.input.get("health", []), strict=True)),
    )


run_job(snakemake, main)
