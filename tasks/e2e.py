"""Restaurants described in words, by the slots of a meaning representation: the E2E challenge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from finegrid.records.prepared import SPLITS, SplitName
from kinds.outputs.texts import GREEDY, Decoding
from tasks.contract import Task
from tasks.registry import register

if TYPE_CHECKING:
    import pandas as pd

_FILE = "default/{}/0000.parquet"
_SLOT = re.compile(r"\s*([^\[\],]+)\[([^\]]*)\]\s*(?:,|$)")
_NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}
"""What slots are called in a prompt, where that is not their own name."""
_COLUMNS = ["meaning_representation", "human_reference"]


@register("e2e")
@dataclass(frozen=True)
class E2E(Task):
    """Say in a sentence or two what the slots of a meaning representation hold.

    Novikova et al. 2017, "The E2E Dataset", arXiv:1706.09254, CC BY-SA 4.0: 51,426 descriptions of
    restaurants in the official splits. Of training and validation a row is a slot list with one
    description. Of test it is one of 630 slot lists with all of its descriptions, 4,693 in all,
    which are equally right: BLEU and the others take the closest, as the challenge does (Dusek et
    al. 2020, arXiv:1901.07931). The perplexity of test is that of the first of them. The
    prompt is worded as Li and Liang 2021 (arXiv:2101.00190) word it, `name : Aromi | Type : pub`,
    and a description begins with the space between it and what the template has before.
    """

    template: str = "{prompt}<|endoftext|>"
    """What stands about the slots: GPT-2's one special token separates them from the text."""
    decoding: Decoding = GREEDY

    kind: ClassVar = "causal-lm"
    labels: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar = ("bleu", "rouge_l", "chrf", "perplexity")

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """The words about the slots, how a model writes, and that several texts may be right."""
        return {
            "encoding": {"template": self.template},
            "decoding": self.decoding.model_dump(mode="json"),
            "several_references": True,
        }

    def files(self) -> tuple[str, ...]:
        """A file a split."""
        return tuple(_FILE.format(name) for name in SPLITS)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; ids are the split and the number of the first row in its file."""
        return {name: _rows(folder / _FILE.format(name), name) for name in SPLITS}


def _rows(path: Path, split: SplitName) -> pd.DataFrame:
    """Columns id, prompt and target, the list of descriptions, of one official split."""
    import pandas as pd

    frame = pd.read_parquet(path, columns=_COLUMNS)
    slots, texts = (frame[name] for name in _COLUMNS)
    rows = pd.DataFrame(
        {
            "id": [f"{split}-{number}" for number in range(len(frame))],
            "prompt": [_worded(one) for one in slots],
            "text": [f" {one.strip()}" for one in texts],
        }
    )
    alike = rows.groupby(slots if split == "test" else rows["id"], sort=False)
    grouped = alike.agg(id=("id", "first"), prompt=("prompt", "first"), target=("text", list))
    return grouped.reset_index(drop=True)


def _worded(slots: str) -> str:
    """`name[Aromi], eatType[pub]` as `name : Aromi | Type : pub`.

    Raises ValueError for what is no list of slots.
    """
    found = list(_SLOT.finditer(slots))
    if "".join(one.group() for one in found) != slots or not found:
        raise ValueError(f"{slots!r} is no list of slots; allowed: name[value], name[value], ...")
    named = ((one[1].strip(), one[2].strip()) for one in found)
    return " | ".join(f"{_NAMES.get(name, name)} : {value}" for name, value in named)
