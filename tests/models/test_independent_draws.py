"""No two draws of an experiment share numbers, whatever the seeds of runs and models are."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from finegrid.models import seeds
from finegrid.models.seeds import STREAMS, derive, pretraining_stream, weights_stream
from finegrid.prepare.model import prepare_model
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask
from finegrid.records.specification import Model, Network, Pretraining, Specification, model_key
from finegrid.training.experiment import Run, apply, load_base
from methods.parameters import delta_state
from tests.training.assets import Assets

SEEDS = range(10)
COMPARED = 64
"""The first numbers of two draws that are compared."""
BY_CHANCE = 0.75
"""Six standard deviations of the correlation of as many independent numbers."""
NAMES = ("bert", "network")
BEYOND = pytest.mark.thorough("test_no_two_draws_are_equal_or_correlated")
DRAWN = [
    ("network", "head", {}),
    ("network", "lora", {"targets": ["linear"], "rank": 8}),
    ("network", "vera", {"targets": ["linear"], "rank": 8}),
    ("network", "lg", {"targets": ["linear"], "rank": 8}),
    ("bert", "prefix", {"length": 2}),
    pytest.param("bert", "lora", {}, marks=BEYOND),
    pytest.param("bert", "adapter", {}, marks=BEYOND),
    pytest.param("bert", "prompt", {"length": 2}, marks=BEYOND),
    pytest.param("bert", "peft:lora", {}, marks=BEYOND),
]
Draws = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def models(assets: Assets) -> dict[str, list[Model]]:
    """A model of each kind that is drawn, by each seed, prepared."""
    made: dict[str, list[Model]] = {
        "bert": [assets.models["bert"].model_copy(update={"seed": seed}) for seed in SEEDS],
        "network": [network(seed=seed) for seed in SEEDS],
    }
    for model in (*made["bert"], *made["network"]):
        prepare(assets, model)
    return made


def network(name: str = "wide", **fields: Any) -> Network:
    return Network(kind="network", name=name, layers=(12, 32, 16, 8), **fields)


def prepare(assets: Assets, model: Model) -> Path:
    folder = assets.prepared / "models" / model_key(model)
    prepare_model(model, folder, assets.prepared / "tasks", assets.prepared / "downloads")
    return folder


def drawn(tensors: Mapping[str, torch.Tensor], label: str) -> Draws:
    """The first numbers of each tensor that was drawn; a row of padding is none."""
    numbers = {name: tensor.flatten() for name, tensor in tensors.items()}
    return {
        f"{label} {name}": found[found != 0][:COMPARED]
        for name, found in numbers.items()
        if (found != 0).sum() >= COMPARED and found.std() > 0
    }


def start(assets: Assets, spec: Specification, folder: Path) -> tuple[nn.Module, Draws]:
    """The model of a run before its first step, and what the run draws for it."""
    run = Run(spec, assets.prepared, folder, mirror=lambda event: None)
    prepared = PreparedModel.read(run.model_folder / MANIFEST_FILE)
    task = PreparedTask.read(run.task_folder / MANIFEST_FILE)
    model = apply(run, load_base(run, prepared, task)).model
    added = delta_state(model).items()
    # LG keeps what its factors started from, under their names with a zero.
    return model, {name: t for name, t in added if not name.endswith("0")}


@pytest.mark.parametrize(("name", "method", "settings"), DRAWN)
def test_no_two_draws_are_equal_or_correlated(
    assets: Assets,
    models: dict[str, list[Model]],
    tmp_path: Path,
    name: str,
    method: str,
    settings: dict[str, Any],
) -> None:
    """Runs of seeds 0 to 9 on models of the same seeds, and these models as they were made."""
    found: Draws = {}
    for seed, model in zip(SEEDS, models[name], strict=True):
        plain = assets.specification(method, model=name, settings=settings, seed=seed)
        spec = plain.model_copy(update={"model": model})
        whole, added = start(assets, spec, tmp_path)
        if name == "network":  # its head is part of the file, and is made anew
            found |= drawn(stored(assets, model), f"model {seed}")
        else:
            base = {n: p.detach() for n, p in whole.named_parameters() if n not in added}
            found |= drawn(base, f"model {seed}")
        found |= drawn(added, f"run {seed}")
    assert any(label.startswith("run 9") for label in found)
    assert any(label.startswith("model 9") for label in found)
    rows = torch.stack(list(found.values()))
    similar = torch.corrcoef(rows).fill_diagonal_(0).abs()
    first, second = divmod(int(similar.argmax()), len(rows))
    labels = list(found)
    assert similar.max() < BY_CHANCE, f"{labels[first]} and {labels[second]}"


def stored(assets: Assets, model: Model) -> Draws:
    state: Draws = load_file(assets.prepared / "models" / model_key(model) / "model.safetensors")
    return state


def test_models_of_one_seed_are_drawn_apart(assets: Assets) -> None:
    one, other = (network(name, seed=3) for name in ("one", "other"))
    prepare(assets, one)
    prepare(assets, other)
    for name, tensor in stored(assets, one).items():
        assert not torch.equal(tensor, stored(assets, other)[name]), name


def test_no_two_streams_start_alike() -> None:
    """Of a seed, torch's generator on the CPU takes 32 bits."""
    of_models = [
        stream
        for name in NAMES
        for stream in (
            weights_stream(name),
            pretraining_stream(name, "order"),
            pretraining_stream(name, "dropout"),
        )
    ]
    started = [derive(s, stream) for s, stream in product(SEEDS, [*STREAMS, *of_models])]
    started += [derive(s, "dropout", rank) for s, rank in product(SEEDS, range(1, 8))]
    assert len({value % 2**32 for value in started}) == len(started)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that generators start from: torch's global ones, and those of streams."""
    found: list[int] = []
    plain, plain_derive = torch.manual_seed, seeds.derive

    def manual_seed(seed: int) -> torch.Generator:
        if seed not in found[-1:]:  # as when it is derived for torch's global generator
            found.append(seed)
        return plain(seed)

    def derived(*arguments: Any) -> int:
        found.append(plain_derive(*arguments))
        return found[-1]

    monkeypatch.setattr(torch, "manual_seed", manual_seed)
    monkeypatch.setattr(seeds, "derive", derived)
    return found


def test_nothing_is_drawn_by_a_seed_as_it_is_given(
    assets: Assets, started: list[int], tmp_path: Path
) -> None:
    """A pretraining and a run on its model, and a model made at random, all of seed 0."""
    source = assets.specification("full", dropout=None)
    pretraining = Pretraining(task=source.task, training=source.training, seed=0)
    pretrained = Network(
        kind="network", name="pretrained", layers=(12, 16, 3), pretraining=pretraining
    )
    prepare(assets, pretrained)
    prepare(assets, assets.models["bert"].model_copy(update={"name": "another"}))
    assets.perform(source.model_copy(update={"model": pretrained}), tmp_path)
    weights, dropout, order = (
        weights_stream("pretrained"),
        pretraining_stream("pretrained", "dropout"),
        pretraining_stream("pretrained", "order"),
    )
    # The last is the base beside which the run times itself: it has the same head.
    of_run = ("head", "method", "dropout", "order", "head")
    expected = [weights, dropout, order, weights_stream("another"), *of_run]
    assert started == [derive(0, stream) for stream in expected]  # type: ignore[arg-type]
