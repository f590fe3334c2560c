"""Every fault is injected in a quiet process, on one thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.faults.place import Place


@pytest.fixture(autouse=True)
def _quiet(quiet_process: None) -> None:
    """See `quiet_process`; it sets the number of threads back."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose task and model are prepared."""
    return Place.make(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def place(prepared: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of it, free to be used."""
    copy = prepared.copy(tmp_path / "place")
    yield copy
    copy.close()
