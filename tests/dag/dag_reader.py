"""Prints the jobs that a target needs as JSON: rule, input and output files; a process in the folder of the run,
with its mine.yaml if there is one.

A dry run with messages does not print files, so the DAG is read from Snakemake itself.
"""

import contextlib
import json
import sys
from pathlib import Path

from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness


def read_jobs(snakefile: Path, targets: list[str]) -> list[dict[str, object]]:
    own = Path("mine.yaml")
    config = ConfigSettings(configfiles=[own] if own.exists() else [])
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            snakefile=snakefile, resource_settings=ResourceSettings(cores=2), config_settings=config
        )
        dag = workflow.dag(dag_settings=DAGSettings(targets=set(targets), forceall=True))
        dag.execute_workflow(executor="dryrun")
        jobs = workflow._workflow_store.dag.jobs
        return [{"rule": job.rule.name, "input": list(job.input), "output": list(job.output)} for job in jobs]


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = read_jobs(Path(sys.argv[1]), sys.argv[2:])
    print(json.dumps(found))
