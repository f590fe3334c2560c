"""One seed, four streams, each of which decides its own draws and no others."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from finegrid.models import seeds
from finegrid.models.seeds import STREAMS, Stream, derive, generator
from finegrid.records.specification import Specification
from finegrid.training.evaluation import UndefinedScoreError
from finegrid.training.loop import Trainer
from methods.parameters import trainable_state
from tests.training.assets import OWN_METHODS, Assets


@dataclass
class Start:
    """What a run draws: initial values, the plan of batches, a dropout mask."""

    initial: dict[str, torch.Tensor] = field(default_factory=dict)
    plan: list[list[int]] = field(default_factory=list)
    mask: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def differs(self, other: "Start") -> dict[str, bool]:
        """By stream, whether what it decides differs."""
        return {
            "head": self._starts_differ(other, of_head=True),
            "method": self._starts_differ(other, of_head=False),
            "order": self.plan != other.plan,
            "dropout": not torch.equal(self.mask, other.mask),
        }

    def _starts_differ(self, other: "Start", *, of_head: bool) -> bool:
        names = [name for name in self.initial if name.startswith("classifier.") == of_head]
        pairs = [(self.initial[name], other.initial[name]) for name in names]
        changed = [not torch.equal(*pair) for pair in pairs if pair[0].any()]
        assert any(changed) == all(changed), "some drawn tensors changed and others did not"
        return any(changed)


def observe(assets: Assets, spec: Specification, folder: Path) -> Start:
    """Perform a run whose steps train nothing and write down what they see."""
    start = Start()

    def step(self: Trainer, number: int, batch: list[int]) -> None:
        if number == 1:
            start.initial = {n: t.clone() for n, t in trainable_state(self.model).items()}
            start.mask = functional.dropout(torch.ones(64), 0.5)
        start.plan.append(batch)
        self.optimizer.step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        patch.setattr(Trainer, "evaluate", lambda self, number: None)
        with pytest.raises(UndefinedScoreError, match="at any evaluation"):
            assets.perform(spec, folder)
    return start


def lora(assets: Assets, seed: int = 0) -> Specification:
    return assets.specification("lora", model="bert", seed=seed, epochs=2)


def test_streams_are_distinct_and_stable() -> None:
    drawn = {derive(seed, stream) for seed in range(50) for stream in STREAMS}
    assert len(drawn) == 200
    assert all(0 <= value < 2**63 for value in drawn)
    # The first 8 bytes of sha256("0/order"), halved: another value changes every number.
    assert derive(0, "order") == 0x489BA6AB785700AD


def test_a_generator_repeats_its_stream() -> None:
    first, second = (torch.rand(8, generator=generator(3, "order")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(8, generator=generator(3, "dropout")))
    assert not torch.equal(first, torch.rand(8, generator=generator(4, "order")))


def test_the_same_seed_repeats_every_stream(assets: Assets, tmp_path: Path) -> None:
    first, second = (observe(assets, lora(assets), tmp_path) for _ in range(2))
    assert first.differs(second) == dict.fromkeys(STREAMS, False)


def test_another_seed_changes_every_stream(assets: Assets, tmp_path: Path) -> None:
    first, second = (observe(assets, lora(assets, seed), tmp_path) for seed in (0, 1))
    assert {name.split(".")[0] for name in first.initial} == {"bert", "classifier"}
    assert first.differs(second) == dict.fromkeys(STREAMS, True)


@pytest.mark.parametrize("changed", STREAMS)
def test_a_stream_leaves_the_others_alone(
    assets: Assets, changed: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = observe(assets, lora(assets), tmp_path)
    shifted = lambda seed, stream, rank=0: derive(seed + 100 * (stream == changed), stream)  # noqa: E731
    monkeypatch.setattr(seeds, "derive", shifted)
    second = observe(assets, lora(assets), tmp_path)
    assert first.differs(second) == {stream: stream == changed for stream in STREAMS}


def test_every_method_sees_the_same_batches_and_masks(assets: Assets, tmp_path: Path) -> None:
    starts = [
        observe(assets, assets.specification(name, model="bert", epochs=2), tmp_path)
        for name in OWN_METHODS
    ]
    assert len(starts[0].plan) == 8
    for start in starts[1:]:
        assert start.plan == starts[0].plan
        assert torch.equal(start.mask, starts[0].mask)


@pytest.mark.parametrize(("dropout", "repeats"), [(None, False), (0.0, True), (0.5, False)])
def test_the_override_of_dropout_takes_effect(
    assets: Assets, dropout: float | None, repeats: bool
) -> None:
    model = assets.plain(assets.specification(model="bert", dropout=dropout)).train()
    batch = assets.splits("bert")["train"].batch([0, 1, 2]).inputs
    first, second = (model(**batch).logits for _ in range(2))
    assert torch.equal(first, second) == repeats
    rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.1 if dropout is None else dropout}


def test_each_process_of_a_run_draws_its_own_dropout() -> None:
    """The first draws that of a run alone; else devices would drop the same places."""
    alone, *shared = derive(3, "dropout"), derive(3, "dropout", 0), derive(3, "dropout", 1)
    assert shared[0] == alone != shared[1]
