"""Every family that was tried, with every method of the table: it trains, or says why not."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.layers import linear_layers
from methods.contract import Method
from methods.registry import METHODS
from tests.methods import families
from tests.methods.architectures import inputs
from tests.methods.families import FAMILIES, VARIANTS, anatomy, loaded
from tests.methods.reference import losses
from tests.models import golden

PAIRS = [
    pytest.param(
        *pair,
        marks=()
        if number % len(VARIANTS) == number // len(VARIANTS) % len(VARIANTS)
        else pytest.mark.thorough("test_a_method_runs_on_a_family_or_says_why_not"),
    )
    for number, pair in enumerate((name, variant) for name in FAMILIES for variant in VARIANTS)
]
"""`make test` has one variant a family, each in its turn."""
FUSED = ("bloom", "falcon", "falcon by groups", "gpt_bigcode", "gpt_neox", "phi3")
"""Layers that hold several roles, side by side or again for every head."""
ON_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("ia3", {}),
    ("vera", {"rank": 4, "targets": ["all"]}),
    ("lg", {"rank": 2, "targets": ["all"]}),
    ("lg", {"rank": 2, "targets": ["q", "up"], "residual": False}),
    ("bitfit", {"added_to": ["all"]}),
]
BATCH = inputs("llama")
CLOSE: dict[str, Any] = {"atol": 2e-5, "rtol": 1e-4}


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**BATCH).logits
    return found


def check_merge(method: Method, model: nn.Module, plain: torch.Tensor) -> None:
    """What is merged is the same function, and no longer the base's."""
    before = logits(model)
    method.merge(model)
    torch.testing.assert_close(logits(model), before, **CLOSE)
    assert (before - plain).abs().max() > 1e-3


def check_padding(model: nn.Module) -> None:
    """Each text alone has the logits that it has among others."""
    together = logits(model)
    for row, length in enumerate(BATCH["attention_mask"].sum(dim=1).tolist()):
        alone = model(**{key: rows[row : row + 1, :length] for key, rows in BATCH.items()}).logits
        torch.testing.assert_close(alone[0], together[row], **CLOSE)


@pytest.mark.parametrize(("name", "variant"), PAIRS)
def test_a_method_runs_on_a_family_or_says_why_not(name: str, variant: str) -> None:
    method, model = families.method(variant), loaded(name)
    generator, plain = torch.Generator().manual_seed(3), logits(model)
    if reason := method.not_applicable(anatomy(name)):
        with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
            method.apply(model, generator)
        return
    expected = method.expected_parameters(model)
    method.apply(model, generator)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    # which kernel a convolution runs on depends on what is frozen
    assert torch.allclose(logits(model), plain, atol=1e-6) == method.identity_at_start
    found = losses(model, BATCH, 1e-2)
    assert found[-1] < found[0]
    check_padding(model)
    if method.mergeable:
        check_merge(method, model, plain)


@pytest.mark.parametrize(("name", "settings"), ON_ROWS, ids=str)
@pytest.mark.parametrize("family", FUSED)
def test_a_method_on_rows_of_a_layer_is_counted_and_merged(
    family: str, name: str, settings: dict[str, Any]
) -> None:
    method, model = METHODS.build(name, settings), loaded(family)
    plain, expected = logits(model), method.expected_parameters(model)
    method.apply(model, torch.Generator().manual_seed(3))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    losses(model, BATCH, 1e-2)
    if method.mergeable:
        check_merge(method, model, plain)


@pytest.mark.parametrize("family", FUSED)
def test_a_merge_changes_the_rows_of_its_role_alone(family: str) -> None:
    method, model = METHODS.build("lora", {"rank": 2, "targets": ["v"]}), loaded(family)
    method.apply(model, torch.Generator().manual_seed(3))
    losses(model, BATCH, 1e-2)
    method.merge(model)
    for layer, old in zip(
        *(linear_layers(m, ("v",)) for m in (model, loaded(family))), strict=True
    ):
        weights: list[Any] = [layer.module.weight, old.module.weight]
        changed = (weights[0] - weights[1]).abs().sum(0 if layer.transposed else 1).nonzero()
        assert layer.part.outputs is not None
        assert changed.flatten().tolist() == layer.part.outputs.indices()


def test_the_document_has_their_table() -> None:
    text = golden.DOCUMENT.read_text()
    found = text.partition(families.BEGIN)[2].partition(families.END)[0]
    assert found.strip() == families.table()
