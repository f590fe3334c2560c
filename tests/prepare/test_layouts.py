"""Every listed architecture that reads text, loaded from its public layout as a run loads it.

Planned from a benchmark, prepared, trained for an epoch, evaluated: nothing is put together in
another way than a user's run does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from finegrid.models.head import head_parameters
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Specification, model_key
from finegrid.training import experiment
from finegrid.training.data import Examples
from finegrid.training.evaluation import predict
from finegrid.training.loop import Event
from finegrid.training.record import Reached
from tests.models.texts import TEXTUAL
from tests.prepare.layouts import LAYOUTS, WORDS
from tests.training.assets import Assets
from tests.training.brief import brief

pytestmark = pytest.mark.usefixtures("quiet_process")
QUICK = ("bert", "gpt2", "llama", "t5")
"""A text's first token or its last, an end that no file names, and a decoder beside an encoder."""
LONGEST = 24
"""Tokens: beyond the sliding windows of the layouts."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the texts: of many lengths, some cut."""
    place = tmp_path_factory.mktemp("layouts")
    texts = [" ".join(WORDS[at % 11] for at in range(n, n + 1 + 3 * (n % 5))) for n in range(24)]
    frame = pd.DataFrame({"idx": range(24), "sentence": texts, "label": [n % 2 for n in range(24)]})
    folder = place / "data" / "sst2"
    folder.mkdir(parents=True)
    frame.head(20).to_parquet(folder / "train-00000-of-00001.parquet")
    frame.tail(4).to_parquet(folder / "validation-00000-of-00001.parquet")
    return place


def planned(place: Path, name: str) -> Specification:
    """The one run of a benchmark on the layout, which ends with its score on validation."""
    task = {"task": "glue", "source": {"uri": f"path:{place}/data"}}
    variant = {"method": "adapter", "settings": {"size": 4}, "learning_rate": 0.01}
    sizes = {"epochs": 1, "batch_size": 4, "max_length": LONGEST, "evaluation_batch_size": 8}
    content = {
        "name": "layouts",
        "seeds": [0],
        "interval": False,
        "training": sizes,
        "tasks": {"texts": task | {"options": {"subset": "sst2", "validation": 12}}},
        "models": {name: {"kind": "checkpoint", "source": {"uri": f"path:{place}/{name}"}}},
        "grids": [{"tasks": ["texts"], "models": [name], "variants": {"adapter": variant}}],
    }
    (run,) = make_plan(parse_benchmark(content)).runs.values()
    return run.model_copy(update={"role": "trial"})


@dataclass(frozen=True)
class Performed:
    """A run, and what it held when it was scored."""

    reached: Reached
    events: list[Event]
    model: nn.Module
    validation: Examples


def trained(spec: Specification, prepared: Path, results: Path) -> Performed:
    """A run in this process, whose model and examples are kept."""
    reached: Reached = {}
    events: list[Event] = []
    held: list[Any] = []
    plain = experiment.score_unseen

    def score(run: Any, task: Any, model: nn.Module, splits: Any, trained: Any) -> Any:
        held.extend((model, splits["validation"]))
        return plain(run, task, model, splits, trained)

    with brief(is_traced=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "score_unseen", score)
        experiment.perform(experiment.Run(spec, prepared, results, events.append), reached)
    return Performed(reached, events, *held)


@pytest.fixture(scope="module")
def stored(place: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    """The weights of a layout's body, as they are saved."""
    return cache(lambda name: LAYOUTS[name].write(place / name))


@pytest.fixture(scope="module")
def performed(place: Path, stored: Any) -> Callable[[str], Performed]:
    """A run on a layout, trained and scored."""

    @cache
    def perform(name: str) -> Performed:
        stored(name)
        spec, prepared, downloads = planned(place, name), place / "prepared", place / "downloads"
        tasks, results = prepared / "tasks", place / "results" / name
        if not (tasks / spec.task.key).exists():
            prepare_task(spec.task, tasks / spec.task.key, downloads)
        prepare_model(spec.model, prepared / "models" / model_key(spec.model), tasks, downloads)
        Assets(prepared, {}, {}).encode(spec)
        results.mkdir(parents=True, exist_ok=True)
        return trained(spec, prepared, results)

    return perform


def graded(test: str) -> list[Any]:
    """The layouts, thorough where `make test` leaves them out."""
    beyond = pytest.mark.thorough(test)
    return [pytest.param(name, marks=() if name in QUICK else beyond) for name in LAYOUTS]


def test_every_architecture_that_reads_text_has_a_layout() -> None:
    assert LAYOUTS.keys() == set(TEXTUAL)


@pytest.mark.parametrize("name", graded("test_it_trains_and_is_scored"))
def test_it_trains_and_is_scored(performed: Any, name: str) -> None:
    done = performed(name)
    losses = [event["loss"] for event in done.events if "loss" in event]
    assert len(losses) == 2
    assert all(torch.isfinite(torch.tensor(losses)))
    assert done.reached["metrics"].validation["accuracy"].n == 12


@pytest.mark.parametrize("name", graded("test_its_body_has_the_stored_weights"))
def test_its_body_has_the_stored_weights(performed: Any, stored: Any, name: str) -> None:
    """An adapter leaves them as they are; what a checkpoint lacks is the head's."""
    model = performed(name).model
    head = set(map(id, head_parameters(model)))
    body = {n: p for n, p in model.base_model.named_parameters() if "adapter" not in n}
    base = {n: p for n, p in body.items() if id(p) not in head}
    saved = stored(name)
    assert base
    assert [n for n in base if n not in saved or not torch.equal(base[n], saved[n])] == []


@pytest.mark.parametrize("name", graded("test_a_prediction_does_not_depend_on_its_batch"))
def test_a_prediction_does_not_depend_on_its_batch(performed: Any, name: str) -> None:
    done = performed(name)
    model, texts, cpu = done.model, done.validation, torch.device("cpu")
    assert len(set(texts.sizes)) > 3
    alone, together = (
        torch.tensor([row["logits"] for row in predict(model, texts, size, cpu, "fp32")])
        for size in (1, 12)
    )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert alone.std(dim=0).min() > 1e-4
