"""Losses count tokens: how a batch is cut, among micro-batches and processes, changes no step."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.nn.functional import cross_entropy

from finegrid.prepare.model import prepare_model
from finegrid.records.specification import RandomModel, Source, Specification, Task, model_key
from finegrid.training.processes.distributed import ALONE
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.signals import Interruption
from kinds.registry import kind_named
from tests.kinds.writing import OWN, SIZES, write_writer
from tests.models.texts import WORDS
from tests.training.assets import SIZES as ROWS
from tests.training.assets import Assets, write_task
from tests.training.disturbances import forked_workers
from tests.training.test_distributed import TOLERANCE, Outcome, perform

MODEL = "llama"


@pytest.fixture(scope="module")
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
    folder = write_writer(root / "writer", MODEL)
    model = RandomModel.model_validate(
        {
            "kind": "random",
            "name": MODEL,
            "configuration": {"model_type": MODEL, **SIZES, **OWN[MODEL][1]},
            "tokenizer": Source(uri=f"path:{folder}"),
        }
    )
    prepared = root / "prepared"
    loaders = [str(kind_named("causal-lm").loader)]
    places = prepared / "models" / model_key(model), prepared / "tasks", root / "downloads"
    prepare_model(model, *places, loaders)
    return Assets(prepared, {MODEL: task}, {MODEL: model})


def specification(writers: Assets, **training: Any) -> Specification:
    options: dict[str, Any] = {"dropout": 0.0, "epochs": 2, "evaluations": 2, "learning_rate": 1e-3}
    spec = writers.specification("lora", model=MODEL, **(options | training))
    writers.encode(spec)
    return spec


def perplexity(outcome: Outcome) -> float:
    assert outcome.metrics is not None
    score = outcome.metrics.test["perplexity"]
    assert score.n == ROWS["test"]
    return score.value


CUTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "micro": {"micro_batch_size": 4},
    "ddp": {"devices": 2, "strategy": "ddp"},
    "fsdp, micro": {"devices": 2, "strategy": "fsdp", "micro_batch_size": 2},
}


@pytest.mark.thorough("test_two_processes_train_as_one")
def test_micro_batches_and_processes_weigh_tokens_alike(writers: Assets, tmp_path: Path) -> None:
    """A mean of their means would weigh a token of short answers more than one of long ones."""
    specs = {name: specification(writers, **how) for name, how in CUTS.items()}
    alone = {name: spec for name, spec in specs.items() if spec.training.devices == 1}
    shared = {name: spec for name, spec in specs.items() if name not in alone}
    outcomes = perform(alone, writers.prepared, tmp_path, ALONE, Interruption())
    with forked_workers():
        work = partial(perform, shared, writers.prepared, tmp_path)
        outcomes |= run_workers(work, specs["ddp"].training, 1, Interruption())
    expected = outcomes["whole"]
    assert len(set(expected.losses)) == len(expected.losses) == 8
    for name, found in outcomes.items():
        assert found.losses == pytest.approx(expected.losses, abs=TOLERANCE), name
        assert found.norms == pytest.approx(expected.norms, rel=1e-4), name
        assert perplexity(found) == pytest.approx(perplexity(expected), rel=1e-5), name


def test_the_loss_is_the_mean_over_the_tokens_of_the_batch(writers: Assets, tmp_path: Path) -> None:
    """Of the first step, by the library's own cross entropy over all tokens that are learnt."""
    spec = specification(writers, batch_size=ROWS["train"], evaluations=1, epochs=1)
    found = perform({"all": spec}, writers.prepared, tmp_path, ALONE, Interruption())
    examples = writers.splits(MODEL)["train"]
    batch = examples.batch(range(len(examples)))
    model = writers.applied(spec).train()
    logits = model(**batch.inputs).logits
    labels = batch.targets["labels"]
    counted = labels != -100
    assert counted.sum(1).float().std() > 2
    expected = cross_entropy(logits[counted].float(), labels[counted])
    assert found["all"].losses == pytest.approx([expected.item()], abs=TOLERANCE)
