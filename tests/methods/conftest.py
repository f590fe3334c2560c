"""All tests of tiny models run on one thread."""

import pytest


@pytest.fixture(autouse=True)
def _on_one_thread(one_thread: None) -> None:
    """See `tests/conftest.py`."""
