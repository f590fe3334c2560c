"""One job a run or trial, and one a tuned cell."""


rule tune:
    """Choose a cell's tuned values by the scores of its trials."""
    input:
        task=lambda wildcards: PIPELINE.tuning_task(wildcards.key),
        encoded=lambda wildcards: PIPELINE.tuning_encodings(wildcards.key),
        trials=lambda wildcards: PIPELINE.tuning_trials(wildcards.key),
    output:
        f"{RESULTS}/tuning/{{key}}.json",
    log:
        f"{RESULTS}/logs/tune-{{key}}.log",
    priority: PREPARATION
    conda:
        "../../environment.yml"
    threads: lambda wildcards: PIPELINE.run_threads(PIPELINE.tuning_run(wildcards.key))
    resources:
        **PIPELINE.node_resources(lambda wildcards: PIPELINE.tuning_run(wildcards.key)),
        gpu=lambda wildcards: PIPELINE.run_gpus(PIPELINE.tuning_run(wildcards.key)),
        gpu_parts=lambda wildcards, attempt: PIPELINE.run_gpu_parts(
            PIPELINE.tuning_run(wildcards.key), attempt
        ),
        mem_mb=lambda wildcards, attempt: PIPELINE.tuning_memory(wildcards.key, attempt),
        runtime=lambda wildcards, attempt: PIPELINE.tuning_minutes(
            wildcards.key, attempt
        ),
        attempt=lambda wildcards, attempt: attempt,
        attempts=lambda wildcards: attempts(workflow),
    params:
        spec=lambda wildcards: PIPELINE.tuning_json(wildcards.key),
        source=lambda wildcards: PIPELINE.tuning_digest(wildcards.key),
        results=lambda wildcards: RESULTS,
    shell:
        "printf %s {params.spec:q} | python -m finegrid.training.tune --spec - "
        "--results {params.results:q} --threads {threads} --gpu-parts {resources.gpu_parts:q} "
        "--attempt {resources.attempt:q} --attempts {resources.attempts:q} 2> {log:q}"


rule run:
    """Train and evaluate one run. Its specification and the digest of its source decide reruns."""
    input:
        task=lambda wildcards: PIPELINE.run_task(wildcards.run),
        model=lambda wildcards: PIPELINE.run_model(wildcards.run),
        encoded=lambda wildcards: PIPELINE.run_encodings(wildcards.run),
        choice=lambda wildcards: PIPELINE.run_choice(wildcards.run),
    output:
        f"{RESULTS}/runs/{{run}}/result.json",
    log:
        f"{RESULTS}/logs/run-{{run}}.log",
    priority: lambda wildcards: PIPELINE.priorities.of(wildcards.run)
    conda:
        "../../environment.yml"
    threads: lambda wildcards: PIPELINE.run_threads(wildcards.run)
    resources:
        **PIPELINE.node_resources(lambda wildcards: wildcards.run),
        gpu=lambda wildcards: PIPELINE.run_gpus(wildcards.run),
        gpu_parts=lambda wildcards, attempt: PIPELINE.run_gpu_parts(
            wildcards.run, attempt
        ),
        mem_mb=lambda wildcards, attempt: PIPELINE.run_memory(wildcards.run, attempt),
        runtime=lambda wildcards, attempt: PIPELINE.run_minutes(wildcards.run, attempt),
        attempt=lambda wildcards, attempt: attempt,
        attempts=lambda wildcards: attempts(workflow),
    params:
        spec=lambda wildcards: PIPELINE.run_json(wildcards.run),
        source=lambda wildcards: PIPELINE.run_digest(wildcards.run),
        results=lambda wildcards: RESULTS,
    shell:
        "printf %s {params.spec:q} | python -m finegrid.training.processes.client --spec - "
        "--results {params.results:q} --threads {threads} --gpu-parts {resources.gpu_parts:q} "
        "--attempt {resources.attempt:q} --attempts {resources.attempts:q} 2> {log:q}"
