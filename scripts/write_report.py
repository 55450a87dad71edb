from workflow_lib.job import run_job
from workflow_lib.report import ReportInputs, build_report
from workflow_lib.report.sections.provenance import package_versions


def main(job):
    given, params = job.input, job.params
    inputs = ReportInputs(
        health=dict(zip(params.recorded, given.get("health", []), strict=True)),
        clips=dict(zip(params.recorded, given.get("clips", []), strict=True)),
        studies=params.studies,
        benchmarks=params.benchmarks,
        wrong_clips=params.settings["wrong_clips"],
    )
    build_report(
        dict(zip(params.suites, given.tables, strict=True)),
        job.output.report,
        title=params.settings["title"],
        provenance=params.provenance | {"code of the page": params.code} | package_versions(),
        figures=job.output.figures,
        inputs=inputs,
        workers=job.threads,
    )


run_job(snakemake, main)
