"""What the set-up leaves behind."""

from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest


@pytest.mark.parametrize("library", ["torch", "transformers", "snakemake"])
def test_the_libraries_are_compiled(library: str) -> None:
    """Else each process compiles them anew wherever Python may write no bytecode."""
    spec = find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    assert Path(cache_from_source(spec.origin)).exists()
