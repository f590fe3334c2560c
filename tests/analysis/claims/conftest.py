"""A fixture that the tests of claims share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from analysis.claims.evidence import Evidence
from tests.analysis.claims.evidence import build_evidence


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Evidence]:
    """Evidence of runs with known effects, in a folder of the test's own."""
    return partial(build_evidence, tmp_path)
