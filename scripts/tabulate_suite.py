from workflow_lib.bootstrap import Resampling
from workflow_lib.evaluation import Evidence, write_tables
from workflow_lib.job import run_job


def main(job):
    params, inputs = job.params, job.input
    evidence = Evidence(
        suite=job.wildcards.suite,
        labelled=params.labelled,
        evaluations=params.evaluations,
        config=params.config,
        left_out=params.left_out,
        notes=inputs.get("notes"),
        folds=inputs.get("folds"),
        adapters=inputs.get("adapters"),
        manifests=inputs.get("manifests"),
        bootstrap=Resampling(**params.bootstrap),
    )
    write_tables(evidence, job.output.tables)


run_job(snakemake, main)
