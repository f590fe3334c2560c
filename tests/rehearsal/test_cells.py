"""A cell's run made small: what of its settings cannot be."""

from typing import Any

import pytest

from finegrid.rehearsal.cells import small_run
from finegrid.rehearsal.shrink import ShrinkError
from tests.methods.architectures import anatomy
from tests.training.assets import Assets


def test_a_token_that_a_made_up_vocabulary_lacks_is_said(assets: Assets) -> None:
    settings: dict[str, Any] = {"config": {"token_indices": [5, 128001]}}
    spec = assets.specification("peft:trainable_tokens", model="bert", settings=settings)
    with pytest.raises(ShrinkError, match="name token 128001, and the made-up vocabulary has"):
        small_run(spec, spec.model, anatomy("bert"))
    settings = {"config": {"token_indices": [5, 7]}}
    spec = assets.specification("peft:trainable_tokens", model="bert", settings=settings)
    assert small_run(spec, spec.model, anatomy("bert")).lowered == ()
