"""Fixtures that several rooms share. Nothing heavy is imported before a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

if TYPE_CHECKING:
    from tests.training.assets import Assets


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Tiny prepared tasks and models."""
    from tests.training.assets import make_assets

    return make_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture
def quiet_process() -> Iterator[None]:
    """No tracking, and whatever a run sets for its whole process is set back."""
    import torch

    threads = torch.get_num_threads()
    with patch.dict(os.environ, WANDB_MODE="disabled"):
        yield
    torch.use_deterministic_algorithms(mode=False)
    torch.set_num_threads(threads)
