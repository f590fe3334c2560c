"""Every test of a run happens in a quiet process, on one thread."""

import random

import pytest
import torch

from tests.models.texts import WORDS
from tests.training.assets import SIZES as ROWS
from tests.training.assets import Assets
from tests.training.writing import write_assets


@pytest.fixture(autouse=True)
def _quiet(quiet_process: None) -> None:
    """See `quiet_process`; it sets the number of threads back."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """A tiny Llama, and answers of one to nine words: a few hold most of a batch's tokens."""
    draw = random.Random(0)  # noqa: S311 - examples, no secrets
    rows = [
        {
            "id": f"n{number}",
            "prompt": " ".join(draw.choices(WORDS, k=draw.randint(1, 4))),
            "target": " ".join(draw.choices(WORDS, k=draw.choice((1, 1, 2, 9)))),
        }
        for number in range(sum(ROWS.values()))
    ]
    return write_assets(tmp_path_factory.mktemp("writers"), rows)
