"""The eight sets of commonsense questions of LLM-Adapters, as questions that a model answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue

from finegrid.records.prepared import SplitName
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import held_out

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
_QUESTION = "Please choose the correct answer to the question: "
_BLANK = "Please choose the correct answer to fill in the blank to complete the given sentence: "
_ANSWER = r"(true|false|(?:answer|solution|ending|option)\d)"


class _Asked(NamedTuple):
    """A question, what its choices are called, the choices, and the place of the right one."""

    question: str
    name: str
    choices: tuple[str, ...]
    right: int


class _Subset(NamedTuple):
    asked: Callable[[Row], _Asked]
    file: str = "data/{}-00000-of-00001.parquet"
    scored: str = "validation"
    """The official split with public labels that is scored."""


def _boolq(row: Row) -> _Asked:
    start = "Please answer the following question with true or false, question:"
    return _Asked(f"{start} {row['question']}?", "", ("true", "false"), int(not row["answer"]))


def _piqa(row: Row) -> _Asked:
    question = f"Please choose the correct solution to the question: {row['goal']}"
    return _Asked(question, "Solution", (row["sol1"], row["sol2"]), int(row["label"]))


def _siqa(row: Row) -> _Asked:
    question = f"{_QUESTION}{row['context']} {row['question']}"
    choices = (row["answerA"], row["answerB"], row["answerC"])
    return _Asked(question, "Answer", choices, int(row["label"]) - 1)


def _hellaswag(row: Row) -> _Asked:
    start = f"{row['activity_label']}: {row['ctx']}"
    question = f"Please choose the correct ending to complete the given sentence: {start}"
    return _Asked(question, "Ending", tuple(row["endings"]), int(row["label"]))


def _winogrande(row: Row) -> _Asked:
    choices = (row["option1"], row["option2"])
    return _Asked(f"{_BLANK}{row['sentence']}", "Option", choices, int(row["answer"]) - 1)


def _lettered(row: Row) -> _Asked:
    """Of ARC and OpenBookQA: a few of ARC's questions name their choices 1 to 4, or have five."""
    question = str(row["question"] if "question" in row else row["question_stem"])
    choices, key = row["choices"], row["answerKey"]
    right = list(choices["label"]).index(key)
    return _Asked(f"{_QUESTION}{question}", "Answer", tuple(choices["text"]), right)


_SUBSETS = {
    "boolq": _Subset(_boolq),
    "piqa": _Subset(_piqa, "piqa_{}.parquet"),
    "siqa": _Subset(_siqa, "default/{}/0000.parquet"),
    "hellaswag": _Subset(_hellaswag),
    "winogrande": _Subset(_winogrande, "winogrande_xl/{}-00000-of-00001.parquet"),
    "arc-easy": _Subset(_lettered, "ARC-Easy/{}-00000-of-00001.parquet", "test"),
    "arc-challenge": _Subset(_lettered, "ARC-Challenge/{}-00000-of-00001.parquet", "test"),
    "openbookqa": _Subset(_lettered, "main/{}-00000-of-00001.parquet", "test"),
}


@register("commonsense")
@dataclass(frozen=True)
class Commonsense(Task):
    """One of eight sets of questions with a few answers, of which a model writes the right one.

    Hu et al. 2023, "LLM-Adapters", arXiv:2304.01933: the wording of questions and answers is that
    of its table of prompts, which ends in `the correct answer is answer2`. Each set keeps its own
    licence. `test` is the official split with public labels that the paper scores, test of ARC and
    OpenBookQA and validation of the others; `validation` is held out from the official training
    split, on what is left of which a model is trained. The paper trains one model on the eight
    training splits together: here each set has models of its own.
    """

    subset: Literal[
        "boolq",
        "piqa",
        "siqa",
        "hellaswag",
        "winogrande",
        "arc-easy",
        "arc-challenge",
        "openbookqa",
    ]
    train: Annotated[int, Field(ge=1)] | None = None
    """Examples to train on; None for all that are not held out."""
    validation: Annotated[int, Field(ge=1)] = 120
    split_seed: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Annotated[int, Field(ge=1)] = 16
    """Of an answer, which has less than ten."""

    kind: ClassVar = "causal-lm"
    labels: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar = ("exact_match", "perplexity")

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """The instruction that the paper puts about a question, and what of a text is an answer."""
        return {
            "encoding": {"template": "### Instruction:\n{prompt}\n\n### Response:\n"},
            "decoding": {"max_new_tokens": self.max_new_tokens},
            "answer": _ANSWER,
        }

    def files(self) -> tuple[str, ...]:
        """The subset's training file and its scored file."""
        facts = _SUBSETS[self.subset]
        return facts.file.format("train"), facts.file.format(facts.scored)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; ids are the official split and the number of the row in it."""
        trained, scored = self.files()
        official = self._frame(folder / trained, "train")
        splits = held_out(official, self.validation, self.train, self.split_seed)
        return {**splits, "test": self._frame(folder / scored, _SUBSETS[self.subset].scored)}

    def _frame(self, path: Path, split: str) -> pd.DataFrame:
        """Columns id, prompt and target of one official split."""
        import pandas as pd

        rows: Any = pd.read_parquet(path).to_dict("records")
        asked = [_SUBSETS[self.subset].asked(row) for row in rows]
        return pd.DataFrame(
            {
                "id": [f"{split}-{number}" for number in range(len(asked))],
                "prompt": [_prompt(one) for one in asked],
                "target": [f"the correct answer is {_names(one)[one.right]}" for one in asked],
            }
        )


def _names(asked: _Asked) -> tuple[str, ...]:
    """What the answer may be: `answer1`, or the choices themselves where they have no name."""
    if not asked.name:
        return asked.choices
    return tuple(f"{asked.name.lower()}{number}" for number, _ in enumerate(asked.choices, 1))


def _prompt(asked: _Asked) -> str:
    """The question, its choices, and what the answer may be."""
    named = zip(_names(asked), asked.choices, strict=True) if asked.name else ()
    choices = " ".join(f"{name.capitalize()}: {choice}" for name, choice in named)
    parts = (asked.question, choices, f"Answer format: {'/'.join(_names(asked))}")
    return "\n\n".join(part for part in parts if part)
