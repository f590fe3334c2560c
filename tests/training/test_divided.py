"""The traced peak of a device that holds its part of a model, against FSDP and by hand."""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh

from finegrid.models.network import LinearStack
from finegrid.records.prediction import Question
from finegrid.records.specification import RandomModel, Source, Specification, Task, Variant
from finegrid.records.training import Training
from finegrid.training.measure.divided import first_of
from finegrid.training.measure.live import LiveBytes
from finegrid.training.measure.memory import PeakMeter, optimizer_bytes, tensor_bytes
from finegrid.training.measure.prediction import predict
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
BEYOND = pytest.mark.thorough("test_the_peak_is_that_of_fsdp_itself")


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """The first of eight processes, of which there are no others: what they would send is noise."""
    with first_of(DEVICES) as found:
        yield found


class _Decoder:
    """A tiny decoder with a method, and the passes of its training."""

    def __init__(self, method: str, settings: dict[str, Any], vocabulary: int, tokens: int) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.for_model(**SIZES | {"vocab_size": vocabulary})
        self.model: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        METHODS.build(method, settings).apply(self.model, torch.Generator())
        self._ids = torch.zeros(2, tokens, dtype=torch.long)

    def passes(self) -> None:
        found = self.model(input_ids=self._ids, labels=self._ids, use_cache=False)
        found.loss.backward()


class _Stack:
    """Two square layers, each a block, and a head, which is what is left; one row."""

    def __init__(self, width: int, outputs: int, *, is_trained: bool) -> None:
        self.model = LinearStack((width, width, width, outputs))
        self.model.body.requires_grad_(is_trained)
        self._row = torch.zeros(1, width)

    def passes(self) -> None:
        self.model(self._row).logits.sum().backward()


Subject = Callable[[], Any]


def divided(make: Subject, mesh: DeviceMesh) -> tuple[Any, torch.optim.Optimizer]:
    """What is made, divided and after its first step, which makes the optimizer's state."""
    one = make()
    one.model.train()
    shard(one.model, mesh, lambda value: [value])
    trained = [p for p in one.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    step(one, optimizer)
    gc.collect()
    return one, optimizer


def step(one: Any, optimizer: torch.optim.Optimizer) -> None:
    one.passes()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def traced(make: Subject, mesh: DeviceMesh) -> int:
    """The most that is alive in a step on tensors without numbers."""
    with FakeTensorMode(), LiveBytes() as meter:
        one, optimizer = divided(make, mesh)
        meter.peak = meter.live
        step(one, optimizer)
        return meter.peak


def measured(make: Subject, mesh: DeviceMesh) -> int:
    """The same of numbers, as a run's own probe reads it."""
    one, optimizer = divided(make, mesh)
    held = tensor_bytes([*one.model.parameters(), *one.model.buffers()])
    held += optimizer_bytes(optimizer)
    with PeakMeter(torch.device("cpu")) as meter:
        step(one, optimizer)
    return held + meter.peak


@pytest.mark.parametrize("peak", [traced, measured])
@pytest.mark.parametrize("outputs", [64, 2048])
@pytest.mark.parametrize("is_trained", [True, False])
def test_the_peak_of_a_stack_by_hand(
    mesh: DeviceMesh, peak: Callable[..., int], outputs: int, *, is_trained: bool
) -> None:
    """What is whole at the most beside each device's share, with bytes b of a block, r of the head.

    Gathering takes a part twice, in what is received and as weights. Of the first, in the forward
    pass, the library lets go when the next part's weights are there; in the backward pass at once.
    There the head stays to the end, with its gradient. A block's weights go before what its
    gradient is exchanged in comes.

    Forward: head and first block twice each, or the head and three times a block. Backward: where
    blocks are trained, the head and its gradient, and three times a block: weights and gradient of
    the last and what is received of the first.
    """
    width = 256
    block, head = 4 * (width + 1) * width, 4 * (width + 1) * outputs
    held = (2 * block + head) / DEVICES
    states = 2 * (held if is_trained else head / DEVICES)
    forward = head + 2 * block + max(head, block)
    backward = 2 * head + 3 * block * is_trained
    found = peak(partial(_Stack, width, outputs, is_trained=is_trained), mesh)
    shares, activations = block / DEVICES, 8 * 4 * width + 3 * 4 * outputs
    expected = held + states + max(forward, backward)
    assert expected <= found <= expected + shares + activations


def test_a_storage_that_is_resized_counts_as_it_is() -> None:
    with LiveBytes() as meter:
        kept = torch.empty(100)
        kept.untyped_storage().resize_(0)
        assert (meter.live, meter.peak) == (0, 400)
        kept.untyped_storage().resize_(800)
        assert (meter.live, meter.peak) == (800, 800)
        del kept
    assert meter.live == 0
    torch.empty(1).untyped_storage().resize_(8)
    assert meter.peak == 800, "what is resized after the block is not seen"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("full", {}, 40, 8), id="full"),
        pytest.param(("lora", LORA, 4000, 16), id="lora, many words"),
        pytest.param(("full", {}, 40, 64), id="full, long", marks=BEYOND),
        pytest.param(("lora", LORA, 40, 8), id="lora", marks=BEYOND),
        pytest.param(("lora", LORA, 40, 64), id="lora, long", marks=BEYOND),
        pytest.param(("full", {}, 4000, 16), id="full, many words", marks=BEYOND),
    ],
)
def test_the_peak_is_that_of_fsdp_itself(mesh: DeviceMesh, case: tuple[Any, ...]) -> None:
    """Never far below it: of what a kernel takes for itself a trace sees nothing."""
    make = partial(_Decoder, *case)
    assert 0.995 < traced(make, mesh) / measured(make, mesh) < 1.02


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


@pytest.mark.thorough("test_the_peak_is_that_of_fsdp_itself")
def test_seventy_billion_weights_on_eight_devices() -> None:
    """Weights of two bytes; gradients and two states of as many, or of four for what is added."""
    assert 80 * BLOCK + 2 * TABLE + 8192 == ALL
    block, rest = 2 * BLOCK, 2 * 2 * TABLE
    targets = ["q", "k", "v", "o", "gate", "up", "down"]
    lora = predict(Question(spec=seventy("lora", {"rank": 16, "targets": targets}), batch=(1, 768)))
    held = (2 * ALL + 2 * 4 * ADDED) / 8
    assert lora.peak_bytes is not None, lora.reason
    assert 0 < lora.peak_bytes - held - 2 * (rest + block) < 6e9, "activations and logits"
    full = predict(Question(spec=seventy("full", {}), batch=(1, 768)))
    assert full.peak_bytes is not None, full.reason
    held = 4 * 2 * ALL / 8
    assert held + 2 * rest - rest / 8 < full.peak_bytes < held + 2 * rest + 3 * block + 6e9
