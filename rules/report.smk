# Score tables become evidence: tables of a suite, then one page for all suites.


rule tabulate_suite:
    input:
        tables=inputs.suite_tables,
        notes=inputs.suite_notes,
        folds=inputs.suite_folds,
        adapters=inputs.suite_adapters,
        manifests=inputs.suite_manifests,
        normal_scores=inputs.suite_normal_scores,
    output:
        tables=directory(paths.tables),
    log:
        paths.log(paths.tables),
    benchmark:
        paths.benchmark(paths.tables)
    conda:
        "../envs/conda.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        evaluations=lambda w: inputs.threshold_rows(w.suite),
        threshold=plan.config["evidence"]["threshold"],
        config=lambda w: {key: plan.config[key] for key in ("models", "branches", "systems")},
        left_out=lambda w: plan.left_out(w.suite),
        labelled=lambda w: plan.suites[w.suite].labelled,
        code=code_digest("tabulate_suite"),
    message:
        "Tabulate all scores of suite {wildcards.suite}"
    script:
        "../scripts/tabulate_suite.py"


rule write_report:
    input:
        tables=inputs.report_tables,
        health=inputs.health_tables,
    output:
        report=paths.report,
        figures=directory(paths.figures),
    log:
        paths.log(paths.report),
    benchmark:
        paths.benchmark(paths.report)
    conda:
        "../envs/conda.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        suites=list(plan.run_suites),
        checked=inputs.recorded_suites,
        title=plan.config["report"]["title"],
        provenance=plan.provenance,
        code=code_digest("write_report"),
    message:
        "Write {output.report}"
    script:
        "../scripts/write_report.py"
