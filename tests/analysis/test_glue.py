"""The shipped GLUE benchmark: each method has the batches of its paper, and all are compared."""

import json
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import pytest

from analysis.collect import collect
from analysis.comparability import split_by_fingerprint
from analysis.comparisons.pairs import pair_rows
from analysis.frame import read_runs, write_table
from analysis.report import variant_lines
from analysis.summary import summarise
from finegrid.planning.benchmark import read_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from tests.analysis.benchmark import ok_result, specification

ROOT = Path(__file__).parents[2]
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """That of the benchmark, of its first seeds."""
    whole = make_plan(read_benchmark(str(ROOT / "config" / "glue.yaml")))
    cells = [
        cell.model_copy(
            update={"runs": {run: one for run, one in cell.runs.items() if one.seed in SEEDS}}
        )
        for cell in whole.cells
    ]
    return whole.model_copy(update={"cells": tuple(cells)})


def record(spec: Specification) -> Result:
    """A made-up record of a run, on the data of its task and the weights of its model."""
    made = ok_result(specification("letters", "top", spec.seed))
    origin = made.provenance.model_copy(
        update={
            "dtype": spec.training.dtype,
            "device": spec.training.device,
            "data_sha256": sha256(spec.task.name.encode()).hexdigest(),
            "model_sha256": sha256(spec.model.name.encode()).hexdigest(),
        }
    )
    return made.model_copy(update={"run": spec.run, "spec": spec, "provenance": origin})


def test_a_variant_with_other_settings_on_another_model_has_a_line_of_each(plan: Plan) -> None:
    """LoRA's alpha is 8 on RoBERTa-base and 16 on RoBERTa-large."""
    lines = [settings for name, _, settings in variant_lines(plan) if name == "lora-r8"]
    assert [json.loads(text)["alpha"] for text in lines] == [8.0, 16.0]
    assert [name for name, *_ in variant_lines(plan)].count("full") == 1


def test_every_group_of_glue_compares_all_of_its_variants(plan: Plan, tmp_path: Path) -> None:
    for run, spec in plan.runs.items():
        record(spec).write(tmp_path / "runs" / run / RESULT_FILE)
    write_table(collect(plan, tmp_path / "runs"), tmp_path / "runs.csv")
    frame = read_runs(tmp_path / "runs.csv")
    parts = split_by_fingerprint(frame)
    names = ["full", "prefix-20", "head", "adapter-64", "lora-r8"]
    assert len(parts) == 16
    assert all(set(part.rows["variant"]) == set(names) for part in parts)
    pairs = pair_rows(frame, tmp_path / "runs")
    assert len(pairs) == 16 * len(list(combinations(names, 2)))
    assert (pairs["n_seeds"] == len(SEEDS)).all()
    # LoRA on RoBERTa-large has batches of 4, full fine-tuning of 16: their costs stand apart
    large = (
        summarise(frame).query("task == 'rte' and model == 'roberta-large'").set_index("variant")
    )
    groups = dict(large["cost_group"])
    assert groups["full"] == groups["head"] == groups["prefix-20"]
    assert len(set(groups.values())) == 3
