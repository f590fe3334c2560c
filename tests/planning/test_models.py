"""Models of any type of the library are planned, or refused in one line that says why."""

from collections.abc import Callable
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from tests.small import SIZES

Problems = Callable[[Any], list[str]]
MIXTRAL = SIZES | {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 2}
XLNET = {"model_type": "xlnet", "vocab_size": 30522, "d_model": 16, "n_layer": 1, "n_head": 2}


def planned(small: dict[str, Any], configuration: dict[str, Any], **variant: Any) -> Any:
    """The text grid of the small benchmark alone, on a model of that configuration."""
    small["grids"] = small["grids"][1:]
    small["models"]["tiny"]["configuration"] = configuration
    small["grids"][0]["variants"] = {"one": {"method": "lora"} | variant}
    return small


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["all"], "all would leave out 75.2 %"),
        (["down"], "stored as expert, not as linear layers: "),
        (["q", "gate"], "stored as expert, not as linear layers: "),
    ],
)
def test_stacked_experts_are_refused_by_the_names_of_their_parameters(
    small: dict[str, Any], problems: Problems, targets: list[str], reason: str
) -> None:
    content = planned(small, MIXTRAL, settings={"rank": 2, "targets": targets})
    (line,) = problems(content)
    start = f"grids[0].variants.one.method: 'lora' does not fit model 'tiny': {reason}"
    assert line.startswith(start)
    assert "model.layers.*.mlp.experts." in line


def test_attention_beside_experts_is_planned(small: dict[str, Any]) -> None:
    content = planned(small, MIXTRAL, settings={"rank": 2, "targets": ["q", "v"]})
    assert len(make_plan(parse_benchmark(content)).runs) == 2


def test_a_row_may_say_why_all_is_refused(small: dict[str, Any]) -> None:
    content = planned(small, MIXTRAL, settings={"rank": 2, "targets": ["all"]})
    content["grids"][0]["not_applicable"] = "show"
    (cell,) = make_plan(parse_benchmark(content)).cells
    assert str(cell.not_applicable).startswith("all would leave out 75.2 %")


def test_a_type_without_a_classifier_is_refused_and_served_by_a_pooling(
    small: dict[str, Any], problems: Problems
) -> None:
    content = planned(small, XLNET, method="full")
    (line,) = problems(content)
    assert line.startswith("models.tiny: its classifier reads the last position, which may be pad")
    small["models"]["tiny"]["pooling"] = "mean"
    assert len(make_plan(parse_benchmark(content)).runs) == 2


def test_a_configuration_that_makes_no_model_is_one_line(
    small: dict[str, Any], problems: Problems
) -> None:
    configuration = SIZES | {"model_type": "bert", "num_attention_heads": 3}
    (line,) = problems(planned(small, configuration, method="full"))
    assert line.startswith("models.tiny: bert: cannot be built: ")


def test_what_has_no_ends_of_sublayers_takes_no_adapter(
    small: dict[str, Any], problems: Problems
) -> None:
    configuration = SIZES | {"model_type": "persimmon"}
    (line,) = problems(planned(small, configuration, method="adapter"))
    assert "no family says where the model's sublayers end" in line
