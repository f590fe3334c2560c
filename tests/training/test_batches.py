"""Which examples go together, and that their order never shows in a prediction."""

import random
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch

from finegrid.records.training import Training
from finegrid.training.batches import (
    epoch_batches,
    evaluation_batches,
    micro_batches,
    most_units,
)
from finegrid.training.evaluation import predict
from tests.training.assets import Assets, read_history, run_folder

CPU = torch.device("cpu")


def draw_lengths(count: int) -> list[int]:
    draw = random.Random(count)  # noqa: S311 - lengths, no secrets
    return [draw.randint(1, 60) for _ in range(count)]


def padded(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


def plan(lengths: list[int], size: int, seed: int = 0) -> list[list[int]]:
    return epoch_batches(lengths, size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "size"), [(1, 4), (16, 4), (37, 8), (500, 8), (3, 100)])
def test_every_example_once_in_full_batches(count: int, size: int) -> None:
    batches = plan(draw_lengths(count), size)
    assert sorted(chain.from_iterable(batches)) == list(range(count))
    assert sorted(map(len, batches), reverse=True)[: count // size] == [size] * (count // size)
    assert len(batches) == -(-count // size)


def test_buckets_keep_padding_small() -> None:
    lengths = draw_lengths(1000)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).tolist()
    unsorted = [order[i : i + 8] for i in range(0, 1000, 8)]
    assert padded(plan(lengths, 8), lengths) - sum(lengths) < 0.3 * (
        padded(unsorted, lengths) - sum(lengths)
    )


def test_the_generator_decides_the_plan() -> None:
    lengths = draw_lengths(200)
    assert plan(lengths, 8, seed=1) == plan(lengths, 8, seed=1)
    assert plan(lengths, 8, seed=1) != plan(lengths, 8, seed=2)
    order = torch.Generator().manual_seed(1)
    assert epoch_batches(lengths, 8, order) != epoch_batches(lengths, 8, order)


def test_batches_of_a_bucket_are_shuffled() -> None:
    lengths = draw_lengths(128)
    longest = [max(lengths[i] for i in batch) for batch in plan(lengths, 8)]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_evaluation_takes_the_longest_first() -> None:
    lengths = draw_lengths(50)
    order = list(chain.from_iterable(evaluation_batches(lengths, 8)))
    assert sorted(order) == list(range(50))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)


def by_units(units: int, **options: int) -> Training:
    given = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16} | options
    return Training.model_validate(given | {"micro_batch_units": units})


@pytest.mark.parametrize("units", [60, 128, 1000])
def test_micro_batches_keep_within_their_units_and_are_no_smaller_than_that(units: int) -> None:
    lengths = draw_lengths(500)
    for batch in plan(lengths, 16):
        parts = micro_batches(batch, lengths, by_units(units))
        assert list(chain.from_iterable(parts)) == batch
        assert all(padded([part], lengths) <= units for part in parts)
        for part, following in pairwise(parts):
            assert padded([[*part, following[0]]], lengths) > units


def test_an_example_above_the_units_is_a_micro_batch_of_its_own() -> None:
    assert micro_batches([0, 1, 2], [5, 30, 5], by_units(10)) == [[0], [1], [2]]


@pytest.mark.parametrize("devices", [1, 2])
def test_the_most_units_are_those_of_no_other_micro_batch(devices: int) -> None:
    lengths, training = draw_lengths(500), by_units(128, devices=devices)
    share = most_units(lengths, training)
    for batch in evaluation_batches(lengths, 16):
        for part in micro_batches(batch, lengths, training):
            assert padded([part[::devices]], lengths) <= padded([share], lengths) <= 128
    assert padded([share], lengths) > 0.7 * 128 / devices


@pytest.mark.parametrize("name", ["bert", "network"])
def test_predictions_are_in_the_order_of_the_examples(assets: Assets, name: str) -> None:
    model = assets.plain(assets.specification(model=name))
    examples = assets.splits(name)["validation"]
    assert len(set(examples.sizes)) > 1 or name == "network"
    with torch.no_grad():
        singly = torch.cat([model.eval()(**examples.batch([i]).inputs).logits for i in range(21)])
    model.train()
    for size in (1, 4, 64):
        found = torch.tensor([row["logits"] for row in predict(model, examples, size, CPU, "fp32")])
        torch.testing.assert_close(found, singly, atol=1e-6, rtol=0)


def test_padding_is_masked_and_uses_the_tokenizers_id(assets: Assets) -> None:
    examples = assets.splits("bert")["train"]
    sizes = list(examples.sizes)
    short, long = (sizes.index(f(sizes)) for f in (min, max))
    batch = examples.batch([short, long]).inputs
    length = examples.sizes[short]
    assert batch["attention_mask"].sum(dim=1).tolist() == [length, examples.sizes[long]]
    assert batch["input_ids"][0, length:].tolist() == [0] * (examples.sizes[long] - length)
    assert batch["input_ids"].shape == (2, max(examples.sizes))


def test_throughput_counts_real_tokens(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("head", model="bert", epochs=2)
    result = assets.run(spec, tmp_path)
    seconds = sum(e["seconds"] for e in read_history(run_folder(spec, tmp_path)) if "loss" in e)
    tokens = 2 * sum(assets.splits("bert")["train"].sizes)
    assert result.time is not None
    assert result.time.train_seconds == pytest.approx(seconds)
    assert result.time.tokens_per_second == pytest.approx(tokens / seconds)
    assert result.time.examples_per_second == pytest.approx(100 / seconds)
    assert result.time.steps == 8
