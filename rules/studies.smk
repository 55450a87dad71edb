# The paper's tables and figures from the evidence of a suite, the published value beside ours.


rule make_study:
    input:
        tables=paths.tables,
        scores=inputs.study_tables,
    output:
        study=directory(paths.study),
    log:
        paths.log(paths.study),
    benchmark:
        paths.benchmark(paths.study)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(5),
    params:
        settings=lambda w: inputs.studies.settings(w.suite, w.study),
        code=lambda w: code_digest("make_study"),
    message:
        "Make study {wildcards.study} ({wildcards.suite})"
    script:
        "../scripts/make_study.py"


rule studies:
    input:
        studies=inputs.study_folders,
        report=paths.report,
    message:
        "The paper's tables and figures: {input.studies}"
