# Score tables become evidence: tables of a suite, then one page for all suites.


rule tabulate_suite:
    input:
        scores=plan.evaluations.score_folders,
        normal_scores=plan.evaluations.normal_folders,
        fused=plan.evaluations.fused_folders,
        folds=plan.evaluations.fold_folders,
        adapters=plan.evaluations.adapters,
        manifests=lambda w: plan.recordings.manifests(w.suite),
    output:
        tables=directory(paths.tables),
    log:
        paths.log(paths.tables),
    benchmark:
        paths.benchmark(paths.tables)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(20),
    params:
        evaluations=lambda w: [vars(e) for e in plan.evaluations.by_suite[w.suite]],
        notes=plan.evaluations.notes,
        folds=plan.evaluations.fold_files,
        threshold=plan.config["evidence"]["threshold"],
        config=lambda w: {key: plan.config[key] for key in ("branches", "systems")} | {"models": plan.written["models"]},
        left_out=lambda w: plan.reported.left_out(w.suite),
        labelled=lambda w: plan.suites[w.suite].labelled,
        bootstrap=plan.config["evidence"]["bootstrap"],
        code=lambda w: code_digest("tabulate_suite"),
    message:
        "Tabulate all scores of suite {wildcards.suite}"
    script:
        "../scripts/tabulate_suite.py"


rule illustrate_clips:
    input:
        tables=paths.tables,
        manifests=lambda w: plan.recordings.manifests(w.suite),
        recordings=lambda w: [
            path for m in plan.suites[w.suite].machines for path in plan.suites[w.suite].recordings(m)
        ],
    output:
        clips=directory(paths.clips),
    log:
        paths.log(paths.clips),
    benchmark:
        paths.benchmark(paths.clips)
    conda:
        "../envs/conda.yaml"
    threads: 2  # processes that draw
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(5),
    params:
        reading=lambda w: plan.recordings.reading(w.suite),
        wrong_clips=plan.config["report"]["wrong_clips"],
        audio=plan.config["report"]["audio"],
        code=lambda w: code_digest("illustrate_clips"),
    message:
        "Draw and cut the clips that the systems get most wrong ({wildcards.suite})"
    script:
        "../scripts/illustrate_clips.py"


rule write_report:
    input:
        tables=expand(paths.tables, suite=plan.run_suites),
        health=expand(paths.health, suite=plan.recordings.recorded_suites),
        clips=expand(paths.clips, suite=plan.recordings.recorded_suites),
        studies=studies.suite_folders,
    output:
        report=paths.report,
        figures=directory(paths.figures),
    log:
        paths.log(paths.report),
    benchmark:
        paths.benchmark(paths.report)
    conda:
        "../envs/conda.yaml"
    threads: 2  # processes that draw
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(10),
    params:
        suites=list(plan.run_suites),
        recorded=plan.recordings.recorded_suites,
        studies=studies.folders(),
        settings=plan.config["report"],
        benchmarks=paths.benchmarks,
        provenance=plan.provenance,
        code=lambda w: code_digest("write_report"),
    message:
        "Write {output.report}"
    script:
        "../scripts/write_report.py"
