"""`dropout:` reaches every dropout of a model, whatever its configuration calls it."""

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrid.models.loading import override_dropout
from finegrid.models.pooling import classifier_class
from tests.methods.architectures import TINY, inputs
from tests.models.texts import TEXTUAL

RATE, OTHER = 0.375, 0.25


def rates_of(model: nn.Module, model_type: str) -> set[float]:
    """The probabilities of every dropout in one pass of training, those of attention among them."""
    found: set[float] = set()

    def dropout(given: torch.Tensor, p: float = 0.5, training: Any = True, _: Any = None) -> Any:
        found.update({p} if training else ())
        return given

    def attention(*tensors: Any, dropout_p: float = 0.0, **options: Any) -> Any:
        found.add(dropout_p)
        return attend(*tensors, **options)

    attend = functional.scaled_dot_product_attention
    with (
        patch.object(functional, "dropout", dropout),
        patch.object(functional, "scaled_dot_product_attention", attention),
    ):
        model.train()(**inputs(model_type))
    return found


@pytest.mark.parametrize("model_type", TEXTUAL)
@pytest.mark.parametrize("head", [None, OTHER])
def test_every_dropout_of_a_model_has_the_rate(model_type: str, head: float | None) -> None:
    config: Any = TINY[model_type]().config
    if head is not None and hasattr(config, "classifier_dropout"):
        config.classifier_dropout = head
    override_dropout(config, RATE)
    kind = classifier_class(config, "AutoModelForSequenceClassification")
    model = kind._from_config(config, attn_implementation=config._attn_implementation)
    modules = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert modules <= {RATE}
    assert rates_of(model, model_type) == {RATE}


def test_what_drops_whole_layers_is_no_dropout() -> None:
    config: Any = TINY["bart"]().config
    override_dropout(config, RATE)
    assert config.encoder_layerdrop == 0.0
    assert config.activation_dropout == RATE
