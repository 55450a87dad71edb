# What the challenge takes: per evaluation suite scores, decisions and meta files of the submitted systems, zipped.
from workflow_lib.plan.submission import SubmissionFiles, evaluation_suites, left_out

submission = SubmissionFiles(plan)


rule write_submission:
    input:
        tables=paths.tables,
        scores=submission.scores,
        development=submission.development_tables,
        weights=submission.made_weights,
        report=submission.technical_report,
    output:
        package=directory(paths.submission),
    log:
        paths.log(paths.submission),
    benchmark:
        paths.benchmark(paths.submission)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(10),
    params:
        systems=lambda w: submission.systems(w.suite),
        settings=plan.config["submission"],
        threshold=plan.config["evidence"]["threshold"],
        models=plan.config["models"],
        sample_rate=lambda w: plan.suites[w.suite].sample_rate,
        afterwards=lambda w: plan.suites[w.suite].labelled,
        code=lambda w: code_digest("write_submission"),
    message:
        "Write the submission for suite {wildcards.suite}"
    script:
        "../scripts/write_submission.py"


rule submission:
    input:
        packages=expand(paths.submission, suite=evaluation_suites(plan)),
    log:
        f"{paths.results}/logs/submission.log",
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        remarks=[line for suite in evaluation_suites(plan) for line in left_out(plan, suite)],
        code=lambda w: code_digest("print_submission"),
    message:
        "List the finished submissions"
    script:
        "../scripts/print_submission.py"


rule write_baseline_files:
    input:
        residuals=lambda w: expand(paths.residuals, suite=w.suite, model=w.model, machine=plan.suites[w.suite].machines),
        batch_values=lambda w: expand(
            paths.batch_values, suite=w.suite, model=w.model, machine=plan.suites[w.suite].machines
        ),
    output:
        files=directory(paths.baseline),
    log:
        paths.log(paths.baseline),
    benchmark:
        paths.benchmark(paths.baseline)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(10),
    params:
        machines=lambda w: plan.suites[w.suite].machines,
        seed=lambda w: plan.models.settings(w.model)["seed"],
        evaluation=lambda w: plan.suites[w.suite].select_on is not None,
        code=lambda w: code_digest("write_baseline_files"),
    message:
        "Write the files of the official baseline for {wildcards.model} ({wildcards.suite})"
    script:
        "../scripts/write_baseline_files.py"


rule baseline:
    input:
        files=submission.baseline_folders,
    message:
        "Files as the official baseline writes them: {input.files}"
