"""The traced peak of a device that holds its part of a model, against FSDP and by hand."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import distributed

from finegrid.records.prediction import Question
from finegrid.records.specification import RandomModel, Source, Specification, Task, Variant
from finegrid.records.training import Training
from finegrid.training.measure.divided import Parts, divided_peak
from finegrid.training.measure.memory import PeakMeter, optimizer_bytes, tensor_bytes
from finegrid.training.measure.prediction import LiveBytes, predict
from finegrid.training.processes.sharding import shard
from methods.registry import METHODS

DEVICES = 8
SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
LORA: dict[str, Any] = {"rank": 4, "targets": ["q", "v"]}
BEYOND = pytest.mark.thorough("test_the_peak_is_about_that_of_fsdp_itself")


def test_what_is_gathered_by_hand() -> None:
    """Weights of the rest and three blocks; gradients of the rest, and two blocks or once more."""
    assert Parts([30, 40, 7], [3, 4, 1]).gathered == (7 + 3 * 40) + 1 + 2 * 4
    assert Parts([30, 40, 90], [3, 4, 90]).gathered == (90 + 3 * 40) + 90 + 90
    assert Parts([25], [0]).gathered == 25


@pytest.fixture
def divided() -> Iterator[None]:
    """The first of eight processes, of which there are no others: what they would send is noise."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=DEVICES)
    yield
    distributed.destroy_process_group()


class _Trained:
    """A tiny decoder with a method, and the passes of its training."""

    def __init__(self, method: str, settings: dict[str, Any], vocabulary: int, tokens: int) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.for_model(**SIZES | {"vocab_size": vocabulary})
        self.model: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        METHODS.build(method, settings).apply(self.model, torch.Generator())
        self.model.train()
        self._ids = torch.zeros(2, tokens, dtype=torch.long)

    def optimizer(self) -> torch.optim.Optimizer:
        trained = [one for one in self.model.parameters() if one.requires_grad]
        return torch.optim.AdamW(trained, foreach=True)

    def step(self) -> None:
        found = self.model(input_ids=self._ids, labels=self._ids, use_cache=False)
        found.loss.backward()


def traced(*case: Any) -> int:
    with LiveBytes() as meter:
        one = _Trained(*case)
        for parameter in one.model.parameters():
            meter.count(parameter)
        return divided_peak(one.model, one.optimizer(), [one.step], meter, DEVICES)


def measured(*case: Any) -> int:
    """What FSDP allocates in a step beside its shares, as a run's own probe reads it."""
    one = _Trained(*case)
    shard(one.model, "cpu", lambda value: [value])
    optimizer = one.optimizer()
    one.step()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    gc.collect()
    held = tensor_bytes([*one.model.parameters(), *one.model.buffers()])
    held += optimizer_bytes(optimizer)
    with PeakMeter(torch.device("cpu")) as meter:
        one.step()
        optimizer.step()
    return held + meter.peak


@pytest.mark.usefixtures("divided")
@pytest.mark.parametrize(
    ("case", "most"),
    [
        pytest.param(("full", {}, 40, 8), 1.25, id="full"),
        pytest.param(("lora", LORA, 40, 8), 1.25, id="lora"),
        pytest.param(("full", {}, 40, 64), 1.25, id="full, long", marks=BEYOND),
        pytest.param(("lora", LORA, 40, 64), 1.25, id="lora, long", marks=BEYOND),
        pytest.param(("full", {}, 4000, 16), 1.5, id="full, many words", marks=BEYOND),
        pytest.param(("lora", LORA, 4000, 16), 1.5, id="lora, many words", marks=BEYOND),
    ],
)
def test_the_peak_is_about_that_of_fsdp_itself(case: tuple[Any, ...], most: float) -> None:
    """Never below it. Of a vocabulary that is most of the model it is further above."""
    found, taken = traced(*case), measured(*case)
    assert taken < found < most * taken


SEVENTY: dict[str, Any] = SIZES | {
    "vocab_size": 128256,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
"""Llama-3.1-70B."""
TABLE = 128256 * 8192
BLOCK = 2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
ALL = 70_553_706_496
"""Parameters as they are published."""
ADDED = 80 * 16 * (2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672))
"""Of LoRA of rank 16 on every linear layer of the blocks."""


def seventy(method: str, settings: dict[str, Any]) -> Specification:
    """Eight devices, one text of 768 tokens on each."""
    source = Source(uri="path:anything")
    options: dict[str, Any] = {"learning_rate": 1e-5, "epochs": 1, "batch_size": 8}
    options |= {"max_length": 768}
    options |= {"device": "cuda", "devices": 8, "strategy": "fsdp", "gradient_checkpointing": True}
    return Specification(
        task=Task(name="commands", task="shell-commands", source=source),
        model=RandomModel(kind="random", name="x", configuration=SEVENTY, tokenizer=source),
        variant=Variant(name="x", method=method, settings=settings),
        training=Training.model_validate(options | {"dtype": "bf16", "weights": "bf16"}),
        seed=0,
    )


@pytest.mark.thorough("test_the_peak_is_about_that_of_fsdp_itself")
def test_seventy_billion_weights_on_eight_devices() -> None:
    """Weights of two bytes; gradients and two states of as many, or of four for what is added."""
    assert 80 * BLOCK + 2 * TABLE + 8192 == ALL
    gathered = 2 * (2 * TABLE + 3 * BLOCK)
    targets = ["q", "k", "v", "o", "gate", "up", "down"]
    lora = predict(Question(spec=seventy("lora", {"rank": 16, "targets": targets}), batch=(1, 768)))
    held = (2 * ALL + 3 * 4 * ADDED) / 8
    assert lora.peak_bytes is not None, lora.reason
    assert 0 < lora.peak_bytes - held - gathered < 6e9, "activations and logits"
    full = predict(Question(spec=seventy("full", {}), batch=(1, 768)))
    assert full.peak_bytes is not None, full.reason
    assert 4 * 2 * ALL / 8 < full.peak_bytes < 4 * 2 * ALL / 8 + 2 * gathered + 6e9
    assert lora.peak_bytes < 80e9 < full.peak_bytes, "what a device of 80 GB holds"
