"""From results to tables, plots and the report."""

# Folders in params are functions: the linter takes a plain path there for a mistake.


rule collect:
    """One row a planned run, from its record, and one a trial where there are any."""
    input:
        plan=f"{RESULTS}/plans/{NAME}.json",
        results=lambda wildcards: PIPELINE.results_of_runs,
    output:
        runs=f"{RESULTS}/tables/{NAME}-runs.csv",
        tuning=OUTPUTS.tuning_table,
    log:
        f"{RESULTS}/logs/collect-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        missing=lambda wildcards: ["--allow-missing"] if PIPELINE.allow_partial else [],
        source=PIPELINE.module_digest("analysis.collect"),
    shell:
        "python -m analysis.collect --plan {input.plan:q} --runs {params.runs:q} "
        "--output {output.runs:q} {params.missing:q} 2> {log:q}"


rule tables:
    """One row a cell."""
    input:
        runs=f"{RESULTS}/tables/{NAME}-runs.csv",
        pairs=f"{RESULTS}/tables/{NAME}-pairs.csv",
    output:
        OUTPUTS.tables,
    log:
        f"{RESULTS}/logs/tables-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        stem=lambda wildcards: f"{RESULTS}/tables/{NAME}",
        source=PIPELINE.module_digest("analysis.tables"),
    shell:
        "python -m analysis.tables --runs-table {input.runs:q} --pairs-table {input.pairs:q} "
        "--output-stem {params.stem:q} 2> {log:q}"


rule evidence:
    """How sure the differences are: pairs of variants, variance, fronts, and over all tasks."""
    input:
        f"{RESULTS}/tables/{NAME}-runs.csv",
    output:
        OUTPUTS.evidence,
    log:
        f"{RESULTS}/logs/evidence-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        stem=lambda wildcards: f"{RESULTS}/tables/{NAME}",
        source=PIPELINE.module_digest("analysis.evidence"),
    shell:
        "python -m analysis.evidence --runs-table {input:q} --runs {params.runs:q} "
        "--output-stem {params.stem:q} 2> {log:q}"


rule plots:
    """The figures, as PNG and SVG."""
    input:
        runs=f"{RESULTS}/tables/{NAME}-runs.csv",
        tuning=OUTPUTS.tuning_table,
    output:
        OUTPUTS.plots,
    log:
        f"{RESULTS}/logs/plots-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        folder=lambda wildcards: f"{RESULTS}/plots",
        name=NAME,
        tuning=lambda wildcards: OUTPUTS.tuning_arguments,
        source=PIPELINE.module_digest("analysis.plots"),
    shell:
        "python -m analysis.plots --runs-table {input.runs:q} {params.tuning:q} "
        "--runs {params.runs:q} --output {params.folder:q} --benchmark {params.name:q} 2> {log:q}"


if OUTPUTS.claims:

    rule claims:
        """Every claim of the benchmark, decided from its runs, with two figures."""
        input:
            plan=f"{RESULTS}/plans/{NAME}.json",
            runs=f"{RESULTS}/tables/{NAME}-runs.csv",
        output:
            OUTPUTS.claims,
        log:
            f"{RESULTS}/logs/claims-{NAME}.log",
        conda:
            "../../environment.yml"
        params:
            runs=lambda wildcards: f"{RESULTS}/runs",
            stem=lambda wildcards: f"{RESULTS}/tables/{PIPELINE.plan.claims_table}",
            plots=lambda wildcards: f"{RESULTS}/plots",
            source=PIPELINE.module_digest("analysis.claims.command"),
        shell:
            "python -m analysis.claims.command --plan {input.plan:q} --runs-table {input.runs:q} "
            "--runs {params.runs:q} --output-stem {params.stem:q} --plots {params.plots:q} "
            "2> {log:q}"


if OUTPUTS.texts:

    rule texts:
        """A few test examples with what the model of each variant wrote."""
        input:
            plan=f"{RESULTS}/plans/{NAME}.json",
            runs=f"{RESULTS}/tables/{NAME}-runs.csv",
            tasks=lambda wildcards: PIPELINE.tasks_of_runs,
        output:
            OUTPUTS.texts,
        log:
            f"{RESULTS}/logs/texts-{NAME}.log",
        conda:
            "../../environment.yml"
        params:
            runs=lambda wildcards: f"{RESULTS}/runs",
            prepared=lambda wildcards: f"{RESULTS}/prepared",
            source=PIPELINE.module_digest("analysis.texts"),
        shell:
            "python -m analysis.texts --plan {input.plan:q} --runs-table {input.runs:q} "
            "--runs {params.runs:q} --prepared {params.prepared:q} --output {output:q} 2> {log:q}"


rule report:
    """One page with table, plots, gaps and provenance; every number leads to its runs."""
    input:
        plan=f"{RESULTS}/plans/{NAME}.json",
        runs_table=f"{RESULTS}/tables/{NAME}-runs.csv",
        tuning=OUTPUTS.tuning_table,
        tables=OUTPUTS.tables,
        evidence=OUTPUTS.evidence,
        texts=OUTPUTS.texts,
        plots=OUTPUTS.plots,
        tasks=lambda wildcards: PIPELINE.tasks_of_runs,
    output:
        f"{RESULTS}/reports/{NAME}.html",
    log:
        f"{RESULTS}/logs/report-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        stem=lambda wildcards: f"{RESULTS}/tables/{NAME}",
        plots=lambda wildcards: f"{RESULTS}/plots",
        prepared=lambda wildcards: f"{RESULTS}/prepared",
        tuning=lambda wildcards: OUTPUTS.tuning_arguments,
        texts=lambda wildcards: OUTPUTS.texts_arguments,
        source=PIPELINE.module_digest("analysis.report"),
    shell:
        "python -m analysis.report --plan {input.plan:q} --runs-table {input.runs_table:q} "
        "{params.tuning:q} {params.texts:q} --tables-stem {params.stem:q} --plots {params.plots:q} "
        "--runs {params.runs:q} --prepared {params.prepared:q} --output {output:q} 2> {log:q}"
