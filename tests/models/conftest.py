"""Every test of a model happens in a quiet process, on one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _quiet(quiet_process: None) -> None:
    """See `quiet_process`; it sets the number of threads back."""
    torch.set_num_threads(1)
