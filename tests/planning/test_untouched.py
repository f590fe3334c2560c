"""The method that trains nothing, in a plan: it has no learning rate, and no trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from tests.kinds.writing import OWN, SIZES, write_writer

Problems = Callable[[Any], list[str]]


@pytest.fixture
def writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A tuned benchmark in which a model writes, with a variant that trains."""
    monkeypatch.chdir(tmp_path)
    rows = ["question,answer", *(f"what is {n},it is {n}" for n in range(20))]
    Path("notes.csv").write_text("\n".join(rows))
    folder = write_writer(tmp_path / "writer", "llama")
    return {
        "name": "notes",
        "seeds": [0, 1],
        "training": {"epochs": 1, "batch_size": 4, "max_length": 16},
        "tuning": {"seed": 9},
        "tasks": {
            "notes": {
                "kind": "causal-lm",
                "files": "notes.csv",
                "columns": {"prompt": "question", "target": "answer"},
                "split": {"validation": 0.2, "test": 0.2},
                "metrics": ["perplexity"],
            }
        },
        "models": {
            "llama": {
                "kind": "random",
                "configuration": {"model_type": "llama", **SIZES, **OWN["llama"][1]},
                "tokenizer": {"uri": f"path:{folder}"},
            }
        },
        "grids": [
            {
                "tasks": ["notes"],
                "models": ["llama"],
                "variants": {
                    "untouched": {"method": "untouched"},
                    "lora": {"method": "lora", "learning_rate": 0.01},
                },
            }
        ],
    }


def test_it_has_no_learning_rate_and_no_trial(writing: dict[str, Any]) -> None:
    cells = {cell.variant: cell for cell in make_plan(parse_benchmark(writing)).cells}
    assert [len(cells[name].trials) for name in ("untouched", "lora")] == [0, 3]
    for spec in cells["untouched"].runs.values():
        assert (spec.tuning, spec.training.learning_rate) == (None, None)
        assert "learning_rate" not in spec.training.model_dump(mode="json")


def test_a_model_without_a_new_head_has_no_rate_for_one(
    writing: dict[str, Any], problems: Problems
) -> None:
    writing["grids"][0]["variants"]["lora"]["learning_rates"] = {"head": "2x"}
    (line,) = problems(writing)
    assert line.startswith("grids[0].variants.lora.training.learning_rates: ")
    assert line.endswith("of that name is trained of model 'llama'; allowed: A, B")


def test_what_trains_needs_one(writing: dict[str, Any], problems: Problems) -> None:
    del writing["grids"][0]["variants"]["lora"]["learning_rate"]
    (line,) = problems(writing)
    assert line == "grids[0].variants.lora.training.learning_rate: this key is required"


def test_a_new_head_is_refused(small: dict[str, Any], problems: Problems) -> None:
    small["grids"][0]["variants"] = {"as-it-came": {"method": "untouched"}}
    (line,) = problems(small)
    assert line.startswith("grids[0].variants.as-it-came.method: nothing is trained, and model ")
    assert line.endswith("; allowed: head: keep, or models without a new head")
