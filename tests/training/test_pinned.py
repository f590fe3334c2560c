"""Moves of code change no number: losses and predictions of twelve tiny cells, to 1e-6."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.pinned import CELLS, FILE, Cells, prepare

PINNED = json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    root: Path = tmp_path_factory.mktemp("pinned")
    return prepare(root)


@pytest.mark.parametrize("number", range(len(CELLS)), ids=[f"{m}-{how}" for m, how, _ in CELLS])
@pytest.mark.usefixtures("quiet_process")
def test_a_cell_gives_what_it_gave(cells: Cells, number: int) -> None:
    found = cells.observe(number)
    assert found.keys() == PINNED[number].keys()
    for what, values in PINNED[number].items():
        np.testing.assert_allclose(found[what], values, rtol=1e-6, atol=1e-6, err_msg=what)


def test_the_cells_differ() -> None:
    assert len({json.dumps(one) for one in PINNED}) == len(CELLS)
    assert all(len({*one["losses"]}) == len(one["losses"]) > 2 for one in PINNED)
