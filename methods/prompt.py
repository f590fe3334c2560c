"""Prompt tuning: trained vectors before the embedded tokens of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.live import anatomy_of
from methods.contract import Method
from methods.injection import Keywords, add_parameters, added, change_keywords, change_output
from methods.peft_form import ADAPTER, NoPeftFormError, PeftForm
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

CHILD = "prompt"
"""The child of a model that holds what its vectors come from."""
_PREPENDED = "finegrid_prompt_prepended"
_NO_TOKENS = "the model has no token embeddings to put a prompt before"
_LAST_TOKEN_HEAD = "score"  # noqa: S105  # the name of a layer
"""What transformers calls the head of the classifiers that read the last token."""
_OF_EACH_TOKEN = ("ForQuestionAnswering", "ForTokenClassification")
"""Words in the names of the library's classes whose heads say something of each token."""


@register("prompt")
@dataclass(frozen=True)
class Prompt(Method):
    """Prompt tuning, Lester et al. 2021, section 2: Pr_theta(Y | [P; X]).

    P (length, d) is trained and stands before the embedded tokens X (sequence, d), attended to by
    all of them, as far as the model's attention reaches. Where the model's own head reads
    the first position, that is the first of P, as in peft. Where it reads the last token, the mean
    of the tokens or the end of the sequence, it reads the same tokens as without P, and a
    benchmark's `pooling` pools the tokens' states alone. An encoder-decoder gets P in its encoder
    alone, as in the paper's T5.
    """

    paper: ClassVar[str] = "Lester et al. 2021, arXiv:2104.08691"
    library_type: ClassVar[str | None] = "prompt_tuning"
    identity_at_start: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = ("P",)

    length: Annotated[int, Field(ge=1)] = 20
    """Vectors of the prompt."""
    initial_std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of the normal distribution that P starts from."""

    @property
    def positions(self) -> int:
        """The prompt stands in the sequence as tokens do."""
        return self.length

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model that reads no tokens."""
        return None if anatomy.embeddings else _NO_TOKENS

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give the model P, and let the part that embeds the tokens put it before them."""
        body, decoder = body_of(model)
        self._add(model, width(body), generator)
        prepend = partial(_prepend, model=model, vectors=self._vectors, length=self.length)
        change_keywords(body, CHILD, prepend)
        if decoder is not None:
            change_keywords(decoder, CHILD, partial(_widen_mask, length=self.length))
        elif _reads_tokens(model):
            change_output(body, CHILD + "_output", partial(_drop, model=model, length=self.length))

    def body_parameters(self, model: nn.Module) -> int:
        """length d."""
        return self.length * width(body_of(model)[0])

    def peft_form(self, model: nn.Module) -> PeftForm:
        """P as peft's embedding of virtual tokens.

        Behind it, what peft's model gives of each token begins with the places of P. Raises
        NoPeftFormError where a head reads other states than here.
        """
        writes = hasattr(model, "can_generate") and model.can_generate()  # type: ignore[operator]
        if not writes and body_of(model)[1] is not None:
            raise NoPeftFormError("the library's head of such a model takes no embeddings")
        if not writes and _reads_tokens(model):
            raise NoPeftFormError("the head reads the tokens' states, and peft's the prompt's too")
        tensors = {f"prompt_encoder.{ADAPTER}.embedding.weight": added(model, CHILD)["P"]}
        config: dict[str, JsonValue] = {
            "peft_type": "PROMPT_TUNING",
            "num_virtual_tokens": self.length,
            "num_transformer_submodules": 1,  # in an encoder-decoder the encoder's alone are read
        }
        return PeftForm(config, tensors)

    def _add(self, model: nn.Module, size: int, generator: torch.Generator) -> None:
        """Give the model what the vectors (length, size) come from."""
        import torch

        prompt = torch.empty(self.length, size)
        add_parameters(
            model, CHILD, {"P": prompt.normal_(std=self.initial_std, generator=generator)}
        )

    def _vectors(self, model: nn.Module) -> torch.Tensor:
        """The vectors (length, d) that stand before the tokens."""
        prompt: torch.Tensor = added(model, CHILD)["P"]
        return prompt


def is_prepended(model: nn.Module) -> bool:
    """Whether P stands in the sequence that the model is reading, and not in its cache."""
    return bool(model.__dict__[_PREPENDED])


def body_of(model: Any) -> tuple[nn.Module, nn.Module | None]:
    """The module that embeds the input, and the decoder that reads it where it is apart."""
    if anatomy_of(model).embeddings is None:
        raise ValueError(_NO_TOKENS)
    base = model.base_model
    if model.config.is_encoder_decoder:
        return base.get_encoder(), base.get_decoder()
    return base, None


def _reads_tokens(model: Any) -> bool:
    """Whether the head reads states by the places of the tokens: each, the last, or their mean."""
    mean = getattr(model.config, "classifier_pooling", None) == "mean"
    of_each = any(name in type(model).__name__ for name in _OF_EACH_TOKEN)
    by_place = mean or of_each or _LAST_TOKEN_HEAD in anatomy_of(model).head
    return getattr(model, "pools_tokens", by_place)


def width(body: Any) -> int:
    """Features of a token."""
    return int(body.get_input_embeddings().weight.shape[1])


def _prepend(
    body: Any,
    inputs: tuple[Any, ...],
    keywords: Keywords,
    model: nn.Module,
    vectors: Callable[[nn.Module], torch.Tensor],
    length: int,
) -> tuple[tuple[Any, ...], Keywords]:
    """Put [P; X] in the place of the tokens; every position may attend to P."""
    import torch

    rest = dict(keywords)
    model.__dict__[_PREPENDED] = not _goes_on(rest)
    if _goes_on(rest):  # P is in the cache
        return inputs, _moved(rest, length)
    (tokens,) = inputs or (rest.pop("input_ids"),)
    embedded = body.get_input_embeddings()(tokens)  # (batch, sequence, d)
    prompt = vectors(model).to(embedded.dtype).expand(len(tokens), -1, -1)
    _check_positions(model, length + tokens.shape[1])
    if rest.get("token_type_ids") is not None:
        rest["token_type_ids"] = _pad(rest["token_type_ids"], length, 0)
    rest = _moved(rest, length)
    if (places := rest.get("position_ids")) is not None:
        own = torch.arange(length, device=places.device).expand(len(places), -1)
        rest["position_ids"] = torch.cat([own, places], dim=1)
    return (), rest | {"input_ids": None, "inputs_embeds": torch.cat([prompt, embedded], dim=1)}


def _goes_on(keywords: Keywords) -> bool:
    """Whether a model that writes reads tokens after those in its cache."""
    cache = keywords.get("past_key_values")
    return cache is not None and cache.get_seq_length() > 0


def _moved(keywords: Keywords, length: int) -> Keywords:
    """The keywords of tokens that stand `length` places further on, with P before them."""
    moved = dict(keywords)
    if moved.get("attention_mask") is not None:
        moved["attention_mask"] = _pad(moved["attention_mask"], length, 1)
    if moved.get("position_ids") is not None:
        moved["position_ids"] = moved["position_ids"] + length
    return moved


def _widen_mask(
    decoder: nn.Module, inputs: tuple[Any, ...], keywords: Keywords, length: int
) -> tuple[tuple[Any, ...], Keywords]:
    """Let the decoder see the prompt in the encoder's output."""
    mask = keywords.get("encoder_attention_mask")
    seen = None if mask is None else _pad(mask, length, 1)
    return inputs, keywords | {"encoder_attention_mask": seen}


def _drop(
    body: nn.Module, inputs: tuple[Any, ...], output: Any, model: nn.Module, length: int
) -> Any:
    """The tokens' states alone: the head finds the last token by its place among the tokens."""
    if is_prepended(model):
        output.last_hidden_state = output.last_hidden_state[:, length:]
    return output


def _pad(rows: torch.Tensor, length: int, value: int) -> torch.Tensor:
    """(batch, sequence) -> (batch, length + sequence)."""
    from torch.nn import functional

    return functional.pad(rows, (length, 0), value=value)


def _check_positions(model: nn.Module, wanted: int) -> None:
    """Raise ValueError where the model has fewer positions: its own error would not say why."""
    limit = anatomy_of(model).positions
    if limit is not None and wanted > limit:
        raise ValueError(f"prompt and sequence take {wanted} positions, the model has {limit}")
