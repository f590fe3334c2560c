"""A state that is put back is the one that was taken out, down to generators and buffers."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from finegrid.models.network import Output
from finegrid.models.seeds import generator
from finegrid.training import loop
from finegrid.training.evaluation import compute
from finegrid.training.loop import Event, Trainer
from finegrid.training.state.snapshot import TrainerState, capture, restore
from methods.parameters import host_copy
from tests.training.assets import Assets

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


@pytest.fixture(autouse=True)
def _without_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept of evaluations: the network here has no configuration to find blocks by."""
    monkeypatch.setattr(loop, "find_features", lambda *_: None)


class HostCopies(TorchFunctionMode):
    """Keeps what is copied to a place that is named, and is the host."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        if func is torch.Tensor.to and args[1:] == ("cpu",) and (kwargs or {}).get("copy"):
            self.made.append(returned)
        return returned

    def hold(self, state: dict[str, torch.Tensor]) -> bool:
        """Whether each tensor of a state is such a copy."""
        return bool(state) and {id(t) for t in state.values()} <= {id(t) for t in self.made}


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
    assert found.best.said == expected.best.said
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


def test_a_copy_for_the_host_is_there_whatever_the_device() -> None:
    with FakeTensorMode():
        of_device = {"w": torch.empty(3, device="cuda", requires_grad=True)}
        found = host_copy(of_device)["w"]
    assert (of_device["w"].device.type, found.device.type) == ("cuda", "cpu")
    assert not found.requires_grad
    of_host = {"w": torch.ones(3)}
    found = host_copy(of_host)["w"]
    of_host["w"].zero_()
    assert found.sum() == 3


def test_the_best_state_is_kept_on_the_host_and_so_it_is_after_a_restart(assets: Assets) -> None:
    """On the device it would be a copy of all that is trained that no figure of memory holds."""
    taken: list[Any] = []
    between = lambda at: taken.append((*capture(at), at.losses[:])) if at.best else None  # noqa: E731
    with HostCopies() as copies:
        best = trainer(assets, [], between=between).train(generator(0, "order")).best
        assert copies.hold(best.state)
        tensors, state, losses = taken[0]
        events = [
            {"seconds": 1.0, "loss": loss, "gradient_norm": 1.0, "layer_gradient_norms": {}}
            for loss in losses
        ]
        kept: list[bool] = []

        def put_back(at: Trainer) -> None:
            restore(at, tensors, state, tuple(events))
            kept.append(at.best is not None and copies.hold(at.best.state))

        trainer(assets, [], restore=put_back).train(generator(0, "order"))
    assert kept == [True]
