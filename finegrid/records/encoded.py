"""A prepared task as a model reads it: what decides its encoding, and the encoding's manifest."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from finegrid.records.base import Name, Positive, Record, Sha256
from finegrid.records.identity import short_hash
from finegrid.records.prepared import SplitName

ENCODED_FOLDER = "encoded"
"""Of the prepared folder: each encoding lies below it, in a folder of its key."""
Processor = dict[str, JsonValue]
"""What decides how a model's processor encodes: equal where two models encode alike."""


def encoded_file(split: SplitName) -> str:
    """The name of a split's file: Arrow's IPC format, which is read by mapping it to memory."""
    return f"{split}.arrow"


class Encoding(Record):
    """What decides an encoding: all methods, seeds, trials and models that agree in it share it."""

    task: Name
    """The key of the prepared task."""
    max_length: Positive
    """The most units that an example may have."""
    processor: Processor | None
    """What of the model's specification decides; None where no model has a say."""

    @property
    def key(self) -> str:
        """The folder of the encoded task: the task's key and a content hash."""
        return f"{self.task}-{short_hash(self)}"

    @property
    def processor_key(self) -> str | None:
        """A content hash of the processor, if there is one."""
        return None if self.processor is None else short_hash(self.processor)


_Count = Annotated[int, Field(ge=0, exclude_if=lambda value: value == 0)]


class EncodedSplit(Record):
    """One split as it lies on disk, `<split>.arrow`."""

    n: Annotated[int, Field(ge=1)]
    units: Annotated[int, Field(ge=1)]
    """Of all examples together: tokens of texts, examples of rows of numbers."""
    longest: Annotated[int, Field(ge=1)]
    """The units of the largest example."""
    cut: _Count = 0
    """Examples that lack a part of what they are to teach, for the length holds no more of them."""
    unknown: _Count = 0
    """Units that stand for what the model has no unit for, as a word that no vocabulary holds."""
    altered: _Count = 0
    """Whole targets that are learnt as something else than they say, as without line ends."""
    file_sha256: Sha256


class Encoded(Record):
    """A prepared task, encoded: three files with ids, sizes, weights, inputs and targets."""

    schema_version: Literal[1] = 1
    key: str
    kind: str
    max_length: Positive
    """The most units that an example may have."""
    data_sha256: Sha256
    """The fingerprint of the prepared task."""
    processor: Processor | None
    """What the processor of the prepared model was made of; None where no model has a say."""
    fillers: dict[str, int]
    """What pads each input to the batch's longest."""
    packages: dict[str, str]
    """The libraries that encoded, with their versions."""
    splits: dict[SplitName, EncodedSplit]

    def remarks(self, lacking: str) -> dict[str, int]:
        """What a reader of scores has to know of the examples, a predicate each, and of how many.

        `lacking` is what is so of those that were cut.
        """
        found = dict[str, int]()
        for name, one in self.splits.items():
            found[f"{name} {lacking}"] = one.cut
            found[f"of {one.units} {name} tokens are unknown to the tokenizer"] = one.unknown
            altered = f"{name} targets are altered by the tokenizer: no text that is written is one"
            found[altered] = one.altered
        return {what: count for what, count in found.items() if count}
