"""The base of every record: closed, typed, frozen, strict JSON."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from finegrid.records.write import write_text

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,120}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
REVISION_PATTERN = r"^[0-9a-f]{40}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A name that may become part of a path: lower case, digits, dot, dash and underscore."""

Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Record(BaseModel):
    """A frozen pydantic model that refuses unknown keys, wrong types, NaN and infinity."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record that a JSON file holds; raises OSError or pydantic.ValidationError."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Write the record atomically as indented JSON."""
        write_text(path, self.model_dump_json(indent=1) + "\n")
