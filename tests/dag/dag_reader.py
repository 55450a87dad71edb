"""Prints the jobs that a target needs as JSON: rule, input and output files, and `group`, which the jobs share that
Snakemake submits together under a profile (DAG_PROFILE, a profile's file); a process in the folder of the run, with its
mine.yaml if there is one.

A dry run with messages does not print files, so the DAG is read from Snakemake itself.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import yaml
from snakemake.api import ConfigSettings, DAGSettings, GroupSettings, OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness


def read_jobs(snakefile: Path, targets: list[str]) -> list[dict[str, object]]:
    own = Path("mine.yaml")
    config = ConfigSettings(configfiles=[own] if own.exists() else [])
    profile = yaml.safe_load(Path(os.environ.get("DAG_PROFILE", os.devnull)).read_text(encoding="utf-8")) or {}
    groups = GroupSettings(
        overwrite_groups=profile.get("groups", {}), group_components=profile.get("group-components", {})
    )
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            snakefile=snakefile,
            resource_settings=ResourceSettings(cores=2),
            config_settings=config,
        )
        dag = workflow.dag(dag_settings=DAGSettings(targets=set(targets), forceall=True))
        dag.execute_workflow(executor="dryrun", group_settings=groups)
        dag = workflow._workflow_store.dag
        return [
            {
                "rule": job.rule.name,
                "input": list(job.input),
                "output": list(job.output),
                "group": _submitted(dag, job),
            }
            for job in dag.jobs
        ]


def _submitted(dag, job) -> str:
    """What is one submission: a group that Snakemake made, or the job alone."""
    group = dag.get_job_group(job)
    return f"job {job.jobid}" if group is None else f"group {group.jobid}"


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = read_jobs(Path(sys.argv[1]), sys.argv[2:])
    print(json.dumps(found))
