# What the challenge takes: per evaluation suite scores, decisions and meta files of the submitted systems, zipped.
from workflow_lib.submission.inputs import SubmissionInputs

submission = SubmissionInputs(plan)


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
        mem_mb=1000,
        runtime=10,
    params:
        systems=lambda w: submission.systems(w.suite),
        settings=plan.config["submission"],
        threshold=plan.config["evidence"]["threshold"],
        models=plan.config["models"],
        sample_rate=lambda w: plan.suites[w.suite].sample_rate,
        afterwards=lambda w: plan.suites[w.suite].labelled,
        code=code_digest("write_submission"),
    message:
        "Write the submission for suite {wildcards.suite}"
    script:
        "../scripts/write_submission.py"


rule submission:
    input:
        packages=submission.packages,
    log:
        f"{paths.results}/logs/submission.log",
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        remarks=submission.remarks(),
        code=code_digest("print_submission"),
    message:
        "What is ready to be submitted"
    script:
        "../scripts/print_submission.py"
