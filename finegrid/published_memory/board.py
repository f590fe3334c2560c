"""A board of published peaks: one recipe, and a row for each way to fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from finegrid.problems import dotted

Positive = Annotated[int, Field(gt=0)]


class BoardError(ValueError):
    """A file that is no board, or a recipe that cannot be followed."""


class _Read(BaseModel):
    """What is read of another project's record; keys that decide no memory are passed over."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class BoardRow(_Read):
    """One experiment, with the configuration of the peft library that it ran with."""

    experiment: str
    optimizer: str
    optimizer_kwargs: dict[str, JsonValue]
    peft_config: dict[str, JsonValue] | None
    """None where the whole model is trained."""
    num_trainable_params: Positive
    peak_reserved_bytes: Positive
    """Most that the caching allocator held at a time, over the whole run."""


class Board(_Read):
    """The recipe that all rows share, and the rows."""

    model: str
    dtype: str
    """Type of the base, and what may follow of the adapters': `bfloat16 base, float32 adapters`."""
    batch_size: Positive
    max_seq_length: Positive
    gradient_checkpointing: bool
    rows: Annotated[tuple[BoardRow, ...], Field(min_length=1, strict=False)]

    @property
    def base_dtype(self) -> str:
        """The type's name in torch."""
        return self.dtype.split()[0]

    @property
    def adapters_in_fp32(self) -> bool:
        """Whether what is added is held in fp32, whatever the base is held in."""
        return "float32 adapters" in self.dtype

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file's content. Raises OSError, or BoardError in one line."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first, *others = error.errors()
            more = f" (and {len(others)} more)" if others else ""
            raise BoardError(f"{path}: {dotted(first['loc'])}: {first['msg']}{more}") from error
