"""One mistake at a time: each gives one line with the key, the value and what is allowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from tasks.digits import Digits
from tests.models.texts import write_tokenizer
from tests.planning.misfits import MISFITS
from tests.planning.mistakes import MISTAKES, Path_, changed

Problems = Callable[[Any], list[str]]
CASES = MISTAKES | MISFITS


def test_positions_that_no_token_can_take_are_not_allowed(
    small: dict[str, Any], problems: Problems
) -> None:
    small["models"]["tiny"]["configuration"]["model_type"] = "roberta"
    small["grids"][1]["training"] = {"max_length": 63}
    assert any("max_length: 63 " in line and "allowed: 3 to 62" in line for line in problems(small))


@pytest.mark.parametrize(
    ("model_type", "pooling", "allowed"),
    [("distilbert", "pooler", "mean, first, last"), ("gpt2", "first", "mean, last")],
)
def test_a_pooling_fits_the_architecture(
    small: dict[str, Any], problems: Problems, model_type: str, pooling: str, allowed: str
) -> None:
    """What distilbert lacks is a pooler; a decoder's first state has seen one token."""
    sizes = small["models"]["tiny"]["configuration"]
    sizes |= {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "n_embd": 16}
    sizes |= {"n_layer": 1, "n_head": 2, "model_type": model_type}
    small["models"]["tiny"]["pooling"] = pooling
    small["grids"] = small["grids"][:1]
    assert problems(small) == [
        f'models.tiny.pooling: "{pooling}" is not allowed; allowed: {allowed}, or null'
    ]


def test_a_task_is_scored_by_metrics_that_there_are(
    small: dict[str, Any], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Digits, "metrics", ("acuracy",))
    (line,) = problems(small)
    assert line.startswith("tasks.digits.task: digits is scored by an unknown metric 'acuracy': ")
    assert "did you mean 'accuracy'?" in line


@pytest.mark.parametrize("max_length", [1, 2])
def test_a_length_has_room_for_a_text(
    small: dict[str, Any], problems: Problems, tmp_path: Path, max_length: int
) -> None:
    small["models"]["tiny"]["tokenizer"] = {
        "uri": write_tokenizer(tmp_path / "tokenizer", "<s> $A </s>").uri
    }
    small["grids"][1]["training"] = {"max_length": max_length}
    assert problems(small) == [
        f"grids[1].variants.adapter.training.max_length: {max_length} is not allowed; "
        "model 'tiny' puts 2 special tokens about every text; allowed: 3 or more"
    ]


@pytest.mark.parametrize(("path", "value", "fragments"), CASES.values(), ids=CASES)
def test_a_mistake_is_named_with_key_value_and_what_is_allowed(
    small: dict[str, Any],
    problems: Problems,
    path: Path_,
    value: Any,
    fragments: list[str],
) -> None:
    found = problems(changed(small, path, value))
    matching = [line for line in found if line.startswith(fragments[0])]
    assert matching, found
    assert all(fragment in matching[0] for fragment in fragments), matching
    assert not any("\n" in line or "the file" in line for line in found)


def test_the_benchmark_that_is_changed_is_right(small: dict[str, Any]) -> None:
    assert len(make_plan(parse_benchmark(small)).runs) == 6


def test_all_problems_are_shown_together(small: dict[str, Any], problems: Problems) -> None:
    for name in ("rank 0", "method", "missing path", "max_length", "model in a grid"):
        path, value, _ = CASES[name]
        small = changed(small, path, value)
    # A missing model hides what its cells would say, and nothing else.
    assert len(problems(small)) == 5
    small["grids"][1]["training"]["max_lenght"] = "long"
    small["seeds"] = "none"
    assert len(problems(small)) == 2


def test_a_library_that_is_missing_is_named_once(
    small: dict[str, Any], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds a base in codes is no part of a plain installation."""
    monkeypatch.setattr("finegrid.planning.fits.find_spec", lambda name: None)
    small["training"] = small.get("training", {}) | {"weights": "nf4"}
    del small["grids"][0]["variants"]["full"]
    named = [line for line in problems(small) if "bitsandbytes" in line]
    assert named[0] == (
        'grids[0]: training.weights: "nf4" is not allowed; bitsandbytes holds a base so, and it is '
        "not installed: pip install 'finegrid[quantised]'; allowed: fp32, bf16, fp16"
    )
    assert len(named) == len(small["grids"])
