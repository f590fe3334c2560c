import json
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import CONFIG_FOLDER, parse_benchmark, read_benchmark
from finegrid.planning.plan import main, make_plan
from finegrid.records.merge import deep_merge
from finegrid.records.plan import Plan
from finegrid.records.specification import Specification
from workflow.pipeline import Pipeline

BENCHMARKS = sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def plan(content: dict[str, Any]) -> Plan:
    return make_plan(parse_benchmark(content))


def plain(spec: Specification) -> dict[str, Any]:
    return spec.training.model_dump()


@pytest.mark.parametrize(
    ("name", "runs", "not_applicable"),
    [("smoke", 10, 1), ("default", 80, 2), ("glue", 400, 0), ("article", 117, 0)],
)
def test_a_benchmark_expands_to_its_runs(name: str, runs: int, not_applicable: int) -> None:
    made = make_plan(read_benchmark(name))
    empty = [cell for cell in made.cells if cell.not_applicable]
    assert (len(made.runs), len(empty)) == (runs, not_applicable)
    assert not any(cell.runs for cell in empty)
    seeds = len(read_benchmark(name).seeds)
    assert len(made.runs) == seeds * (len(made.cells) - len(empty))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_of_the_repository_plans(name: str) -> None:
    pipeline = Pipeline.from_config({"benchmark": name})
    assert pipeline.name == name
    for run, spec in pipeline.runs.items():
        assert run == spec.run
        assert len(run) <= 121
        assert pipeline.run_task(run).endswith(f"{spec.task.key}/manifest.json")


def test_a_plan_survives_writing_and_reading(small: dict[str, Any], tmp_path: Path) -> None:
    made = plan(small)
    made.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == made


def test_the_command_line_writes_the_same_plan(small: dict[str, Any], tmp_path: Path) -> None:
    file, output = tmp_path / "benchmark.json", tmp_path / "plan.json"
    file.write_text(parse_benchmark(small).model_dump_json(exclude_unset=True))
    assert main(["--benchmark", str(file), "--output", str(output)]) == 0
    assert Plan.read(output) == plan(small)


def test_the_command_line_says_what_is_wrong(
    small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small["grids"][0]["variants"]["full"]["method"] = "ful"
    file, output = tmp_path / "benchmark.json", tmp_path / "plan.json"
    file.write_text(json.dumps(small))
    assert main(["--benchmark", str(file), "--output", str(output)]) == 78
    assert "did you mean 'full'?" in capsys.readouterr().err
    assert not output.exists()


def test_cells_come_in_the_order_of_the_file() -> None:
    cells = make_plan(read_benchmark("smoke")).cells
    assert [(cell.task, cell.variant) for cell in cells] == [
        ("movie-reviews", "full"),
        ("movie-reviews", "lora-r2"),
        ("movie-reviews", "adapter-4"),
        ("movie-reviews", "prefix-4"),
        ("digits-turned", "full"),
        ("digits-turned", "prefix-4"),
    ]


def test_a_grid_spans_every_combination_in_order(small: dict[str, Any]) -> None:
    small["grids"][0]["variants"] = {
        "lora-{alpha}-r{rank}-{targets}": {
            "method": "lora",
            "grid": {"rank": [1, 2], "alpha": [4.0, 8.0], "targets": [["linear"]]},
        }
    }
    cells = [cell.variant for cell in plan(small).cells if cell.model == "network"]
    assert cells == [f"lora-{a}-r{r}-linear" for r in (1, 2) for a in (4.0, 8.0)]


def test_a_grid_spans_settings_of_training_too(small: dict[str, Any]) -> None:
    small["grids"][0]["variants"] = {
        "lora-r{rank}-{weights}-{optimizer.name}": {
            "method": "lora",
            "settings": {"targets": ["linear"]},
            "training": {"dtype": "bf16", "optimizer": {"weight_decay": 0.5}},
            "grid": {
                "training.weights": ["fp32", "bf16"],
                "rank": [2],
                "training.optimizer.name": ["sgd"],
            },
        }
    }
    cells = [cell for cell in plan(small).cells if cell.model == "network"]
    assert [cell.variant for cell in cells] == ["lora-r2-fp32-sgd", "lora-r2-bf16-sgd"]
    specs = [spec for cell in cells for spec in cell.runs.values()]
    assert [spec.training.weights for spec in specs] == ["fp32", "fp32", "bf16", "bf16"]
    assert {(s.training.optimizer.name, s.training.optimizer.weight_decay) for s in specs} == {
        ("sgd", 0.5)
    }
    assert all(spec.variant.settings["rank"] == 2 for spec in specs)


def test_a_new_seed_adds_its_runs_and_keeps_the_others(small: dict[str, Any]) -> None:
    before = plan(small).runs
    after = plan(small | {"seeds": [0, 1, 7]}).runs
    assert before.items() < after.items()
    added = [after[run] for run in after if run not in before]
    assert [spec.seed for spec in added] == [7, 7, 7]


def test_a_changed_learning_rate_changes_the_runs_of_its_variant_alone(
    small: dict[str, Any],
) -> None:
    before = plan(small).runs
    small["grids"][0]["variants"]["full"]["learning_rate"] = 0.02
    after = plan(small).runs
    changed = {spec.variant.name for run, spec in before.items() if run not in after}
    assert changed == {"full"}
    assert sum(run in after for run in before) == 4


def test_what_is_not_computed_changes_no_run(small: dict[str, Any]) -> None:
    before = list(plan(small).runs)
    small |= {"name": "other", "description": "changed", "interval": False}
    assert list(plan(small).runs) == before


def test_a_default_that_is_written_out_changes_no_run(small: dict[str, Any]) -> None:
    before = list(plan(small).runs)
    small["training"] |= {"schedule": "linear", "optimizer": {"name": "adamw"}}
    small["grids"][0]["variants"]["lora-r{rank}"]["settings"]["alpha"] = 16
    assert list(plan(small).runs) == before


def test_a_deeper_setting_leaves_its_siblings(small: dict[str, Any]) -> None:
    small["training"]["optimizer"] = {"weight_decay": 0.1}
    small["grids"][0]["training"] = {"optimizer": {"epsilon": 1e-6}}
    small["grids"][0]["variants"]["full"]["training"] = {"optimizer": {"betas": [0.8, 0.9]}}
    full, lora, adapter = (
        plain(spec)["optimizer"] for spec in list(plan(small).runs.values())[::2]
    )
    assert (full["weight_decay"], full["epsilon"], full["betas"]) == (0.1, 1e-6, (0.8, 0.9))
    assert (lora["weight_decay"], lora["epsilon"], lora["betas"]) == (0.1, 1e-6, (0.9, 0.999))
    assert (adapter["weight_decay"], adapter["epsilon"]) == (0.1, 1e-8)


def test_the_nearest_setting_wins(small: dict[str, Any]) -> None:
    small["training"] |= {"dropout": 0.3, "schedule": "cosine"}
    small["grids"][0]["training"] = {"dropout": None, "epochs": 5}
    small["grids"][0]["variants"]["full"] |= {"learning_rate": 0.5, "training": {"epochs": 6}}
    full, lora, adapter = (plain(spec) for spec in list(plan(small).runs.values())[::2])
    assert [each["dropout"] for each in (full, lora, adapter)] == [None, None, 0.3]
    assert [each["epochs"] for each in (full, lora, adapter)] == [6, 5, 1]
    assert [each["learning_rate"] for each in (full, lora, adapter)] == [0.5, 0.01, 0.01]
    assert {each["schedule"] for each in (full, lora, adapter)} == {"cosine"}


def test_one_nested_key_leaves_the_rate_and_the_decay_beside_it() -> None:
    below = {"training": {"optimizer": {"lr": 1e-3, "weight_decay": 0.01}, "epochs": 3}}
    assert deep_merge(below, {"training": {"optimizer": {"lr": 5e-4}}}) == {
        "training": {"optimizer": {"lr": 5e-4, "weight_decay": 0.01}, "epochs": 3}
    }


def test_another_learning_rate_leaves_the_weight_decay(small: dict[str, Any]) -> None:
    small["training"] |= {"learning_rate": 1e-3, "optimizer": {"weight_decay": 0.05}}
    small["grids"][0]["variants"]["full"] |= {"training": {"learning_rate": 5e-4}}
    small["grids"][0]["variants"]["lora-r{rank}"] |= {"training": {"optimizer": {"epsilon": 1e-6}}}
    full, lora, adapter = (plain(spec) for spec in list(plan(small).runs.values())[::2])
    assert [each["learning_rate"] for each in (full, lora, adapter)] == [5e-4, 1e-3, 1e-3]
    assert {each["optimizer"]["weight_decay"] for each in (full, lora, adapter)} == {0.05}


def test_merging_changes_neither_side() -> None:
    below, above = {"a": {"x": 1}, "b": 2}, {"a": {"y": 3}, "b": {"z": 4}}
    assert deep_merge(below, above) == {"a": {"x": 1, "y": 3}, "b": {"z": 4}}
    assert (below, above) == ({"a": {"x": 1}, "b": 2}, {"a": {"y": 3}, "b": {"z": 4}})


def test_a_method_that_does_not_fit_is_shown_where_asked_for(small: dict[str, Any]) -> None:
    small["grids"][0]["variants"]["lora-r{rank}"]["settings"]["targets"] = ["q"]
    small["grids"][0]["not_applicable"] = "show"
    (cell,) = [cell for cell in plan(small).cells if cell.variant == "lora-r2" and not cell.runs]
    assert cell.not_applicable == "the model has no q layers"


@pytest.fixture(scope="module")
def glue() -> list[Specification]:
    return list(make_plan(read_benchmark("glue")).runs.values())


@pytest.mark.parametrize(
    ("model", "task", "rate", "epochs", "batch", "alpha", "length"),
    [
        ("base", "mnli", 5e-4, 30, 16, 8, 512),
        ("base", "sst2", 5e-4, 60, 16, 8, 512),
        ("base", "mrpc", 4e-4, 30, 16, 8, 512),
        ("base", "cola", 4e-4, 80, 32, 8, 512),
        ("base", "qnli", 4e-4, 25, 32, 8, 512),
        ("base", "qqp", 5e-4, 25, 16, 8, 512),
        ("base", "rte", 5e-4, 80, 32, 8, 512),
        ("base", "stsb", 4e-4, 40, 16, 8, 512),
        ("large", "mnli", 3e-4, 10, 4, 16, 128),
        ("large", "sst2", 4e-4, 10, 4, 16, 128),
        ("large", "mrpc", 3e-4, 20, 4, 16, 128),
        ("large", "cola", 2e-4, 20, 4, 16, 128),
        ("large", "qnli", 2e-4, 10, 4, 16, 128),
        ("large", "qqp", 3e-4, 20, 4, 16, 128),
        ("large", "rte", 4e-4, 20, 4, 16, 128),
        ("large", "stsb", 2e-4, 10, 4, 16, 128),
    ],
)
def test_glue_has_the_settings_of_table_9(
    glue: list[Specification],
    model: str,
    task: str,
    rate: float,
    epochs: int,
    batch: int,
    alpha: int,
    length: int,
) -> None:
    """Hu et al. 2021, appendix D.1; for the large model the rows with a dagger."""
    (spec,) = [
        spec
        for spec in glue
        if (spec.model.name, spec.task.name) == (f"roberta-{model}", task)
        and (spec.variant.name, spec.seed) == ("lora-r8", 0)
    ]
    training, settings = spec.training, spec.variant.settings
    assert (training.learning_rate, training.epochs, training.batch_size) == (rate, epochs, batch)
    assert (settings["rank"], settings["alpha"], settings["targets"]) == (8, alpha, ["q", "v"])
    assert (training.max_length, training.warmup_fraction) == (length, 0.06)
    assert (training.optimizer.name, training.schedule) == ("adamw", "linear")


def test_glue_has_the_adapters_of_table_9(glue: list[Specification]) -> None:
    """Hu et al. 2021, appendix D.1, the row "RoBERTa large Adpt H (6M)", for both models."""
    found = {
        (spec.task.name, t.learning_rate, t.epochs, t.batch_size)
        for spec in glue
        if spec.variant.name == "adapter-64" and (t := spec.training)
    }
    assert found == {
        ("mnli", 3e-5, 10, 32),
        ("sst2", 3e-4, 5, 32),
        ("mrpc", 3e-4, 10, 32),
        ("cola", 3e-4, 10, 32),
        ("qnli", 3e-4, 5, 32),
        ("qqp", 3e-4, 20, 32),
        ("rte", 3e-4, 20, 32),
        ("stsb", 3e-4, 10, 32),
    }


def test_merged_keys_of_yaml_can_be_overridden(glue: list[Specification]) -> None:
    """glue.yaml makes one configuration from another by `<<`: what it sets itself wins."""
    found = {spec.model.name: spec.model.configuration for spec in glue}
    base, large = found["roberta-base"], found["roberta-large"]
    assert (base["hidden_size"], large["hidden_size"]) == (768, 1024)
    assert large["vocab_size"] == base["vocab_size"] == 50265
