from workflow_lib.evaluation import Evidence, write_tables
from workflow_lib.evaluation.bootstrap import Resampling
from workflow_lib.evaluation.threshold_table import write_thresholds
from workflow_lib.job import run_job


def main(job):
    params, inputs = job.params, job.input
    evidence = Evidence(
        suite=job.wildcards.suite,
        labelled=params.labelled,
        evaluations=params.evaluations,
        config=params.config,
        left_out=params.left_out,
        notes=params.notes,
        folds=params.folds,
        adapters=inputs.get("adapters"),
        manifests=inputs.get("manifests"),
        bootstrap=Resampling(**params.bootstrap),
    )
    write_tables(evidence, job.output.tables)
    write_thresholds(job.output.tables / "thresholds.csv", params.evaluations, params.threshold, params.config)


run_job(snakemake, main)
