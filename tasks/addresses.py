"""The parts of addresses: those of usaddress, each word labelled by people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from xml.etree import ElementTree

from pydantic import Field, JsonValue

from finegrid.records.prepared import SplitName
from kinds.inputs.words import normalised
from kinds.registry import with_labels
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import by_split, proportional

if TYPE_CHECKING:
    import pandas as pd

FILE = "labeled.xml"
PARTS = (
    *("AddressNumber", "AddressNumberPrefix", "AddressNumberSuffix", "BuildingName", "CornerOf"),
    *("CountryName", "IntersectionSeparator", "LandmarkName", "NotAddress", "OccupancyIdentifier"),
    *("OccupancyType", "PlaceName", "Recipient", "StateName", "StreetName"),
    *("StreetNamePostDirectional", "StreetNamePostModifier", "StreetNamePostType"),
    *("StreetNamePreDirectional", "StreetNamePreModifier", "StreetNamePreType"),
    *("SubaddressIdentifier", "SubaddressType", "USPSBoxGroupID", "USPSBoxGroupType"),
    *("USPSBoxID", "USPSBoxType", "ZipCode", "ZipPlus4"),
)
"""The labels of words, after the standard FGDC-STD-016-2011 for addresses of the United States."""
Share = Annotated[float, Field(gt=0, lt=1)]


class Part(NamedTuple):
    """Words of one label that follow each other."""

    label: str
    words: tuple[str, ...]


Address = tuple[Part, ...]


@dataclass(frozen=True)
class OfAddresses(Task):
    """A task on the labelled addresses of usaddress 0.5.16, `training/labeled.xml`.

    github.com/datamade/usaddress, under the MIT licence: 1,513 addresses. Of those that read the
    same, but for case and punctuation, the first is kept; the others are in no split.
    """

    validation: Share = 0.15
    test: Share = 0.25
    """Shares of the addresses."""
    split_seed: Annotated[int, Field(ge=0)] = 0

    def files(self) -> tuple[str, ...]:
        """The one file."""
        return (FILE,)

    def dropped(self, folder: Path) -> dict[str, int]:
        """See the contract."""
        count = sum(1 for _ in _addresses(folder))
        return {"duplicates": count - len(_unique(folder))}

    def split(self, folder: Path) -> dict[SplitName, list[tuple[str, Address]]]:
        """The addresses of each split, with their numbers in the file as ids."""
        rows = list(_unique(folder).items())
        shares: dict[SplitName, float] = {"test": self.test, "validation": self.validation}
        return by_split(rows, proportional([""] * len(rows), self.split_seed), shares)


@register("addresses")
@dataclass(frozen=True)
class Addresses(OfAddresses):
    """The words of an address -> what part of it each is, by IOB2: a part is an entity.

    The 1,513 addresses of usaddress 0.5.16 (github.com/datamade/usaddress, under the MIT licence),
    each word with one of 29 labels that people gave it. Words of one label that follow each other
    are a part, and no word is outside of one.
    """

    kind = "token-classification"
    labels = tuple(f"{sign}-{part}" for part in PARTS for sign in ("B", "I"))

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """The tags, and how they name entities."""
        return with_labels(self.kind, {"scheme": "IOB2"}, self.labels)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract."""
        import pandas as pd

        return {
            name: pd.DataFrame([_tagged(key, address) for key, address in rows])
            for name, rows in self.split(folder).items()
        }


def _tagged(key: str, address: Address) -> dict[str, Any]:
    return {
        "id": key,
        "tokens": [word for part in address for word in part.words],
        "tags": [f"{'I' if at else 'B'}-{p.label}" for p in address for at in range(len(p.words))],
    }


def _unique(folder: Path) -> dict[str, Address]:
    """Number in the file -> address, of those that read the same the first."""
    found: dict[str, tuple[str, Address]] = {}
    for number, address in enumerate(_addresses(folder), 1):
        text = normalised(" ".join(word for part in address for word in part.words))
        found.setdefault(text, (str(number), address))
    return dict(found.values())


def _addresses(folder: Path) -> Iterator[Address]:
    """Raises ValueError for a file of another form, or labels."""
    try:
        root = ElementTree.parse(folder / FILE).getroot()  # noqa: S314  # pinned by its hash
    except ElementTree.ParseError as error:
        raise ValueError(f"{FILE}: no XML: {error}") from error
    for element in root:
        words = [(one.tag, (one.text or "").strip()) for one in element]
        if not words or not all(label in PARTS and word for label, word in words):
            shown = ElementTree.tostring(element, encoding="unicode")
            raise ValueError(f"{FILE}: no address of labelled words: {shown:.200}")
        yield tuple(
            Part(label, tuple(word for _, word in group))
            for label, group in groupby(words, key=lambda one: one[0])
        )
