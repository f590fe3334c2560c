"""The parameters in a run's record, against closed forms with numbers."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finegrid.records.result import DELTA_FILE
from tests.training.assets import Assets, run_folder

LAYERS, WIDTH, LABELS = 2, 64, 2
"""Of the tiny transformer and its task."""


def test_what_only_training_needs_is_trained_and_not_stored(assets: Assets, tmp_path: Path) -> None:
    """Li and Liang 2021, section 4.3: the MLP is dropped and P alone is kept.

    Trained are E (3, 64), W_1 (5, 64), b_1 (5), W_2 (2 * 2 * 64, 5), b_2 (2 * 2 * 64) and the head;
    stored are keys and values of 3 positions in 2 layers, and the head.
    """
    length, m = 3, 5
    spec = assets.specification(
        "prefix", model="bert", settings={"length": length, "reparametrisation": m}
    )
    counts = assets.run(spec, tmp_path).parameters
    assert counts is not None
    head = WIDTH * LABELS + LABELS
    mlp = length * WIDTH + m * WIDTH + m + (m + 1) * 2 * LAYERS * WIDTH
    assert (counts.trainable, counts.expected) == (mlp + head, mlp + head) == (2183, 2183)
    assert (counts.adapter, counts.head) == (mlp, head)
    assert counts.stored == 2 * LAYERS * length * WIDTH + head == 898
    delta = load_file(run_folder(spec, tmp_path) / DELTA_FILE)
    assert sum(tensor.numel() for tensor in delta.values()) == 898


@pytest.mark.parametrize(
    ("method", "settings", "seeds"),
    [
        ("vera", {"rank": 16}, 1),
        ("lg", {"rank": 4}, 0),
        ("lg", {"rank": 4, "residual": False}, 0),
        ("lg", {"rank": 4, "start": "gaussian"}, 2 * LAYERS),
    ],
)
def test_constants_that_a_seed_or_the_base_gives_again_are_not_stored(
    assets: Assets, tmp_path: Path, method: str, settings: dict[str, Any], seeds: int
) -> None:
    """Kopiczko et al. 2023, section 3.2: the seed is stored in place of the frozen matrices."""
    spec = assets.specification(method, model="bert", settings=settings)
    counts = assets.run(spec, tmp_path).parameters
    assert counts is not None
    assert counts.stored == counts.trainable + seeds


def test_of_a_flat_prefix_all_that_is_trained_is_stored(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("prefix", model="bert", settings={"length": 3})
    counts = assets.run(spec, tmp_path).parameters
    assert counts is not None
    assert counts.stored == counts.trainable == 898
