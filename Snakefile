# DualMic-ASD: from two-channel recordings to a ranked report. `snakemake -n` shows what would run; README.md is the way in.
import time
from pathlib import Path

from snakemake.utils import min_version

from workflow_lib.cluster.refusals import refusal_lines
from workflow_lib.cluster.site import load_site
from workflow_lib.digest import code_digest
from workflow_lib.errors import UserError
from workflow_lib.job import error_lines
from workflow_lib.plan.load import load_plan
from workflow_lib.plan.requirements import wanted_weights

min_version("9.27")
started = time.time()


configfile: Path(workflow.basedir, "config.yaml")


try:
    plan = load_plan(config, Path(workflow.basedir, "config.yaml"), workflow.configfiles)
    site = load_site(Path(workflow.basedir, plan.config["compute"]["site"]))
except UserError as error:
    raise SystemExit(str(error)) from None

paths = plan.paths


container: "envs/dualmic-asd.sif"  # with --sdm apptainer only, from the root of the clone (envs/apptainer.def)


wildcard_constraints:
    **plan.wildcards,


include: "rules/fetch.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/scores.smk"
include: "rules/studies.smk"
include: "rules/report.smk"
include: "rules/submission.smk"


onstart:
    # Imported here: a dry run needs neither numpy nor soundfile.
    from workflow_lib.cluster.run import begin, check_defaults, check_no_orphans
    from workflow_lib.run.preflight import check_ready, hold_run_lock, remarks
    from workflow_lib.run.stages import announce

    try:
        hold_run_lock(Path(".snakemake", "run.lock"))
        check_ready(plan, workflow.dag.needrun_jobs())
        if workflow.executor_plugin.name == "slurm":
            check_defaults(workflow.dag.needrun_jobs())
            begin(site, workflow.executor_settings.partition_config)
        else:
            check_no_orphans(str(Path.cwd()))
    except UserError as error:
        raise SystemExit(str(error)) from None
    for line in remarks(plan):
        logger.warning(line)
    announce(workflow.dag.needrun_jobs())


onsuccess:
    from workflow_lib.run.stages import show
    from workflow_lib.run.summary import summary_lines

    show(summary_lines(workflow.dag.jobs))


onerror:
    for line in [*refusal_lines(log), *error_lines(Path(paths.results, "logs"), since=started)]:
        logger.error(line)


rule all:
    default_target: True
    input:
        report=paths.report,
    message:
        "Everything is made: open {input.report}"
