"""What is asked of a model before it is loaded, and what is answered. Loads no torch."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import JsonValue

from finegrid.models.anatomy import Anatomy, Reads
from finegrid.records.base import Record
from finegrid.records.specification import Checkpoint, Model, Pooling, RandomModel


class Purpose(NamedTuple):
    """What a model is for: the auto class of a kind of task, by its name, and what it reads."""

    loader: str | None = None
    """None for a plain stack, and for a model that no task is named for."""
    reads: Reads | None = None


class Blueprint(Record):
    """A transformers model that is asked for: all that its anatomy depends on."""

    configuration: dict[str, JsonValue]
    loader: str | None = None
    """The auto class of the kind of task that it is for; None for any that has the type."""
    reads: Reads | None = None
    """What such a model reads. One that reads something else is described all the same."""
    pooling: Pooling | None = None
    written: bool = True
    """Whether a user wrote the configuration, who then has to say its sizes."""
    whole: bool = True
    """Whether what the configuration leaves out has the library's default."""

    @classmethod
    def of(cls, model: Model, purpose: Purpose) -> Blueprint:
        """What is asked of a model of a benchmark: a repository's is known in part at first."""
        source = model.source if isinstance(model, Checkpoint) else None
        at_hub = source is not None and source.uri.startswith("hub:")
        lacks = source is not None and source.lacks_configuration
        by_hand = lacks or isinstance(model, RandomModel)
        return cls(
            configuration=model.configuration,
            loader=purpose.loader,
            reads=purpose.reads,
            pooling=model.pooling,
            written=at_hub or by_hand,
            whole=by_hand or not at_hub,
        )


class Description(Record):
    """The answer: an anatomy, or what is wrong, and the configuration's key that it is about."""

    anatomy: Anatomy | None = None
    problem: str | None = None
    key: str | None = None


class DescriptionError(ValueError):
    """A model whose anatomy could not be found: one line with the reason."""
