"""Questions of MetaMathQA to train on, and those of GSM8K to be scored on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.records.prepared import SplitName
from finegrid.records.specification import Source
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import held_out

if TYPE_CHECKING:
    import pandas as pd

_TRAINED = "MetaMathQA-395K.json"
_SCORED, _SCORED_FILE = "scored", "main/test-00000-of-00001.parquet"
_ANSWER = r"The answer is: *(.*\S)"
_CALCULATION = re.compile(r"<<.*?>>")
"""What GSM8K's calculator reads."""


@register("metamath")
@dataclass(frozen=True)
class MetaMath(Task):
    """Train on MetaMathQA, answer the 1,319 test questions of GSM8K.

    Yu et al. 2023, "MetaMath", arXiv:2309.12284, 395,000 answers to 14,973 questions of the
    training splits of GSM8K and MATH, written anew; Cobbe et al. 2021, arXiv:2110.14168. Of
    MetaMathQA come the rows with at most `characters` in question and answer whose answer is said
    as `The answer is: 42`; all rows that stem from one question are in one split. GSM8K's answers
    are given the same words, without its calculator's notes and without commas in numbers.
    """

    scored: Source
    """GSM8K, beside the source of MetaMathQA."""
    train: Annotated[int, Field(ge=1)] | None = None
    """Examples to train on; None for all that are not held out."""
    validation: Annotated[int, Field(ge=1)] = 50
    characters: Annotated[int, Field(ge=1)] = 1300
    split_seed: Annotated[int, Field(ge=0)] = 0
    template: str = "Question: {prompt} Think step by step.\nAnswer:"
    max_new_tokens: Annotated[int, Field(ge=1)] = 512

    kind: ClassVar = "causal-lm"
    labels: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar = ("exact_match", "perplexity")

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """The words about a question, and what of a text is its answer."""
        return {
            "encoding": {"template": self.template},
            "decoding": {"max_new_tokens": self.max_new_tokens},
            "answer": _ANSWER,
        }

    def files(self) -> tuple[str, ...]:
        """The one file of MetaMathQA."""
        return (_TRAINED,)

    def beside(self) -> Mapping[str, tuple[Source, tuple[str, ...] | None]]:
        """The test questions of GSM8K."""
        return {_SCORED: (self.scored, (_SCORED_FILE,))}

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; ids are the data set and the number of the row in it."""
        official, group = self._trained(folder / _TRAINED), "original_question"
        parts = held_out(official, self.validation, self.train, self.split_seed, group)
        splits = {name: rows.drop(columns=group) for name, rows in parts.items()}
        return {**splits, "test": _scored(folder / _SCORED / _SCORED_FILE)}

    def _trained(self, path: Path) -> pd.DataFrame:
        """Columns id, prompt, target and original_question of what is trained on."""
        import pandas as pd

        names = {"query": "prompt", "response": "target"}
        frame = pd.read_json(path, dtype=False, convert_dates=False).rename(columns=names)
        frame.insert(0, "id", [f"metamath-{number}" for number in range(len(frame))])
        frame = frame[["id", "prompt", "target", "original_question"]]
        lengths = frame["prompt"].str.len() + frame["target"].str.len() + 1
        is_told = frame["target"].map(lambda one: re.search(_ANSWER, one) is not None)
        return frame[(lengths <= self.characters) & is_told]


def _scored(path: Path) -> pd.DataFrame:
    """Columns id, prompt and target of what is scored."""
    import pandas as pd

    frame = pd.read_parquet(path, columns=["question", "answer"])
    return pd.DataFrame(
        {
            "id": [f"gsm8k-{number}" for number in range(len(frame))],
            "prompt": frame["question"],
            "target": [_reworded(one) for one in frame["answer"]],
        }
    )


def _reworded(answer: Any) -> str:
    """An answer of GSM8K, `... #### 1,000`, as MetaMathQA ends its own."""
    steps, _, number = _CALCULATION.sub("", answer).rpartition("####")
    return f"{steps.strip()}\nThe answer is: {number.strip().replace(',', '')}"
