# One anomaly score per clip and branch; then calibration and weights per fold, and the fused scores.


rule score_model:
    input:
        sources=plan.scores.sources,
        normal=plan.scores.external_normal_scores,
    output:
        scores=directory(paths.scores),
        normal_scores=directory(paths.normal_scores),
    log:
        paths.log(paths.scores),
    benchmark:
        paths.benchmark(paths.scores)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(10),
    params:
        branches=plan.scores.branches,
        code=lambda w: code_digest("score_model", *plan.scores.modules(w)),
    message:
        "Score {wildcards.machine} with all branches of {wildcards.model} ({wildcards.suite})"
    script:
        "../scripts/score_model.py"


rule fit_folds:
    input:
        scores=plan.scores.selection_scores,
        normal_scores=plan.scores.selection_normal_scores,
    output:
        fusion=directory(paths.fusion),
    log:
        paths.log(paths.fusion),
    benchmark:
        paths.benchmark(paths.fusion)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(15),
    params:
        machines=lambda w: plan.folds.other_machines(w.suite, [w.held_out]),
        folds=lambda w: plan.folds.by_machine[w.suite],
        systems=plan.scores.fitted_systems,
        code=lambda w: code_digest("fit_folds"),
    message:
        "Choose calibration and weights of all systems, held out: {wildcards.held_out} ({wildcards.protocol})"
    script:
        "../scripts/fit_folds.py"


rule fuse_machine:
    input:
        scores=plan.scores.machine_scores,
        normal_scores=plan.scores.machine_normal_scores,
        fusion=plan.scores.folds_of_machine,
        pseudo=plan.scores.pseudo_scores,
    output:
        fused=directory(paths.fused),
    log:
        paths.log(paths.fused),
    benchmark:
        paths.benchmark(paths.fused)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(5),
    params:
        systems=plan.scores.systems,
        code=lambda w: code_digest("fuse_machine"),
    message:
        "Fuse the scores of {wildcards.machine} ({wildcards.protocol}, {wildcards.suite})"
    script:
        "../scripts/fuse_machine.py"
