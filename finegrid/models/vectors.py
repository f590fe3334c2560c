"""The tables of a live model that hold a vector for each token: at its input, and at its output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from finegrid.models.head import head_parameters
from finegrid.models.live import anatomy_of

if TYPE_CHECKING:
    from torch import nn

Table = Literal["input", "output"]
"""The embeddings E (vocabulary, hidden), or the matrix U (vocabulary, hidden) of the logits U h."""
TABLES: tuple[Table, ...] = ("input", "output")


def token_tables(model: nn.Module, wanted: tuple[Table, ...] = TABLES) -> list[nn.Parameter]:
    """Those of the tables that the model has: one that is both stands once, the head's not at all.

    An encoder and a decoder may have one each at their inputs.
    """
    head = set(map(id, head_parameters(model)))
    found = {id(one): one for table in wanted for one in _weights(model, table)}
    return [one for key, one in found.items() if key not in head]


def _weights(model: Any, table: Table) -> Iterator[nn.Parameter]:
    anatomy = anatomy_of(model)
    if table == "output":
        if anatomy.output is not None:
            yield model.get_submodule(anatomy.output).weight
    elif anatomy.embeddings is not None:
        yield model.get_submodule(anatomy.embeddings).weight
        if anatomy.encoder_decoder:
            body = model.base_model
            for part in (body.get_encoder(), body.get_decoder()):
                yield part.get_input_embeddings().weight
