"""The jobs that others wait for go first, then the first seeds, then the longest runs."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.small import REPOSITORY, SMALL
from workflow.pipeline import Pipeline
from workflow.priorities import PREPARATION

SNAKEFILE = f"""
import sys

sys.path.insert(0, {str(REPOSITORY)!r})
from workflow.pipeline import Pipeline
from workflow.priorities import PREPARATION

PIPELINE = Pipeline.from_config(config, workflow.configfiles)


rule all:
    input: expand("{{run}}.done", run=list(PIPELINE.runs))

rule prepare:
    output: "prepared"
    priority: PREPARATION
    shell: "echo prepare >> order; touch {{output}}"

rule run:
    input: lambda wildcards: ["prepared"] if "lora" in wildcards.run else []
    output: "{{run}}.done"
    priority: lambda wildcards: PIPELINE.priorities.of(wildcards.run)
    shell: "echo {{wildcards.run}} >> order; touch {{output}}"
"""


def benchmark(**changes: Any) -> dict[str, Any]:
    """The digits of the small benchmark, by three variants: LoRA trains the longest."""
    content = copy.deepcopy(SMALL) | {"seeds": [0, 1, 2], "grids": SMALL["grids"][:1]} | changes
    content["grids"][0]["variants"] = {
        "head": {"method": "head"},
        "full": {"method": "full"},
        "lora": {
            "method": "lora",
            "settings": {"rank": 2, "targets": ["linear"]},
            "training": {"epochs": 9},
        },
    }
    return content


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def order(pipeline: Pipeline) -> list[str]:
    """Trials and runs by priority, as `<variant>-<seed>`."""
    jobs = pipeline.jobs
    ranked = sorted(jobs, key=pipeline.priorities.of, reverse=True)
    return [f"{jobs[run].variant.name}-{jobs[run].seed}" for run in ranked]


def test_the_first_seeds_of_all_cells_go_first_and_of_these_the_longest() -> None:
    found = order(Pipeline.plan_from(benchmark()))
    assert found == [
        *("lora-0", "lora-1", "full-0", "full-1", "head-0", "head-1"),
        *("lora-2", "full-2", "head-2"),
    ]


def test_trials_go_before_all_runs_the_one_whose_runs_are_longest_first() -> None:
    tuning = {"seed": 100, "learning_rates": 2, "ratio": 2.0}
    pipeline = Pipeline.plan_from(benchmark(tuning=tuning))
    trials = [run for run in order(pipeline) if run.endswith("-100")]
    assert len(trials) == len(pipeline.plan.trials) == 6
    assert trials == ["lora-100"] * 2 + ["full-100"] * 2 + ["head-100"] * 2
    ranks = [pipeline.priorities.of(run) for run in pipeline.jobs]
    assert max(ranks) < PREPARATION


@pytest.mark.thorough("test_the_first_seeds_of_all_cells_go_first_and_of_these_the_longest")
def test_snakemake_starts_jobs_in_that_order(tmp_path: Path) -> None:
    content = benchmark()
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = ["--cores", "1", "--configfile", "benchmark.json"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    started = (tmp_path / "order").read_text().split()
    pipeline = Pipeline.plan_from(content)
    assert started.pop(0) == "prepare"
    assert set(started) == set(pipeline.runs)
    ranks = [pipeline.priorities.of(run) for run in started]
    assert ranks == sorted(ranks, reverse=True)
