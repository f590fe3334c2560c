"""Whether what a classifier says of a text depends on that text alone."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from finegrid.models.live import anatomy_of
from finegrid.models.padding import padding_id
from finegrid.records.weights import WeightsError

_TEXT = "the same text"
_PADDING = 4
"""Tokens of padding beside it."""
_SHARE = 1e-3
"""Of the largest output, which rounding stays far below."""


def check_alone(model: nn.Module, folder: Path) -> None:
    """Refuse a classifier of texts that sees the padding of a batch through its mask.

    One text is read alone and with padding on its right: a convolution, an approximation of
    attention or a head of the library may take padding in, and every prediction would depend on
    the batch that its text is in. The folder holds the tokenizer. Raises WeightsError.
    """
    if anatomy_of(model).reads != "text":
        return
    config: Any = model.config
    pad, tokens = padding_id(config.to_dict(), folder), _tokens(folder)
    positions = anatomy_of(model).positions
    room = _PADDING if positions is None else min(_PADDING, positions - len(tokens))
    alone, padded = (_outputs(model, tokens, [pad] * count) for count in (0, max(0, room)))
    if (alone - padded).abs().max() > _SHARE * alone.abs().max():
        raise WeightsError(
            f"what a model of type {config.model_type} says of a text depends on the padding "
            "beside it; allowed: models whose attention mask keeps padding out"
        )


def _tokens(folder: Path) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    tokens: list[int] = tokenizer(_TEXT)["input_ids"]
    return tokens or [0]  # of a tokenizer that knows none of the words


@torch.no_grad()
def _outputs(model: nn.Module, tokens: list[int], padding: list[int]) -> torch.Tensor:
    """Outputs (1, classes) of the text with the padding, in evaluation mode.

    Of a model that says something of each token, (1, tokens, ...): at the places of the text, or of
    a decoder's first token.
    """
    mask = [1] * len(tokens) + [0] * len(padding)
    config: Any = model.config
    writes = not getattr(model, "new_head", True)
    begun = {"decoder_input_ids": torch.tensor([tokens[:1]])} if config.is_encoder_decoder else {}
    outputs: torch.Tensor = model.eval()(
        input_ids=torch.tensor([tokens + padding]),
        attention_mask=torch.tensor([mask]),
        **(begun if writes else {}),
    ).logits
    return outputs[:, : len(tokens)] if outputs.dim() > 2 else outputs
