# Published recordings, on the login node: what a record holds is listed and compared with the lock file, then archive by archive.
# No rule that computes asks for these files: nothing is downloaded but by `snakemake fetch_data` (docs/data.md).


# As many archives side by side as the configuration says, unless the command line has its own --resources downloads=n.
if "downloads" not in workflow.global_resources:
    workflow.register_resource("downloads", plan.config["fetch"]["parallel"])


rule list_archives:
    output:
        listing=temp(paths.archives),
    log:
        paths.log(paths.archives),
    benchmark:
        paths.benchmark(paths.archives)
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        suite=lambda w: plan.recordings.fetching(w.suite),
        code=lambda w: code_digest("list_archives"),
    message:
        "List what is published of {wildcards.suite} and check free disk space"
    script:
        "../scripts/list_archives.py"


rule fetch_archive:
    input:
        listing=paths.archives,
    output:
        done=paths.fetched,
    log:
        paths.log(paths.fetched),
    benchmark:
        paths.benchmark(paths.fetched)
    localrule: True
    conda:
        "../envs/conda.yaml"
    resources:
        downloads=1,
    params:
        suite=lambda w: plan.recordings.fetching(w.suite),
        stale=plan.recordings.is_stale,
        code=lambda w: code_digest("fetch_archive"),
    message:
        "Fetch and unpack {wildcards.machine} ({wildcards.part}, {wildcards.suite})"
    script:
        "../scripts/fetch_archive.py"


rule fetch_data:
    input:
        done=plan.recordings.unfetched,
    log:
        f"{paths.results}/logs/fetch_data.log",
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        suites={name: plan.recordings.fetching(name) for name in plan.run_suites if plan.suites[name].fetch},
        code=lambda w: code_digest("fetch_data"),
    message:
        "Check the published recordings"
    script:
        "../scripts/fetch_data.py"


rule fetch_weights:
    log:
        f"{paths.results}/logs/fetch_weights.log",
    localrule: True
    conda:
        "../envs/conda.yaml"
    params:
        wanted=wanted_weights(plan),
        fetch=plan.config["fetch"],
        code=lambda w: code_digest("fetch_weights"),
    message:
        "Download missing weights"
    script:
        "../scripts/fetch_weights.py"
