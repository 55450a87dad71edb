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
    params:
        settings=lambda w: plan.suites[w.suite].simulate,
        code=lambda w: code_digest("simulate_machine", "simulation.suite", f"simulation.machines.{w.machine}"),
    message:
        "Simulate near and far recordings of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/simulate_machine.py"


rule index_machine:
    input:
        recordings=inputs.recordings,
    output:
        manifest=paths.manifest,
    log:
        paths.log(paths.manifest),
    benchmark:
        paths.benchmark(paths.manifest)
    conda:
        "../envs/conda.yaml"
    params:
        root=lambda w: plan.suites[w.suite].root,
        files=lambda w: plan.suites[w.suite].fingerprint(w.machine),
        rules=lambda w: plan.index_rules(w.suite),
        code=code_digest("index_machine"),
    message:
        "Check and list the recordings of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/index_machine.py"
