"""What is kept on disk to be used again, with the hash that tells whether it still is the same."""

from typing import Generic, Self, TypeVar

from pydantic import model_validator

from finegrid.records.base import Record, Sha256
from finegrid.records.identity import content_hash

Content = TypeVar("Content", bound=Record)


class Kept(Record, Generic[Content]):
    """A record with the hash of it; one that does not have that hash is refused."""

    content: Content
    sha256: Sha256

    @classmethod
    def of(cls, content: Content) -> Self:
        """The record with its hash."""
        return cls(content=content, sha256=content_hash(content))

    @model_validator(mode="after")
    def _is_as_it_was_written(self) -> Self:
        if (found := content_hash(self.content)) != self.sha256:
            raise ValueError(f"the sha256 of what is kept is {found}, recorded {self.sha256}")
        return self
