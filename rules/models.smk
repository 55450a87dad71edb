# Models are trained on normal clips, then each clip goes through them once: residuals and statistics end in HDF5 stores.

from workflow_lib.encoders.gpus import visible_gpus

# One process on a GPU: as many such jobs side by side here as this machine has, or the command line says (--resources gpu=2).
if "gpu" not in workflow.global_resources and visible_gpus():
    workflow.register_resource("gpu", visible_gpus())
    workflow.resource_scopes["gpu"] = "local"


rule train_autoencoder:
    input:
        manifest=paths.manifest,
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine, ("train",)),
    output:
        weights=paths.autoencoder,
        training_log=paths.training_log,
        batch_values=paths.batch_values,
    log:
        paths.log(paths.autoencoder),
    benchmark:
        paths.benchmark(paths.autoencoder)
    conda:
        "../envs/conda.yaml"
    threads: 1  # training is chaotic: their number decides the result, and two machines side by side are faster
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(3000),
        runtime=site.runtime(60),
    params:
        model=lambda w: plan.models.settings(w.model),
        reading=lambda w: plan.recordings.reading(w.suite),
        code=lambda w: code_digest("train_autoencoder"),
    message:
        "Train autoencoder {wildcards.model} on the normal clips of {wildcards.machine} ({wildcards.suite})"
    script:
        "../scripts/train_autoencoder.py"


rule apply_autoencoder:
    input:
        manifest=paths.manifest,
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine),
        weights=paths.autoencoder,
    output:
        residuals=paths.residuals,
    log:
        paths.log(paths.residuals),
    benchmark:
        paths.benchmark(paths.residuals)
    conda:
        "../envs/conda.yaml"
    threads: 1
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(3000),
        runtime=site.runtime(15),
    params:
        model=lambda w: plan.models.settings(w.model),
        second_moments=lambda w: plan.scores.needs_second_moments(w.model),
        reading=lambda w: plan.recordings.reading(w.suite),
        code=lambda w: code_digest("apply_autoencoder"),
    message:
        "Reconstruct all clips of {wildcards.machine} with {wildcards.model} ({wildcards.suite})"
    script:
        "../scripts/apply_autoencoder.py"


rule train_adapter:
    input:
        manifests=plan.models.adaptation_manifests,
        recordings=plan.models.adaptation_recordings,
        weights=plan.models.weights,
    output:
        adapter=directory(paths.adapter),
    log:
        paths.log(paths.adapter),
    benchmark:
        paths.benchmark(paths.adapter)
    conda:
        "../envs/conda.yaml"
    threads: plan.config["compute"]["threads"]
    resources:
        **site.gpu_job,
        mem_mb=site.mem_mb(24000),
        runtime=site.runtime(60),
    params:
        model=lambda w: plan.models.settings(w.model),
        encoder=lambda w: plan.models.encoder(w.model),
        reading=lambda w: plan.recordings.reading(w.suite),
        held_out=lambda w: plan.models.held_out_machines(w.model, w.suite),
        device=plan.config["compute"]["device"],
        code=lambda w: code_digest("train_adapter", "encoders.eat"),
    message:
        "Adapt {wildcards.model} on the other machines' normal clips ({wildcards.suite})"
    script:
        "../scripts/train_adapter.py"


rule embed_machine:
    input:
        manifest=paths.manifest,
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine),
        weights=plan.models.weights,
        adapter=plan.models.adapter,
    output:
        embeddings=paths.embeddings,
    log:
        paths.log(paths.embeddings),
    benchmark:
        paths.benchmark(paths.embeddings)
    conda:
        "../envs/conda.yaml"
    threads: plan.config["compute"]["threads"]
    resources:
        **site.gpu_job,
        mem_mb=site.mem_mb(12000),
        runtime=site.runtime(60),
    params:
        model=lambda w: plan.models.settings(w.model),
        encoder=lambda w: plan.models.encoder(w.model),
        channels=plan.scores.channels,
        reading=lambda w: plan.recordings.reading(w.suite),
        compute={key: plan.config["compute"][key] for key in ("device", "precision", "compile")},  # threads change nothing on a GPU
        code=lambda w: code_digest("embed_machine", *plan.models.embedding_modules(w.model)),
    message:
        "Embed all clips of {wildcards.machine} with {wildcards.model} ({wildcards.suite})"
    script:
        "../scripts/embed_machine.py"


rule embed_spectra:
    input:
        manifest=paths.manifest,
        recordings=lambda w: plan.suites[w.suite].recordings(w.machine),
    output:
        embeddings=paths.embeddings,
    log:
        paths.log(paths.embeddings),
    benchmark:
        paths.benchmark(paths.embeddings)
    wildcard_constraints:
        model=plan.wildcards["model_without_weights"],
    conda:
        "../envs/conda.yaml"
    threads: 1  # ten milliseconds a clip
    resources:
        **site.cpu_job,
        mem_mb=site.mem_mb(2000),
        runtime=site.runtime(20),
    params:
        model=lambda w: plan.models.settings(w.model),
        channels=plan.scores.channels,
        reading=lambda w: plan.recordings.reading(w.suite),
        code=lambda w: code_digest("embed_spectra", "encoders.logmel"),
    message:
        "Compute spectra of all clips of {wildcards.machine} with {wildcards.model} ({wildcards.suite})"
    script:
        "../scripts/embed_spectra.py"


ruleorder: embed_spectra > embed_machine
