"""Questions about addresses, made by templates of the parts that people have labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasks.addresses import Address, OfAddresses
from tasks.registry import register

if TYPE_CHECKING:
    import pandas as pd

    from finegrid.records.prepared import SplitName

_QUESTIONS: Final[Mapping[str, str]] = {
    "AddressNumber": "What is the number of the house?",
    "BuildingName": "What is the building called?",
    "CountryName": "Which country is it in?",
    "LandmarkName": "Which landmark is it?",
    "OccupancyIdentifier": "Which apartment or suite is it?",
    "PlaceName": "Which town is it in?",
    "Recipient": "Who receives the mail?",
    "StateName": "Which state is it in?",
    "StreetName": "What is the street called?",
    "USPSBoxID": "What is the number of the post office box?",
    "ZipCode": "What is the ZIP code?",
}
_AROUND = ",;:()"
"""What stands about a part and is none of it."""


@register("address-questions")
@dataclass(frozen=True)
class AddressQuestions(OfAddresses):
    """A question and an address -> the part of the address that answers it.

    The questions are made by one template a part; addresses and parts are those of people. A
    question is asked where the address has one such part. All questions on an address are in one
    split.
    """

    kind = "question-answering"
    labels = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """That no person has asked."""
        return ("made questions: one template a part; contexts and answers are labelled by people",)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract."""
        import pandas as pd

        return {
            name: pd.DataFrame([row for key, address in rows for row in _asked(key, address)])
            for name, rows in self.split(folder).items()
        }


def _asked(key: str, address: Address) -> Iterator[dict[str, Any]]:
    """The questions on an address, whose words stand with a space between them."""
    context = " ".join(word for part in address for word in part.words)
    counts, start = Counter(part.label for part in address), 0
    for part in address:
        text = " ".join(part.words)
        answer = text.strip(_AROUND)
        if counts[part.label] == 1 and part.label in _QUESTIONS and answer:
            at = start + text.index(answer)
            yield {
                "id": f"{key}-{part.label}",
                "context": context,
                "question": _QUESTIONS[part.label],
                "answers": {"text": [answer], "answer_start": [at]},
            }
        start += len(text) + 1
