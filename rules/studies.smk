# The paper's tables and figures from the evidence of a suite, the published value beside ours.
from workflow_lib.plan.studies import Studies

studies = Studies(plan)


rule make_studies:
    input:
        tables=paths.tables,
        scores=studies.score_folders,
    output:
        studies=directory(paths.studies),
    log:
        paths.log(paths.studies),
    benchmark:
        paths.benchmark(paths.studies)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(15),
    params:
        settings=lambda w: [studies.settings(w.suite, name) for name in studies.names(w.suite)],
        code=lambda w: code_digest("make_studies"),
    message:
        "Make the studies of suite {wildcards.suite}"
    script:
        "../scripts/make_studies.py"


rule studies:
    input:
        studies=studies.suite_folders,
        report=paths.report,
    message:
        "The paper's tables and figures: {input.studies}"
