"""Losses count tokens: how a batch is cut, among micro-batches and processes, changes no step."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.nn.functional import cross_entropy

from finegrid.records.specification import Specification
from finegrid.training.processes.distributed import ALONE
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.signals import Interruption
from tests.training.assets import SIZES as ROWS
from tests.training.assets import WRITER, Assets
from tests.training.disturbances import forked_workers
from tests.training.test_distributed import TOLERANCE, Outcome, perform


def specification(writers: Assets, **training: Any) -> Specification:
    options: dict[str, Any] = {"dropout": 0.0, "epochs": 2, "evaluations": 2, "learning_rate": 1e-3}
    spec = writers.specification("lora", model=WRITER, **(options | training))
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
    examples = writers.splits(WRITER)["train"]
    batch = examples.batch(range(len(examples)))
    model = writers.applied(spec).train()
    logits = model(**batch.inputs).logits
    labels = batch.targets["labels"]
    counted = labels != -100
    assert counted.sum(1).float().std() > 2
    expected = cross_entropy(logits[counted].float(), labels[counted])
    assert found["all"].losses == pytest.approx([expected.item()], abs=TOLERANCE)
