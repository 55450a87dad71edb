from workflow_lib.job import run_job
from workflow_lib.report import Material, build_report
from workflow_lib.report.provenance import package_versions


def main(job):
    inputs, params = job.input, job.params
    material = Material(
        health=dict(zip(params.recorded, inputs.get("health", []), strict=True)),
        clips=dict(zip(params.recorded, inputs.get("clips", []), strict=True)),
        studies=params.studies,
        benchmarks=params.benchmarks,
        wrong_clips=params.settings["wrong_clips"],
    )
    build_report(
        dict(zip(params.suites, inputs.tables, strict=True)),
        job.output.report,
        title=params.settings["title"],
        provenance=params.provenance | {"code of the page": params.code} | package_versions(),
        figures=job.output.figures,
        material=material,
    )


run_job(snakemake, main)
