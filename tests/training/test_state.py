"""A state that is put back is the one that was taken out, down to generators and buffers."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.assets import Assets
from training.evaluation import compute
from training.loop import Event, Trainer
from training.network import Output
from training.seeds import generator
from training.state import TrainerState, capture, restore

STEP = 3


class Normalised(nn.Module):
    """A network with running means, and with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.head = nn.Linear(8, 3)

    def forward(self, features: torch.Tensor) -> Output:
        # As a library might: whatever is drawn here changes what is trained.
        scale = 1 + 0.1 * (random.random() + np.random.random())  # noqa: S311
        return Output(self.head(self.body(features)) * scale)


def trainer(assets: Assets, events: list[Event], **hooks: Any) -> Trainer:
    compute("accuracy", [0], [0])  # what is imported for the first score may draw as well
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    training = assets.specification(epochs=2, evaluations=3).training
    made = Normalised()
    return Trainer(made, assets.manifest(), assets.splits(), training, events.append, **hooks)


@pytest.mark.parametrize("text", [True, False], ids=["through its text", "as it is"])
def test_training_goes_on_as_if_nothing_had_been(assets: Assets, text: bool) -> None:
    taken: list[Any] = []
    events: list[Event] = []

    def take(at: Trainer) -> None:
        if len(at.losses) == STEP and not taken:
            tensors, state = capture(at)
            copies = {name: tensor.clone() for name, tensor in tensors.items()}
            taken.extend((copies, state, tuple(events)))

    whole = trainer(assets, events, between=take)
    expected = whole.train(generator(0, "order"))
    tensors, state, history = taken
    if text:
        state = TrainerState.model_validate_json(state.model_dump_json())

    again = trainer(assets, [], restore=lambda at: restore(at, tensors, state, history))
    found = again.train(generator(0, "order"))
    assert len(history) == STEP
    assert again.losses == whole.losses
    assert again.step_seconds[:STEP] == whole.step_seconds[:STEP]
    assert found.best.scores == expected.best.scores
    assert torch.equal(found.best.logits, expected.best.logits)
    final = whole.model.state_dict()
    assert {"body.1.running_mean", "head.weight"} <= final.keys()
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, final[name]), name


def test_a_state_that_does_not_fit_the_model_is_refused(assets: Assets) -> None:
    taken: list[Any] = []
    trainer(assets, [], between=lambda at: taken.append(capture(at))).train(generator(0, "order"))
    tensors, state = taken[0]
    del tensors["model/head.bias"]
    other = trainer(assets, [], restore=lambda at: restore(at, tensors, state, ()))
    with pytest.raises(ValueError, match=r"do not fit the model: head\.bias"):
        other.train(generator(0, "order"))
