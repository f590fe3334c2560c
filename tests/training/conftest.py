"""Every test of a run happens in a quiet process, on one thread."""

import random

import pytest
import torch

from finegrid.prepare.model import prepare_model
from finegrid.records.specification import RandomModel, Source, Task, model_key
from kinds.registry import kind_named
from tests.kinds.writing import OWN, SIZES, write_writer
from tests.models.texts import WORDS
from tests.training.assets import SIZES as ROWS
from tests.training.assets import WRITER, Assets, write_task


@pytest.fixture(autouse=True)
def _quiet(quiet_process: None) -> None:
    """See `quiet_process`; it sets the number of threads back."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """A tiny Llama, and answers of one to nine words: a few hold most of a batch's tokens."""
    root = tmp_path_factory.mktemp("writers")
    draw = random.Random(0)  # noqa: S311 - examples, no secrets
    rows = [
        {
            "id": f"n{number}",
            "prompt": " ".join(draw.choices(WORDS, k=draw.randint(1, 4))),
            "target": " ".join(draw.choices(WORDS, k=draw.choice((1, 1, 2, 9)))),
        }
        for number in range(sum(ROWS.values()))
    ]
    task = Task(name="notes", task="rated-snippets", source=Source(uri="path:none"))
    write_task(root / "prepared", task, "causal-lm", (), rows, metrics=("perplexity",))
    folder = write_writer(root / "writer", WRITER)
    model = RandomModel.model_validate(
        {
            "kind": "random",
            "name": WRITER,
            "configuration": {"model_type": WRITER, **SIZES, **OWN[WRITER][1]},
            "tokenizer": Source(uri=f"path:{folder}"),
        }
    )
    prepared = root / "prepared"
    loaders = [str(kind_named("causal-lm").loader)]
    places = prepared / "models" / model_key(model), prepared / "tasks", root / "downloads"
    prepare_model(model, *places, loaders)
    return Assets(prepared, {WRITER: task}, {WRITER: model})
