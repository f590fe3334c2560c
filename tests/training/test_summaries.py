"""Losses and gradient norms, against figures by hand."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from finegrid.training.measure.summaries import (
    layer_norms,
    layer_of,
    summarise_gradients,
    summarise_losses,
    trained_layers,
)
from tests.training.assets import Assets, read_history, run_folder


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("bert.encoder.layer.3.attention.self.query.weight", "bert.encoder.layer.3"),
        ("encoder.block.0.layer.1.wi.weight", "encoder.block.0"),
        ("bert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings"),
        ("classifier.weight", "classifier"),
        ("layers.0.bias", "layers.0"),
        ("scale", "scale"),
    ],
)
def test_a_layer_is_a_name_up_to_its_first_number(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_norms_are_roots_of_sums_of_squares_over_what_has_a_gradient() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(1, 1))
    model[2].requires_grad_(False)
    model(torch.tensor([[1.0, -2.0]])).sum().backward()
    expected = {
        str(number): math.sqrt(
            sum(float((p.grad**2).sum()) for p in model[number].parameters() if p.grad is not None)
        )
        for number in (0, 1)
    }
    assert layer_norms(trained_layers(model)) == pytest.approx(
        {f"{n}": v for n, v in expected.items()}
    )


def test_the_summary_covers_every_step_in_total_and_by_layer() -> None:
    summary = summarise_gradients(
        [3.0, 1.0, 2.0], [{"a": 3.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, {"b": 2.0}]
    )
    assert summary is not None
    assert (summary.first, summary.minimum, summary.median) == (3.0, 1.0, 2.0)
    assert (summary.maximum, summary.last) == (3.0, 2.0)
    assert (summary.layers["a"].median, summary.layers["a"].last) == (2.0, 1.0)
    assert summary.layers["b"].maximum == 2.0
    assert summarise_gradients([], []) is None


def test_layers_add_up_to_the_whole_in_every_step(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    taken = [e for e in read_history(run_folder(spec, tmp_path)) if "loss" in e]
    assert taken
    for event in taken:
        layers = event["layer_gradient_norms"].values()
        assert math.hypot(*layers) == pytest.approx(event["gradient_norm"], rel=1e-5)
    assert result.gradients is not None
    assert list(result.gradients.layers) == ["body.0", "body.1", "head"]


def test_the_loss_is_summed_up_with_the_mean_of_its_last_tenth() -> None:
    summary = summarise_losses([float(number) for number in range(1, 16)])
    assert summary is not None
    assert (summary.first, summary.last, summary.mean) == (1.0, 15.0, 8.0)
    assert summary.final == 14.5  # of fifteen steps the last tenth is two
    assert summarise_losses([]) is None
