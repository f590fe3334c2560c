"""The plan, and the tasks, base models and encodings that its runs need."""


rule plan:
    """Every cell and every run of the benchmark, as the analysis reads them."""
    output:
        f"{RESULTS}/plans/{NAME}.json",
    log:
        f"{RESULTS}/logs/plan-{NAME}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    params:
        benchmark=lambda wildcards: PIPELINE.benchmark_json,
        source=PIPELINE.module_digest("finegrid.planning.plan"),
        hashes=PIPELINE.hashes,
        anatomies=str(PIPELINE.anatomies.folder),
    shell:
        "printf %s {params.benchmark:q} | python -m finegrid.planning.plan --benchmark - "
        "--output {output:q} --hashes {params.hashes:q} "
        "--anatomies {params.anatomies:q} 2> {log:q}"


rule prepare_task:
    """Fetch a data set and split it."""
    output:
        f"{RESULTS}/prepared/tasks/{{key}}/manifest.json",
    log:
        f"{RESULTS}/logs/prepare-task-{{key}}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: PIPELINE.task_json(wildcards.key),
        source=lambda wildcards: PIPELINE.task_digest(wildcards.key),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        cache=f"{RESULTS}/prepared/downloads",
    shell:
        "printf %s {params.spec:q} | python -m finegrid.prepare.task --spec - "
        "--output {params.folder:q} --cache {params.cache:q} 2> {log:q}"


rule prepare_model:
    """Fetch a base model, make it, or pretrain it on its source task."""
    input:
        lambda wildcards: PIPELINE.model_inputs(wildcards.key),
    output:
        f"{RESULTS}/prepared/models/{{key}}/manifest.json",
    log:
        f"{RESULTS}/logs/prepare-model-{{key}}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    threads: lambda wildcards: PIPELINE.base_models.threads(wildcards.key)
    resources:
        gpu=lambda wildcards: PIPELINE.base_models.gpus(wildcards.key),
        gpu_parts=lambda wildcards: PIPELINE.base_models.gpu_parts(wildcards.key),
        mem_mb=lambda wildcards, attempt: PIPELINE.base_models.memory(
            wildcards.key, attempt
        ),
        runtime=lambda wildcards, attempt: PIPELINE.base_models.minutes(
            wildcards.key, attempt
        ),
    params:
        spec=lambda wildcards: PIPELINE.base_models.json(wildcards.key),
        source=lambda wildcards: PIPELINE.base_models.digest(wildcards.key),
        loaders=lambda wildcards: PIPELINE.base_models.loaders(wildcards.key),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        tasks=f"{RESULTS}/prepared/tasks",
        cache=f"{RESULTS}/prepared/downloads",
    shell:
        "printf %s {params.spec:q} | python -m finegrid.prepare.model --spec - "
        "--output {params.folder:q} --tasks {params.tasks:q} --cache {params.cache:q} "
        "--loaders {params.loaders:q} 2> {log:q}"


rule processor:
    """Name a prepared model for all that encode as it does: one more of them encodes nothing anew."""
    input:
        lambda wildcards: PIPELINE.encodings.model(wildcards.key),
    output:
        f"{RESULTS}/prepared/processors/{{key}}.txt",
    log:
        f"{RESULTS}/logs/processor-{{key}}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    params:
        model=lambda wildcards: PIPELINE.encodings.processors[wildcards.key],
    shell:
        "printf %s {params.model:q} > {output:q} 2> {log:q}"


rule encode:
    """Turn the examples of a task into what models read, once for all runs that read the same."""
    input:
        task=lambda wildcards: PIPELINE.encodings.task(wildcards.key),
        # What the processor is made of is in the key: which of the models has it changes nothing.
        processor=ancient(lambda wildcards: PIPELINE.encodings.processor(wildcards.key)),
    output:
        f"{RESULTS}/prepared/encoded/{{key}}/manifest.json",
    log:
        f"{RESULTS}/logs/encode-{{key}}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wildcards, attempt: PIPELINE.encoding_memory(
            wildcards.key, attempt
        ),
        runtime=lambda wildcards, attempt: PIPELINE.encoding_minutes(
            wildcards.key, attempt
        ),
    params:
        spec=lambda wildcards: PIPELINE.encodings.record(wildcards.key),
        source=lambda wildcards: PIPELINE.encodings.digest(wildcards.key),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        prepared=lambda wildcards: f"{RESULTS}/prepared",
    shell:
        "printf %s {params.spec:q} | python -m finegrid.prepare.encode --spec - "
        "--output {params.folder:q} --prepared {params.prepared:q} "
        "--processor {input.processor:q} 2> {log:q}"
