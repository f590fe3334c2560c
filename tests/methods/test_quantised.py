"""Every method on a base whose linear layers are held in codes, and why some are refused."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrid.models.quantised import dequantise, quantise
from finegrid.records.training import QUANTISED, Weights
from methods.parameters import trainable_state
from methods.registry import METHODS
from tests.methods.architectures import inputs, labels, tiny
from tests.methods.cases import FITTING, Case
from tests.methods.covering import covering, quick

MODELS = ("bert", "gpt2")
"""Plain layers, and layers that are fused and kept transposed."""
ALL = tuple(case for case in FITTING if case.model_type in MODELS)
CASES = covering(ALL, ("method", "storage", "properties"))
TAKEN = tuple(case for case in CASES if case.method.weights_problem("nf4") is None)
QUICK = quick(TAKEN, ("storage",))
needs_library = pytest.mark.usefixtures("library")


@pytest.fixture
def library() -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes holds weights in codes")


def in_codes(case: Case, weights: Weights, *, plain: bool = False) -> nn.Module:
    """The model with the method applied, its base held in codes, or in their numbers in fp32."""
    model = tiny(case.model_type)
    quantise(model, weights)
    if plain:
        dequantise(model)
    case.method.apply(model, torch.Generator().manual_seed(3))
    return model.train()


def losses(model: nn.Module, case: Case) -> list[float]:
    """The losses of a few steps of Adam."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, found = torch.optim.AdamW(trained, lr=1e-2), []
    for _ in range(4):
        optimizer.zero_grad()
        torch.manual_seed(4)  # for those that draw in training
        loss = functional.cross_entropy(model(**inputs(case.model_type)).logits, labels())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found


BEYOND = pytest.mark.thorough("test_a_method_trains_on_codes_as_on_their_numbers")
GRADED = [
    pytest.param(
        case,
        weights,
        marks=() if case in QUICK and weights == "nf4" else BEYOND,
        id=f"{case}-{weights}",
    )
    for case in TAKEN
    for weights in (QUANTISED if ":" not in case.name else ("nf4",))
]


@needs_library
@pytest.mark.parametrize(("case", "weights"), GRADED)
def test_a_method_trains_on_codes_as_on_their_numbers(case: Case, weights: Weights) -> None:
    """What it trains is of the closed form's size, and learns; codes keep their bits."""
    model, bare = in_codes(case, weights), tiny(case.model_type)
    quantise(bare, weights)
    expected = case.method.expected_parameters(bare)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    assert {tensor.dtype for tensor in trainable_state(model).values()} == {torch.float32}
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    found = losses(model, case)
    assert found == pytest.approx(losses(in_codes(case, weights, plain=True), case), abs=1e-6)
    assert found[-1] < found[0]
    now = dict(model.named_parameters())
    assert [name for name in frozen if not torch.equal(now[name], frozen[name])] == []


def test_some_methods_take_no_codes_and_say_why() -> None:
    """Each with what is allowed instead."""
    refused = {
        (case.name, weights): problem
        for case in CASES
        for weights in QUANTISED
        if (problem := case.method.weights_problem(weights))
    }
    assert {name for name, _ in refused} == {"full", "lg", "peft:glora", "peft:osf"}
    assert len(refused) == 2 * 4
    assert all("; allowed: fp32" in problem for problem in refused.values())
    assert "codes have no gradient; allowed: fp32, bf16" in refused["full", "nf4"]


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "the last blocks": ("full", {"top_blocks": 1}),
    "singular values": ("lg", {}),
    "a factored weight": ("lg", {"residual": False}),
    "a part of several": (
        "combine",
        {"parts": {"a": {"method": "lg"}, "b": {"method": "ia3"}}},
    ),
    "a start in the weights": ("peft:lora", {"config": {"init_lora_weights": "pissa"}}),
}
OFFERED: dict[str, tuple[str, dict[str, Any]]] = {
    "a drawn factor": ("lg", {"start": "gaussian"}),
    "biases": ("bitfit", {}),
    "a drawn start": ("peft:lora", {"config": {"init_lora_weights": "gaussian"}}),
    "two parts": ("combine", {}),
}


@pytest.mark.parametrize("name", [*REFUSED, *OFFERED])
def test_settings_decide_too(name: str) -> None:
    method, settings = (REFUSED | OFFERED)[name]
    problem = METHODS.build(method, settings).weights_problem("nf4")
    assert (problem is None) == (name in OFFERED)


@needs_library
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("full", {}, "floating point"),
        ("lg", {"residual": False}, "held quantised: nothing is written into it"),
        ("peft:glora", {"config": {"config_D_E": "none"}}, "not a plain"),
    ],
)
def test_what_is_refused_would_fail(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=message):
        in_codes(Case(name, "bert", settings), "nf4")


@needs_library
def test_a_start_that_is_refused_would_be_lost() -> None:
    """It takes its factors out of the weight, and here they would be added beside all of it."""
    settings = {"config": {"init_lora_weights": "pissa"}, "targets": ["all"]}
    case = Case("peft:lora", "bert", settings)
    lost, kept = (losses(in_codes(case, "nf4", plain=one), case)[0] for one in (False, True))
    assert abs(lost - kept) > 1e-4


@needs_library
def test_a_merge_into_codes_is_refused() -> None:
    case = Case("lora", "bert", {})
    model = in_codes(case, "int8")
    with pytest.raises(ValueError, match="query is held quantised: nothing is written into it"):
        case.method.merge(model)
