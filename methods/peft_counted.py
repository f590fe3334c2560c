"""Types of the peft library that no benchmark can train here, as far as published counts go.

peft builds what they train on a model without values; beside it stands a closed form of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods.contract import Method
from methods.peft_types import Config

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class CountedType(Method):
    """A type with peft's own configuration, which names modules. It is registered nowhere."""

    paper: ClassVar[str] = "https://github.com/huggingface/peft"
    type_name: str
    """peft's name of the type, a key of `FORMS`."""
    config: Config
    """Keys of peft's configuration class, `target_modules` among them."""

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Let peft wrap the model."""
        from peft import PeftConfig, get_peft_model

        config = PeftConfig.from_peft_type(peft_type=self.type_name.upper(), **self.config)
        get_peft_model(model, config)

    def body_parameters(self, model: nn.Module) -> int:
        """The type's closed form over the modules that the configuration names.

        Raises ValueError where it names none.
        """
        named = self.config["target_modules"]
        ends = tuple(map(str, named)) if isinstance(named, list) else (str(named),)
        modules: dict[str, list[Any]] = {end: [] for end in ends}
        for path, module in model.named_modules():
            for end in ends:
                if path == end or path.endswith(f".{end}"):
                    modules[end].append(module)
        if absent := [end for end, found in modules.items() if not found]:
            raise ValueError(f"the model has no modules named {', '.join(absent)}")
        config: Any = self.config
        return sum(FORMS[self.type_name](found, config) for found in modules.values())


def _prompts(attentions: list[Any], config: Any) -> int:
    """Vectors before the keys and values of each of the last blocks, and one gate."""
    last = attentions[-config["adapter_layers"] :]
    return sum(config["adapter_len"] * one.q_proj.in_features + 1 for one in last)


def _biases(layers: list[Any], config: Any) -> int:
    """One number for each output."""
    return sum(layer.out_features for layer in layers)


def _lily(layers: list[Any], config: Any) -> int:
    """A factor for each run of neighbours, `num_B` for all layers, and a router for each."""
    first, rank, others = layers[0], config["r"], config["num_B"]
    runs = -(-len(layers) // config["stride_A"])
    shared = runs * first.in_features + others * first.out_features
    return int(rank * (shared + others * len(layers)))


FORMS: Mapping[str, Callable[[list[Any], Any], int]] = {
    "adaption_prompt": _prompts,
    "beft": _biases,
    "lily": _lily,
}
"""peft's name of a type -> its closed form, of the modules of one name."""
