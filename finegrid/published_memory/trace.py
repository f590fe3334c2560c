"""The peak of a row's run, traced on tensors that have shapes and no numbers.

The run loads its model, lets the optimizer make its state and gives back what is free, as the
board's script does every tenth step; then it takes the longest step there is, a full batch of the
full length. Whatever it
makes and frees meanwhile, forward, backward and in the optimizer, goes through a model of the
caching allocator, whose reserved memory is what the board publishes. The device is the CPU by name:
the same operations make the same tensors there. Of what an operation takes for itself, and of
generation, whose cache is smaller than a step's activations, nothing is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from finegrid.published_memory.allocator import CachingAllocator
from finegrid.published_memory.board import Board, BoardError, BoardRow
from finegrid.published_memory.constants import left_on_host, made_at_once
from finegrid.published_memory.models import configuration
from finegrid.training.measure.live import LiveBytes
from finegrid.training.measure.prediction import (
    swapping_what_differs,
    without_older_objects,
    without_values,
)

_MOST_OPERATIONS = 150_000
"""Six times those of a step of LoRA: some types make their constants element by element."""
_NEAR = 1e-3
"""How far two counts of one experiment may be apart: versions of peft count constants or not."""
_LARGEST_NORM = 1.0
"""The board's script clips gradients at this norm."""
_READ = torch.ops.aten._local_scalar_dense.default
_DRAW = torch.ops.aten.rand.default
_LARGEST_DRAW = 1 - 2**-24
_OPTIMIZERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "lora+": ("create_loraplus_optimizer", {"optimizer_cls": torch.optim.AdamW}),
    "lora-fa": ("create_lorafa_optimizer", {}),
    "riemannian": ("create_riemannian_optimizer", {"optimizer_cls": torch.optim.AdamW}),
}
"""The board's name of an optimizer of the peft library -> what makes it, as the script does."""


class OtherParametersError(Exception):
    """A row whose configuration trains another number of parameters than the row says."""


class TooManyOperationsError(Exception):
    """A run that is made of more operations than are followed."""


class Reserved(LiveBytes):  # type: ignore[no-untyped-call]
    """Sends the storages that operations make and drop through a caching allocator."""

    def __init__(self, allocator: CachingAllocator) -> None:
        super().__init__()
        self._allocator = allocator
        self._operations = 0
        self._drawn = WeakIdKeyDictionary()
        """Single numbers that are drawn from [0, 1), and what is computed of them alone."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The operation. A number that it reads, which no tensor here has, is one; a flag is off.

        A step reads the optimizer's count of steps, and whether something is infinite. A single
        number that is drawn, by which a layer decides whether it is dropped, is the largest there
        is: the step that takes most drops none.
        """
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise TooManyOperationsError(f"it takes more than {_MOST_OPERATIONS:,} operations")
        if self._is_of_draws(func, args, kwargs):
            with unset_fake_temporarily():
                returned = super().__torch_dispatch__(func, types, args, kwargs)
                if func is _DRAW:
                    returned.fill_(_LARGEST_DRAW)
            if isinstance(returned, Tensor):
                self._drawn[returned] = True
            return returned
        if func is _READ:
            dtype = args[0].dtype
            return False if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _is_of_draws(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Whether the operation draws a single number, or is one of such numbers alone."""
        if func is _DRAW:
            return bool(math.prod(args[0]) == 1)
        inputs = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        return bool(inputs) and all(one in self._drawn for one in inputs)

    def take(self, size: int) -> Callable[[], None]:
        """A block of the allocator; nothing is taken for a storage without bytes."""
        if not size:
            return lambda: None
        block = self._allocator.allocate(size)
        return lambda: self._allocator.release(block)

    def load(self, model: nn.Module) -> None:
        """Put a model on the device: room for all of it first, as transformers asks for."""
        tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
        whole = self._allocator.allocate(sum(t.untyped_storage().nbytes() for t in tensors))
        self._allocator.release(whole)
        for tensor in tensors:
            self.count(tensor)


def peak_reserved(board: Board, row: BoardRow) -> int:
    """The bytes that the row's run reserves at most.

    Raises OtherParametersError, BoardError, and what tracing raises.
    """
    allocator = CachingAllocator()
    # Some of peft's modules made tensors when they were imported.
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    with fakes, without_older_objects(), swapping_what_differs(), made_at_once():
        model = _base(board)
        with Reserved(allocator) as device:
            device.load(model)
            steps = _Steps(board, row, model)
            for tensor in left_on_host(steps.model):
                device.leave(tensor)
            steps.begin()
            allocator.empty_cache()
            steps.take(board.max_seq_length)
    return allocator.peak


def _base(board: Board) -> nn.Module:
    """The model without values, held as the board holds it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = getattr(torch, board.base_dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise BoardError(f"dtype: {board.dtype!r}; allowed: a type of torch, as bfloat16, first")
    config = AutoConfig.for_model(**configuration(board.model))
    model = without_values(
        lambda: AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    )
    made: Any = model
    if board.gradient_checkpointing:
        made.enable_input_require_grads()
        made.gradient_checkpointing_enable()
    return model


class _Steps:
    """A row's training, step by step."""

    def __init__(self, board: Board, row: BoardRow, base: nn.Module) -> None:
        self._examples = board.batch_size
        self.model: Any = _adapted(base, row, fp32=board.adapters_in_fp32)
        self._optimizer = _optimizer(self.model, row)
        self._outputs: Any = None
        """Those of the last step, which live until the next one's are made."""
        self.model.train()
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        if abs(trained / row.num_trainable_params - 1) > _NEAR:
            raise OtherParametersError(
                f"the configuration trains {trained:,} parameters with this version of peft, "
                f"the board {row.num_trainable_params:,}"
            )

    def begin(self) -> None:
        """Let the optimizer make its state, as in the first step.

        The script scores the bare model before: peft lets all of an adapter learn afterwards, also
        what the optimizer has frozen.
        """
        if hasattr(self.model, "peft_config"):
            with self.model.disable_adapter():
                pass
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self._optimizer.step()
        self._weigh(1)

    def take(self, tokens: int) -> None:
        """A step on a padded batch of that length."""
        batch = _batch(self._examples, tokens)
        self._optimizer.zero_grad()
        self._outputs = self.model(**batch, num_items_in_batch=self._examples * tokens)
        self._outputs.loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_NORM, foreach=True)
        self._optimizer.step()
        self._weigh(2)

    def _weigh(self, number: int) -> None:
        """After each step AdaLoRA notes how much each of its weights matters: three numbers of it.

        It notes them from the first step on, in the type of the weights.
        """
        if (tuner := _ranked(self.model)) is not None:
            tuner.update_and_allocate(number)


def _adapted(base: nn.Module, row: BoardRow, *, fp32: bool) -> nn.Module:
    """The model as the row trains it."""
    if row.peft_config is None:
        return base
    from peft import PeftConfig, get_peft_model

    config = PeftConfig.from_peft_type(**row.peft_config)
    adapted: nn.Module = get_peft_model(base, config, autocast_adapter_dtype=fp32)
    if (tuner := _ranked(adapted)) is not None:
        for name, parameter in tuner.named_parameters():
            # Made as a constant, which the board does not count; peft 0.21.2 lets it learn where
            # it has moved it to another type, and then keeps a layer's output for its gradient.
            if ".ranknum." in name:
                parameter.requires_grad_(False)
    return adapted


def _ranked(model: nn.Module) -> Any:
    """What gives the layers of AdaLoRA their ranks; None in other models."""
    from peft import AdaLoraModel

    tuner = getattr(model, "base_model", None)
    return tuner if isinstance(tuner, AdaLoraModel) else None


def _optimizer(model: nn.Module, row: BoardRow) -> torch.optim.Optimizer:
    """The row's optimizer; those of torch in the form that they have by default on a GPU."""
    if row.optimizer in _OPTIMIZERS:
        from peft import optimizers

        maker, options = _OPTIMIZERS[row.optimizer]
        made: torch.optim.Optimizer = getattr(optimizers, maker)(
            model=model, **options, **row.optimizer_kwargs
        )
        return made
    kind = getattr(torch.optim, row.optimizer, None)
    if kind is None:
        allowed = f"a class of torch.optim, {', '.join(_OPTIMIZERS)}"
        raise BoardError(f"optimizer: {row.optimizer!r}; allowed: {allowed}")
    optimizer: torch.optim.Optimizer = kind(
        model.parameters(), foreach=True, **row.optimizer_kwargs
    )
    return optimizer


def _batch(examples: int, tokens: int) -> dict[str, Tensor]:
    """A full batch, (examples, tokens): none of its rows is padded, and attention has no mask."""
    ids = torch.zeros(examples, tokens, dtype=torch.long)
    return {"input_ids": ids, "labels": ids.clone()}
