"""Fixtures that several rooms share. Nothing heavy is imported before a test asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

if TYPE_CHECKING:
    from tests.training.assets import Assets


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--matrix`: methods on all architectures, in place of a covering choice."""
    parser.addoption("--matrix", action="store_true", help="test methods on all architectures")


def pytest_configure(config: pytest.Config) -> None:
    """Children hear the signals that this process was started to ignore, as `nohup` starts it.

    That a signal is ignored they would inherit; a handler that does nothing they do not.
    """
    config.addinivalue_line("markers", "cases(list): the cases that the test is about")
    for one in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(one) is signal.SIG_IGN:
            signal.signal(one, lambda number, frame: None)


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
