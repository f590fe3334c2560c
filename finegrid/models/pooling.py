"""The class of a classifier, and how the features of a text are pooled before its head.

The library's classifiers of decoders and encoder-decoders look for the last token by its id, which
a text may hold itself; the ones here read the place from the attention mask alone.
"""

import inspect
import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from finegrid.models.anatomy import Anatomy
from finegrid.models.discovery import blank, class_of, discover
from finegrid.models.family import family_of
from finegrid.models.live import anatomy_of
from finegrid.records.specification import Pooling

if TYPE_CHECKING:
    from transformers.modeling_outputs import SequenceClassifierOutput

    _Model = Any
else:
    _Model = object
_BLANK: dict[tuple[Any, str], Anatomy] = {}
"""Class and configuration -> what discovery has found in its model."""
_MASK, _TOKENS = "attention_mask", "input_ids"
_OF_TEXTS = "AutoModelForSequenceClassification"
"""Of the models whose head reads one vector of a text."""
_OF_TOKENS = "AutoModelForTokenClassification"
"""Of those whose head reads the vector of each token."""
_LAST_TOKEN_HEAD, _OTHER_HEAD = "score", "classifier"
"""What the library calls the head of a decoder, and of other models."""
_HEAD_STD = 0.02
"""Of a new head's weights, where a configuration says nothing of it: the library's own default."""


class NoClassifierError(ValueError):
    """A configuration for which there is no classifier of a kind: one line with the reason."""


def classifier_class(config: Any, loader: str, pooling: Pooling | None = None) -> Any:
    """The class of a classifier: `from_pretrained` and `_from_config` make the model.

    Without a pooling it is the library's, with its head, that the auto class named `loader` has;
    those that read the last token of a text find it by the mask. With one, the head is one linear
    layer on the pooled features. Raises NoClassifierError where there is none, and AnatomyError for
    a model that cannot be read.
    """
    if pooling is not None:
        return _pooled_class(config, loader, pooling)
    own = own_classifier(config, loader)
    if own.can_generate() or loader != _OF_TEXTS:
        return own
    anatomy = blank_anatomy(config, own)
    is_last = anatomy.causal or anatomy.encoder_decoder
    return _by_mask(own) if anatomy.reads == "text" and is_last else own


def own_classifier(config: Any, loader: str) -> Any:
    """The class that an auto class of the library has for a configuration.

    One that writes texts has a head that pretraining has seen. Raises NoClassifierError where there
    is no class, or one that no task can be learnt with.
    """
    kind, own = config.model_type, _class_of(config, loader)
    if own is not None and own.can_generate():
        return _masked(_writing(own), kind)
    pools = loader == _OF_TEXTS
    reason = family_of(kind).classifier_reason if pools else None
    if own is None:
        reason = f"the library has no {loader} for {kind}"
    if reason:
        allowed = "a pooling, where the model reads text" if pools else "a model that has one"
        raise NoClassifierError(f"{reason}; allowed: {allowed}")
    return _masked(own, kind)


def _class_of(config: Any, loader: str) -> Any:
    """The same, or None where there is none."""
    import transformers

    return class_of(config, getattr(transformers, loader))


def random_class(config: Any, loaders: Sequence[str]) -> Any:
    """The class whose weights are drawn for models of these auto classes.

    It is the one that writes, whose head is no task's, if one of them does; else the body's.
    """
    import transformers

    found = (_class_of(config, loader) for loader in loaders)
    writing = (own for own in found if own is not None and own.can_generate())
    return next(writing, class_of(config, transformers.AutoModel))


def attention_implementation(kind: Any) -> str:
    """What the model of a class is made with: the fused attention where the library has it."""
    return "sdpa" if getattr(kind, "_supports_sdpa", True) else "eager"


def blank_anatomy(config: Any, kind: Any) -> Anatomy:
    """The anatomy of a class's model of a configuration. Raises AnatomyError."""
    key = (kind, json.dumps(config.to_dict(), sort_keys=True, default=str))
    if key not in _BLANK:
        _BLANK[key] = discover(blank(kind._from_config, config))
    return _BLANK[key]


def _pooled_class(config: Any, loader: str, pooling: Pooling) -> Any:
    """The class of a body with a linear head, as wide as its states. Raises as above."""
    from transformers import MODEL_MAPPING

    kind = config.model_type
    if type(config) not in MODEL_MAPPING or isinstance(MODEL_MAPPING[type(config)], tuple):
        raise NoClassifierError(f"the library has no body of its own for {kind}")
    body = MODEL_MAPPING[type(config)]
    anatomy = blank_anatomy(config, body)
    if anatomy.reads != "text" or anatomy.hidden is None:
        raise NoClassifierError(f"{kind} reads {anatomy.reads}; a pooling is for states of texts")
    library = _class_of(config, loader)
    if loader == _OF_TOKENS:
        raise NoClassifierError("a head reads the vector of each token; allowed: no pooling")
    if library is not None and library.can_generate():
        raise NoClassifierError(f"{kind} writes with the head that it has; allowed: no pooling")
    own = None if library is None else blank_anatomy(config, library)
    if own is None and anatomy.encoder_decoder:
        raise NoClassifierError(f"nothing says what the decoder of {kind} reads of a text")
    # The library's own heads of decoders have no bias.
    causal = anatomy.causal if own is None else own.causal
    name = own.head[-1] if own else _LAST_TOKEN_HEAD if causal else _OTHER_HEAD
    return _pooled(_masked(body, kind), pooling, name, (anatomy.hidden, not causal))


def _masked(kind: Any, model_type: str) -> Any:
    """The class itself. Raises NoClassifierError for one of texts that padding has a part in."""
    if kind.main_input_name != _TOKENS:
        return kind
    if reason := family_of(model_type).padding_reason:
        raise NoClassifierError(f"{model_type} reads padding as text: {reason}")
    if _MASK not in inspect.signature(kind.forward).parameters:
        raise NoClassifierError(f"{model_type} takes no {_MASK}: it would read padding as text")
    return kind


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Features (batch, hidden) of states (batch, sequence, hidden) where the mask is not 0.

    mean: sum_t m_t h_t / sum_t m_t; first, last: h_t of the first or last t with m_t = 1.
    """
    if pooling == "mean":
        exact = states.to(torch.promote_types(states.dtype, torch.float32))
        weights = mask.unsqueeze(-1).to(exact.dtype)
        return (exact * weights).sum(dim=1) / weights.sum(dim=1)
    places = torch.arange(mask.shape[1], device=mask.device)
    seen = mask != 0
    at = (seen * (places if pooling == "last" else places.flip(0))).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), at]


class _ByMask(_Model):  # type: ignore[misc]  # mixed into the library's own
    """A classifier whose head reads pooled states of the text's own positions."""

    pooling: ClassVar[Pooling] = "last"
    pools_tokens: ClassVar[bool] = True
    """Whether the head reads the states of the tokens, and not those of a prompt before them."""

    @property
    def head(self) -> nn.Module:
        """What makes logits of features."""
        return self.get_submodule(anatomy_of(self).head[-1])  # type: ignore[no-any-return]

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any
    ) -> "SequenceClassifierOutput":
        """Logits (batch, labels) of token ids and mask (batch, sequence)."""
        from transformers.modeling_outputs import SequenceClassifierOutput

        if hasattr(self, "_shift_right"):  # T5's body alone does not make its decoder's input
            inputs["decoder_input_ids"] = self._shift_right(input_ids)
        body = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        features = (
            body.pooler_output
            if self.pooling == "pooler"
            else pool(body.last_hidden_state, attention_mask, self.pooling)
        )
        return SequenceClassifierOutput(logits=self.head(features))


class _Pooled(_ByMask):
    """A body and one linear layer, named as the library's own classifier names its last one."""

    body: ClassVar[Any]
    body_options: ClassVar[dict[str, bool]]
    head_name: ClassVar[str]
    head_options: ClassVar[tuple[int, bool]]
    """Features, and whether there is a bias."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.body(config, **self.body_options))
        features, bias = self.head_options
        setattr(self, self.head_name, nn.Linear(features, config.num_labels, bias=bias))
        self.post_init()

    @property
    def head(self) -> nn.Module:
        """What makes logits of features."""
        return self.get_submodule(self.head_name)  # type: ignore[no-any-return]

    def _init_weights(self, module: nn.Module) -> None:
        from transformers import initialization

        if module is not self.head:
            super()._init_weights(module)
            return
        std = getattr(self.config, "initializer_range", None) or _HEAD_STD
        initialization.normal_(module.weight, std=std)
        if module.bias is not None:
            initialization.zeros_(module.bias)


@cache
def _writing(own: Any) -> Any:
    """The library's class of models that write texts, none of whose layers is a task's head."""
    content = {"__module__": own.__module__, "new_head": False, "pools_tokens": True}
    return type(own.__name__, (own,), content)


@cache
def _by_mask(own: Any) -> Any:
    """The library's classifier, but for where its head looks."""
    return type(f"{own.__name__}ByMask", (_ByMask, own), {"__module__": own.__module__})


@cache
def _pooled(body: Any, pooling: Pooling, name: str, head: tuple[int, bool]) -> Any:
    """The class of a body with a linear head. The module is the body's, whose source is read."""
    parent = body.__bases__[0]
    has_pooler = "add_pooling_layer" in inspect.signature(body.__init__).parameters
    options = {"add_pooling_layer": pooling == "pooler"} if has_pooler else {}
    unread = [] if pooling == "pooler" else [r"(?:^|\.)pooler\."]
    content = {
        "__module__": body.__module__,
        "_keys_to_ignore_on_load_unexpected": unread,
        "pooling": pooling,
        "body": body,
        "body_options": options,
        "head_name": name,
        "head_options": head,
    }
    return type(f"{body.__name__}With{pooling.title()}Pooling", (_Pooled, parent), content)
