# Recordings: made (demo) or found, then listed in one manifest per machine.


rule simulate_machine:
    output:
        recordings=directory(paths.simulated),
    log:
        paths.log(paths.simulated),
    benchmark:
        paths.benchmark(paths.simulated)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(20),
    params:
        settings=lambda w: plan.suites[w.suite].simulate,
        code=lambda w: code_digest("simulate_machine", "simulation.suite", f"simulation.machines.{w.machine}"),
    message:
        "Simulate near and far recordings of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/simulate_machine.py"


rule disturb_machine:
    input:
        recordings=plan.recordings.disturbed_from,
    output:
        recordings=directory(paths.simulated),
    log:
        paths.log(paths.simulated),
    benchmark:
        paths.benchmark(paths.simulated)
    wildcard_constraints:
        suite=plan.wildcards["pseudo_suite"],
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(10),
    params:
        disturbing=plan.recordings.disturbing,
        code=lambda w: code_digest("disturb_machine"),
    message:
        "Disturb normal training clips of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/disturb_machine.py"


ruleorder: disturb_machine > simulate_machine


rule index_machine:
    input:
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine),
    output:
        manifest=paths.manifest,
    log:
        paths.log(paths.manifest),
    benchmark:
        paths.benchmark(paths.manifest)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(10),
    params:
        root=lambda w: plan.suites[w.suite].root,
        files=lambda w: plan.suites[w.suite].fingerprint(w.machine),
        rules=lambda w: plan.recordings.index_rules(w.suite),
        code=lambda w: code_digest("index_machine"),
    message:
        "Check and list the recordings of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/index_machine.py"


rule index:
    input:
        manifests=[path for suite in plan.run_suites for path in plan.recordings.manifests(suite)],
    message:
        "Every recording is checked and listed: {input.manifests}"


rule check_machine:
    input:
        manifest=paths.manifest,
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine),
    output:
        clips=paths.clip_health,
    log:
        paths.log(paths.clip_health),
    benchmark:
        paths.benchmark(paths.clip_health)
    conda:
        "../envs/conda.yaml"
    threads: 1  # ten milliseconds a clip
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(10),
    params:
        code=lambda w: code_digest("check_machine"),
    message:
        "Measure level, coherence and clipping of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/check_machine.py"


rule tabulate_health:
    input:
        clips=lambda w: expand(paths.clip_health, suite=w.suite, machine=plan.suites[w.suite].machines),
    output:
        tables=directory(paths.health),
    log:
        paths.log(paths.health),
    benchmark:
        paths.benchmark(paths.health)
    conda:
        "../envs/conda.yaml"
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(1000),
        runtime=site.runtime(2),
    params:
        code=lambda w: code_digest("tabulate_health"),
    message:
        "Tabulate the health of suite {wildcards.suite}"
    script:
        "../scripts/tabulate_health.py"


rule check:
    input:
        tables=expand(paths.health, suite=plan.recordings.recorded_suites),
    log:
        f"{paths.results}/logs/check.log",
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        suites=plan.recordings.recorded_suites,
        code=lambda w: code_digest("print_health"),
    message:
        "Health of the recordings"
    script:
        "../scripts/print_health.py"
