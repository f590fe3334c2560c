"""From results to tables, plots and the report."""

# Folders in params are functions: the linter takes a plain path there for a mistake.


rule collect:
    """One row a planned run, from its record."""
    input:
        plan=f"{RESULTS}/plans/{NAME}.json",
        results=PIPELINE.results_of_runs,
    output:
        f"{RESULTS}/tables/{NAME}-runs.csv",
    log:
        f"{RESULTS}/logs/collect-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        source=PIPELINE.module_digest("analysis.collect"),
    shell:
        "python -m analysis.collect --plan {input.plan:q} --runs {params.runs:q} "
        "--output {output:q} 2> {log:q}"


rule tables:
    """One row a cell."""
    input:
        f"{RESULTS}/tables/{NAME}-runs.csv",
    output:
        expand(f"{RESULTS}/tables/{NAME}.{{kind}}", kind=["csv", "md", "tex"]),
    log:
        f"{RESULTS}/logs/tables-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        stem=lambda wildcards: f"{RESULTS}/tables/{NAME}",
        source=PIPELINE.module_digest("analysis.tables"),
    shell:
        "python -m analysis.tables --runs-table {input:q} --output-stem {params.stem:q} 2> {log:q}"


rule plots:
    """The figures, as PNG and SVG."""
    input:
        f"{RESULTS}/tables/{NAME}-runs.csv",
    output:
        PIPELINE.plots,
    log:
        f"{RESULTS}/logs/plots-{NAME}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: f"{RESULTS}/runs",
        folder=lambda wildcards: f"{RESULTS}/plots",
        name=NAME,
        source=PIPELINE.module_digest("analysis.plots"),
    shell:
        "python -m analysis.plots --runs-table {input:q} --runs {params.runs:q} "
        "--output {params.folder:q} --benchmark {params.name:q} 2> {log:q}"


rule report:
    """One page with table, plots, gaps and provenance; every number leads to its runs."""
    input:
        plan=f"{RESULTS}/plans/{NAME}.json",
        runs_table=f"{RESULTS}/tables/{NAME}-runs.csv",
        tables=expand(f"{RESULTS}/tables/{NAME}.{{kind}}", kind=["csv", "md", "tex"]),
        plots=PIPELINE.plots,
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
        source=PIPELINE.module_digest("analysis.report"),
    shell:
        "python -m analysis.report --plan {input.plan:q} --runs-table {input.runs_table:q} "
        "--tables-stem {params.stem:q} --plots {params.plots:q} --runs {params.runs:q} "
        "--output {output:q} 2> {log:q}"
