"""How the features of a text are pooled before the head, by the attention mask alone.

The library's classifiers of decoders and encoder-decoders look for the last token by its id, which
a text may hold itself; the ones here read the place from the mask.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from finegrid.models.architectures import ARCHITECTURES, architecture_of
from finegrid.records.specification import Pooling

if TYPE_CHECKING:
    from transformers.modeling_outputs import SequenceClassifierOutput

    _Model = Any
else:
    _Model = object
_HEAD_STD = 0.02
"""Of a new head's weights, where a configuration says nothing of it: the library's own default."""


def classifier_class(config: Any, pooling: Pooling | None) -> Any:
    """The class of a classifier: `from_pretrained` and `_from_config` make the model.

    Without a pooling it is the library's, with its head; those that read the last token find it by
    the mask. With one, the head is one linear layer on the pooled features.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    architecture = ARCHITECTURES[config.model_type]
    if pooling is not None:
        return _pooled(MODEL_MAPPING[type(config)], pooling, has_pooler=architecture.pooler)
    own = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    return _by_mask(own) if architecture.causal or config.is_encoder_decoder else own


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
        return self.get_submodule(architecture_of(self).head[-1])  # type: ignore[no-any-return]

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
    """A body and one linear layer, named as the architecture names its last one."""

    body: ClassVar[Any]
    body_options: ClassVar[dict[str, bool]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        architecture = ARCHITECTURES[config.model_type]
        setattr(self, self.base_model_prefix, self.body(config, **self.body_options))
        features = getattr(config, architecture.keys.hidden)
        # The library's own heads of decoders have no bias.
        linear = nn.Linear(features, config.num_labels, bias=not architecture.causal)
        setattr(self, architecture.head[-1], linear)
        self.post_init()

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
def _by_mask(own: Any) -> Any:
    """The library's classifier, but for where its head looks."""
    return type(f"{own.__name__}ByMask", (_ByMask, own), {"__module__": own.__module__})


@cache
def _pooled(body: Any, pooling: Pooling, *, has_pooler: bool) -> Any:
    """The class of a body with a linear head. The module is the body's, whose source is read."""
    parent = body.__bases__[0]
    options = {"add_pooling_layer": pooling == "pooler"} if has_pooler else {}
    unread = [] if pooling == "pooler" else [r"(?:^|\.)pooler\."]
    content = {
        "__module__": body.__module__,
        "_keys_to_ignore_on_load_unexpected": unread,
        "pooling": pooling,
        "body": body,
        "body_options": options,
    }
    return type(f"{body.__name__}With{pooling.title()}Pooling", (_Pooled, parent), content)
