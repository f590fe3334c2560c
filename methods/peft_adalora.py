"""AdaLoRA of the peft library: ranks that move between layers while they are trained.

peft leaves to the user's loop what the method does in every step, and adds its penalty in a wrapper
that an injection goes without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from methods.peft import OnLayers, register_type
from methods.peft_form import ADAPTER
from methods.peft_types import ADALORA, Config
from methods.steps import Steps

if TYPE_CHECKING:
    import torch
    from torch import nn

_DOWN, _UP, _VALUES, _CONSTANT = "lora_A.", "lora_B.", "lora_E.", ".ranknum."
_SHARES = ("beta1", "beta2")
_LEAST_STEPS = 2
"""One in which the importance of ranks is noted, and one after which they are allotted."""


@dataclass(frozen=True)
class AdaptiveRanks(OnLayers):
    """AdaLoRA: W + s B diag(E) A / r, of whose r ranks the least important are set to zero.

    A (r, in) and B (out, r) are kept near orthogonal by a penalty. The mean rank falls from
    `init_r` to `target_r` as in equation 12 of the paper: not in the first steps, nor in the last.
    """

    sharded_problem: ClassVar[str | None] = (
        "the ranks of all layers are compared by whole gradients, of which each device has a part"
    )
    passed_over: ClassVar[tuple[str, ...]] = ("r", "tinit", "tfinal", "total_step")

    initial: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of the steps before the first rank is taken away: t_i of the paper."""
    final: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the steps after the last rank was taken away: t_f of the paper."""

    def keys(self) -> frozenset[str]:
        """Those that peft reads; it inherits many of LoRA's that it does not."""
        return frozenset(ADALORA.config) | {"init_lora_weights", "lora_alpha", "lora_dropout"}

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """Ranks and shares that leave nothing to take away, besides the general ones."""
        yield from super().problems(anatomy)
        yield from _wrong_ranks(self.config)
        for key in _SHARES:
            share = self.config[key]
            if not isinstance(share, float) or not 0 < share < 1:
                yield f"config: {key} {share}; allowed: a number between 0 and 1"
        weight = self.config["orth_reg_weight"]
        if not isinstance(weight, float) or weight < 0:
            yield f"config: orth_reg_weight {weight}; allowed: a number from 0"
        if self.initial + self.final >= 1:
            given = f"initial: {self.initial} and final: {self.final} leave no step between them"
            yield f"{given}; allowed: two shares that sum to less than 1"

    def placed(self, model: nn.Module) -> Config:
        """peft wants a number of steps, which is known when training begins, and not before."""
        return super().placed(model) | {"total_step": 1}

    def steps(self, model: nn.Module, count: int) -> RankSteps:
        """The schedule over so many steps. Raises ValueError where they are too few."""
        if count < _LEAST_STEPS:
            raise ValueError(
                f"steps: {count} leave none to compare ranks before they are taken away; "
                f"allowed: {_LEAST_STEPS} or more"
            )
        final = min(int(self.final * count), count - _LEAST_STEPS)
        return RankSteps(model, int(self.initial * count), final, count)

    def _wrap(self, model: nn.Module) -> None:
        super()._wrap(model)
        for name, parameter in model.named_parameters():
            if _CONSTANT in name:  # peft 0.21.2 lets it learn where it moves it to another type
                _make_constant(parameter, self.config["init_r"])


class RankSteps(Steps):
    """The ranks of a model in a training of so many steps, given and taken by peft's own code."""

    def __init__(self, model: nn.Module, initial: int, final: int, count: int) -> None:
        from peft.tuners.adalora.layer import RankAllocator

        configs: Any = model.peft_config
        config = configs[ADAPTER]
        config.tinit, config.tfinal, config.total_step = initial, final, count
        config.rank_pattern = None
        allocator = RankAllocator(model, config, ADAPTER)
        self._config, self._allocator = config, allocator
        self._names = {name: p for name, p in model.named_parameters() if _is_factor(name)}
        self._tuner: Any = SimpleNamespace(
            model=model,
            peft_config=configs,
            trainable_adapter_name=ADAPTER,
            rankallocator=allocator,
        )
        """What peft's function reads of the wrapper that it belongs to."""

    @property
    def derived(self) -> dict[str, JsonValue]:
        """peft's names and numbers of the schedule."""
        return {key: getattr(self._config, key) for key in ("tinit", "tfinal", "total_step")}

    def penalty(self) -> torch.Tensor:
        """The weight of the penalty, times the mean over all A and B of ||A A^T - I|| (Frobenius).

        Of B it is B^T B: both products are of ranks with ranks.
        """
        import torch

        distances = []
        for name, factor in self._names.items():
            if _VALUES not in name:
                ranks = factor if _DOWN in name else factor.T  # (r, features)
                identity = torch.eye(len(ranks), dtype=factor.dtype, device=factor.device)
                distances.append(torch.linalg.norm(ranks @ ranks.T - identity))
        weight: float = self._config.orth_reg_weight
        return weight * torch.stack(distances).mean()

    def after(self, number: int) -> None:
        """Note how much each rank matters, and take away what is above the budget of the step."""
        from peft import AdaLoraModel

        AdaLoraModel.update_and_allocate(self._tuner, number)

    def noted(self) -> dict[str, float]:
        """The ranks of all layers together that are left."""
        pattern = self._config.rank_pattern
        return {"ranks": sum(map(sum, pattern.values())) if pattern else self._allocator.init_bgt}

    def is_candidate(self, number: int) -> bool:
        """Not before the ranks are as few as asked for: other methods' counts would be lower."""
        return bool(number >= self._config.total_step - self._config.tfinal)

    def state(self) -> dict[str, torch.Tensor]:
        """What is noted of each weight, and which ranks are left."""
        import torch

        notes = {
            f"{key}/{name}": tensor
            for key, tensors in self._notes().items()
            for name, tensor in tensors.items()
        }
        pattern = self._config.rank_pattern or {}
        return notes | {f"left/{name}": torch.tensor(flags) for name, flags in pattern.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """The notes on the device of what they are of."""
        pattern: dict[str, list[bool]] = {}
        for place, tensor in state.items():
            key, _, name = place.partition("/")
            if key == "left":
                pattern[name] = tensor.tolist()
            else:
                self._notes()[key][name] = tensor.to(self._names[name].device, copy=True)
        self._config.rank_pattern = pattern or None

    def hold(self) -> list[torch.Tensor]:
        """Three numbers of each weight, as from the first step until the ranks are settled."""
        import torch

        for tensors in self._notes().values():
            tensors.update({name: torch.zeros_like(p) for name, p in self._names.items()})
        return list(self.state().values())

    def strain(self) -> None:
        """Note how much each weight matters."""
        self._allocator.update_ipt(self._tuner.model)

    def _notes(self) -> dict[str, dict[str, torch.Tensor]]:
        """Sensitivities, and moving averages of them and of their uncertainty, by weight."""
        return {key: getattr(self._allocator, key) for key in ("ipt", "exp_avg_ipt", "exp_avg_unc")}


def _wrong_ranks(config: Config) -> Iterator[str]:
    """Ranks that are no sizes, or of which none would be taken away."""
    numbers: dict[str, Any] = {key: config[key] for key in ("target_r", "init_r", "deltaT")}
    wrong = [f"{key} {value}" for key, value in numbers.items() if not _is_size(value)]
    if wrong:
        yield f"config: {', '.join(wrong)}; allowed: whole numbers from 1"
        return
    target, initial, _ = numbers.values()
    if target >= initial:
        yield f"config: target_r {target} with init_r {initial}; allowed: a smaller target_r"


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_factor(name: str) -> bool:
    """Whether the parameter is one of a layer's A, B and E."""
    return any(f"{part}{ADAPTER}" in name for part in (_DOWN, _UP, _VALUES))


def _make_constant(parameter: nn.Parameter, rank: Any) -> None:
    """The rank that an update is divided by, in fp32: a half type rounds those above 256."""
    import torch

    parameter.requires_grad = False
    parameter.data = torch.full_like(parameter, float(rank), dtype=torch.float32)


register_type("adalora", ADALORA, AdaptiveRanks)
