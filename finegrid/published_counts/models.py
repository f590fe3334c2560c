"""Models on the meta device, from the few dimensions that a publication gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

if TYPE_CHECKING:
    from torch import nn

Dims = Mapping[str, JsonValue]
Configuration = dict[str, JsonValue]
_LARGEST = 10**6
"""Above any dimension that was ever built; a typing error shall not ask for 10^9 layers."""
_USUAL_HEAD = 64
_NOT_A_SIZE = ("note", "total")
_OPTION = re.compile(r"(\w+)=(\d+)")


class NotBuiltError(Exception):
    """Why a row cannot be built."""


@dataclass(frozen=True)
class Family:
    """Models that share an architecture, and what their configurations have in common."""

    model_type: str
    configuration: Configuration = field(default_factory=dict)
    """What a publication takes for granted, and transformers has otherwise by default."""


_TYPES = (
    *("bart", "bert", "distilbert", "gemma3_text", "gpt2", "llama", "mistral", "modernbert"),
    *("qwen2", "qwen3", "t5", "vit", "whisper", "xlm-roberta"),
)
FAMILIES: Mapping[str, Family] = {
    **{name: Family(name) for name in _TYPES},
    "deberta-v2": Family(
        "deberta-v2",
        {
            "relative_attention": True,
            "share_att_key": True,
            "position_biased_input": False,
            "position_buckets": 256,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "type_vocab_size": 0,
        },
    ),
    "gpt3": Family("gpt2", {"n_positions": 2048}),
    "roberta": Family("roberta", {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "t5-v1_1": Family("t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
}
_TWINS: Mapping[str, str] = {
    "num_layers": "num_decoder_layers",
    "encoder_layers": "decoder_layers",
    "encoder_attention_heads": "decoder_attention_heads",
    "encoder_ffn_dim": "decoder_ffn_dim",
}
"""Key of an encoder's size -> key of its decoder's."""
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads")
"""Sizes by the library's common names, which a type's configuration may call otherwise."""
_INNER = ("encoder_ffn_dim", "hidden_dim", "n_inner", "d_ff", "intermediate_size")
"""What the library's configurations call the width of the feed-forward part."""
_SAME_KEY: Mapping[str, str] = {
    "vocab": "vocab_size",
    "kv": "num_key_value_heads",
    "head_dim": "head_dim",
    "d_kv": "d_kv",
    "tied": "tie_word_embeddings",
}
"""Dimensions that have one name in all architectures."""


def family_of(name: str) -> Family:
    """The family whose key is the longest in the name, as a word. Raises NotBuiltError."""
    found = [
        key
        for key in FAMILIES
        if re.search(rf"(?<![a-z]){re.escape(key)}(?![a-z])", name.casefold())
    ]
    if not found:
        raise NotBuiltError(f"no known architecture in the name {name!r}")
    return FAMILIES[max(found, key=len)]


def configuration(name: str, dims: Dims) -> Configuration:
    """The configuration that transformers makes the model from. Raises NotBuiltError."""
    family = family_of(name)
    names = _config_keys(family.model_type)
    result: Configuration = {"model_type": family.model_type, **family.configuration}
    for key, value in dims.items():
        if key == "note":
            result |= {option: int(number) for option, number in _OPTION.findall(str(value))}
        elif not key.startswith(_NOT_A_SIZE):
            result |= dict.fromkeys(_known(names, key), _checked(key, value))
    if "heads" not in dims and isinstance(width := dims.get("d"), int):
        # Only grouped keys make a count depend on the heads; they come with their own dimension.
        result |= dict.fromkeys(names["heads"], max(1, width // _USUAL_HEAD))
    return result


def _config_keys(model_type: str) -> dict[str, tuple[str, ...]]:
    """Dimension of the file -> keys of the library's configuration of that type."""
    from transformers import CONFIG_MAPPING

    kind: Any = CONFIG_MAPPING[model_type]
    keys = {name: kind.attribute_map.get(name, name) for name in _SIZES}
    first = keys["num_hidden_layers"]
    return {
        "d": (keys["hidden_size"],),
        "L": _both(first),
        "enc": (first,),
        "dec": (_TWINS.get(first, first),),
        "heads": _both(keys["num_attention_heads"]),
        "ff": _both(next(key for key in _INNER if hasattr(kind, key))),
        **{dimension: (key,) for dimension, key in _SAME_KEY.items()},
    }


def _both(key: str) -> tuple[str, ...]:
    return (key, _TWINS[key]) if key in _TWINS else (key,)


def _known(names: Mapping[str, tuple[str, ...]], key: str) -> tuple[str, ...]:
    if key not in names:
        raise NotBuiltError(f"unknown dimension {key!r}; known: {', '.join(names)}")
    return names[key]


def _checked(key: str, value: JsonValue) -> JsonValue:
    if not isinstance(value, int) or not 0 <= int(value) <= _LARGEST:
        raise NotBuiltError(f"dimension {key!r}: {value!r} is no size")
    return value


class Models:
    """The models of a file, each made once and never changed."""

    def __init__(self, dims: Mapping[str, Dims]) -> None:
        self._dims = dims
        self._short = {name.rsplit("/", 1)[-1].casefold(): name for name in dims}
        self.classifier = cache(self._classifier)
        self.total = cache(self._total)

    def _configuration(self, name: str) -> Configuration:
        """The configuration of a model, named as in the file or as on the Hub."""
        known = name if name in self._dims else self._short.get(name.rsplit("/", 1)[-1].casefold())
        if known is None:
            raise NotBuiltError(f"no dimensions are given for the model {name!r}")
        return configuration(known, self._dims[known])

    def _classifier(self, name: str, labels: int, blocks: int | None = None) -> nn.Module:
        """The model with the head of a classifier: what a benchmark trains.

        With `blocks`, as if its stacks had that many.
        """
        config = self._configuration(name)
        if blocks is not None:
            layers = _config_keys(str(config["model_type"]))["L"]
            config |= dict.fromkeys(layers, blocks)
        return _classifier(config, labels)

    def _total(self, name: str, kind: str = "") -> int:
        """All parameters of the model as it was pretrained, or as the kind says.

        Kinds: `seqcls<labels>`, `mlm`, `tied` and `untied` embeddings. Raises NotBuiltError.
        """
        config = self._configuration(name)
        if labels := re.fullmatch(r"seqcls(\d+)", kind):
            return _size(_classifier(config, int(labels[1])))
        if kind in ("tied", "untied"):
            config["tie_word_embeddings"] = kind == "tied"
        elif kind not in ("", "mlm"):
            raise NotBuiltError(f"unknown kind of model {kind!r}")
        tasks = ("MASKED_LM",) if kind == "mlm" else ("PRETRAINING", "CAUSAL_LM")
        return _size(_on_meta(config, tasks))


def _classifier(config: Configuration, labels: int) -> nn.Module:
    kinds = ("SEQUENCE", "IMAGE", "AUDIO")
    tasks = tuple(f"{kind}_CLASSIFICATION" for kind in kinds)
    return _on_meta(config | {"num_labels": labels}, tasks)


def _on_meta(options: Configuration, tasks: tuple[str, ...]) -> nn.Module:
    """The model of the first task that the architecture has a class for, without storage."""
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(**options)
    for task in tasks:
        classes: Any = getattr(transformers, f"MODEL_FOR_{task}_MAPPING")
        if type(config) in classes:
            with torch.device("meta"):
                model: nn.Module = classes[type(config)](config)
            return model
    raise NotBuiltError(f"{config.model_type} has no class for {' or '.join(tasks).lower()}")


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
