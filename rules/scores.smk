# One anomaly score per clip and branch; then calibration and weights per fold, and the fused scores.


rule score_branch:
    input:
        source=inputs.score_source,
        normal=inputs.external_normal_scores,
    output:
        scores=paths.scores,
        normal_scores=paths.normal_scores,
        notes=paths.notes,
    log:
        paths.log(paths.scores),
    benchmark:
        paths.benchmark(paths.scores)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(3),
    params:
        branch=lambda w: plan.config["branches"][w.branch],
        kind=lambda w: plan.branch_kind(w.branch),
        code=lambda w: code_digest("score_branch"),
    message:
        "Score {wildcards.machine} with {wildcards.branch} ({wildcards.model}, {wildcards.suite})"
    script:
        "../scripts/score_branch.py"


rule fit_fusion:
    input:
        tables=inputs.selection_tables,
    output:
        fusion=paths.fusion,
    log:
        paths.log(paths.fusion),
    benchmark:
        paths.benchmark(paths.fusion)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(3),
    params:
        machines=lambda w: inputs.selection_machines(w.suite, w.held_out),
        system=lambda w: plan.system(w.system),
        candidates=lambda w: plan.choices(w.system, w.suite, w.protocol),
        code=lambda w: code_digest("fit_fusion"),
    message:
        "Choose calibration and weights of {wildcards.system}, held out: {wildcards.held_out} ({wildcards.protocol})"
    script:
        "../scripts/fit_fusion.py"


rule fuse_scores:
    input:
        tables=inputs.branch_tables,
        fusion=inputs.fold,
    output:
        scores=paths.fused,
    log:
        paths.log(paths.fused),
    benchmark:
        paths.benchmark(paths.fused)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(2),
    params:
        candidates=lambda w: plan.choices(w.system, w.suite, w.protocol),
        code=lambda w: code_digest("fuse_scores"),
    message:
        "Fuse {wildcards.system} for {wildcards.machine} ({wildcards.protocol}, {wildcards.suite})"
    script:
        "../scripts/fuse_scores.py"
