"""Every method on a base whose weights are held in a half type, as the loop trains it."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrid.models.precision import hold
from finegrid.records.training import Weights
from methods.parameters import trainable_state
from tests.methods.architectures import inputs, labels, tiny
from tests.methods.cases import FITTING, Case
from tests.methods.covering import covering, quick

TYPES: dict[Weights, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
MODELS = ("bert", "gpt2", "linear-stack", "llama")
"""An encoder, transposed and fused layers, a stack, and norms without a shift."""
ALL = tuple(case for case in FITTING if case.model_type in MODELS)
CASES = covering(ALL, ("storage", "properties"))
QUICK = quick(ALL, ("storage",))
ON = [
    (case, weights)
    for case in CASES
    for weights in TYPES
    if case.method.weights_problem(weights) is None and (weights == "bf16" or ":" not in case.name)
]
MERGED = covering(
    tuple(case for case, weights in ON if case.method.mergeable and weights == "bf16"), ("storage",)
)


def graded(test: str, *parameters: tuple[Case, *tuple[Any, ...]]) -> list[Any]:
    """The parameters of a test, thorough where `make test` leaves the case out."""
    beyond = pytest.mark.thorough(test)
    return [
        pytest.param(*one, marks=() if one[0] in QUICK else beyond, id="-".join(map(str, one)))
        for one in parameters
    ]


def half(case: Case, weights: Weights) -> nn.Module:
    """The model, its base held in that type, with the method applied."""
    model = tiny(case.model_type)
    hold(model, weights)
    case.method.apply(model, torch.Generator().manual_seed(3))
    return model.train()


def train(model: nn.Module, case: Case) -> None:
    """Steps of Adam, computed in bf16."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found = model(**inputs(case.model_type)).logits.float()
        functional.cross_entropy(found, labels()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize(("case", "weights"), graded("test_a_method_trains_on_half_weights", *ON))
def test_a_method_trains_on_half_weights(case: Case, weights: Weights) -> None:
    """What is trained moves, in fp32 but for a base that is trained; the rest keeps its bits."""
    model = half(case, weights)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    start = {name: tensor.clone() for name, tensor in trainable_state(model).items()}
    train(model, case)
    end = trainable_state(model)
    assert [name for name, tensor in end.items() if torch.equal(tensor, start[name])] == []
    types = {tensor.dtype for tensor in end.values()}
    assert types - {torch.float32} == ({TYPES[weights]} if case.method.trains_base else set())
    now = dict(model.named_parameters())
    assert [name for name in frozen if not torch.equal(now[name], frozen[name])] == []


@pytest.mark.parametrize(
    "case",
    graded("test_a_merge_rounds_to_the_type_of_the_weights", *((case,) for case in MERGED)),
)
def test_a_merge_rounds_to_the_type_of_the_weights(case: Case) -> None:
    """What is trained of the base itself keeps the type that it is trained in."""
    model = half(case, "bf16")
    trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    case.method.merge(model.eval())
    plain = tiny(case.model_type)
    hold(plain, "bf16")
    assert [(n, p.dtype) for n, p in model.named_parameters()] == [
        (n, trained.get(n, p.dtype)) for n, p in plain.named_parameters()
    ]


def test_some_methods_take_no_half_weights_and_say_why() -> None:
    """A gradient in fp16 vanishes unless it is scaled."""
    refused = {
        (case.name, weights): problem
        for case in CASES
        for weights in TYPES
        if (problem := case.method.weights_problem(weights))
    }
    assert set(refused) == {("full", "fp16"), ("peft:osf", "bf16"), ("peft:osf", "fp16")}
    assert all("; allowed: fp32" in problem for problem in refused.values())


def test_a_type_that_is_refused_would_fail() -> None:
    case = next(case for case in CASES if case.name == "peft:osf")
    with pytest.raises(RuntimeError, match="same dtype"):
        train(half(case, "bf16"), case)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "t5", "vit"])
def test_norms_and_the_head_stay_in_fp32(model_type: str) -> None:
    plain, model = tiny(model_type), tiny(model_type)
    hold(model, "bf16")
    exact = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        wide = any(word in name.lower() for word in ("norm", "ln_", "classif", "score"))
        beside = name.endswith(("_token", "position_embeddings"))  # of images
        expected = torch.float32 if wide or beside else torch.bfloat16
        assert parameter.dtype == expected, name
        assert torch.equal(parameter, exact[name].to(expected)), name
