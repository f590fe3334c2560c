"""Eight tasks of the GLUE benchmark, read from the parquet files of its hub repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from finegrid.records.prepared import SplitName
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import held_out

if TYPE_CHECKING:
    import pandas as pd


class _Subset(NamedTuple):
    inputs: tuple[str, ...]
    """Columns of the files that become text and text_pair."""
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    scored: str = "validation"
    """The official split with public labels."""


_SUBSETS = {
    "cola": _Subset(("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",)),
    "sst2": _Subset(("sentence",), ("negative", "positive"), ("accuracy",)),
    "mrpc": _Subset(
        ("sentence1", "sentence2"), ("not_equivalent", "equivalent"), ("accuracy", "f1")
    ),
    "qqp": _Subset(("question1", "question2"), ("not_duplicate", "duplicate"), ("accuracy", "f1")),
    "mnli": _Subset(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        ("accuracy",),
        "validation_matched",
    ),
    "qnli": _Subset(("question", "sentence"), ("entailment", "not_entailment"), ("accuracy",)),
    "rte": _Subset(("sentence1", "sentence2"), ("entailment", "not_entailment"), ("accuracy",)),
    "stsb": _Subset(("sentence1", "sentence2"), (), ("pearson", "spearman")),
}


@register("glue")
@dataclass(frozen=True)
class Glue(Task):
    """One task of GLUE, with its own metrics; stsb is a regression of a similarity in [0, 5].

    Wang et al. 2018, "GLUE: a multi-task benchmark and analysis platform for natural language
    understanding", arXiv:1804.07461. Each task keeps its own licence. The labels of the official
    test split are hidden, so `test` is the official validation split (mnli: the matched one) and
    `validation` is held out from the official training split. Official train and validation
    sizes: cola 8,551 and 1,043; sst2 67,349 and 872; mrpc 3,668 and 408; qqp 363,846 and 40,430;
    mnli 392,702 and 9,815; qnli 104,743 and 5,463; rte 2,490 and 277; stsb 5,749 and 1,500.
    """

    subset: Literal["cola", "sst2", "mrpc", "qqp", "mnli", "qnli", "rte", "stsb"]
    train: Annotated[int, Field(ge=1)] | None = None
    """Examples to train on; None for all that are not held out."""
    validation: Annotated[int, Field(ge=1)] = 500
    split_seed: Annotated[int, Field(ge=0)] = 0

    @property
    def _facts(self) -> _Subset:
        return _SUBSETS[self.subset]

    @property
    def kind(self) -> str:
        """A regression where there are no classes."""
        return "text-classification" if self.labels else "text-regression"

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the files' label column."""
        return self._facts.labels

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the benchmark reports for the subset."""
        return self._facts.metrics

    def files(self) -> tuple[str, ...]:
        """The subset's training file and its scored file."""
        return self._file("train"), self._file(self._facts.scored)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; ids are the official split and the row's `idx`."""
        official = self._frame(folder, "train")
        splits = held_out(official, self.validation, self.train, self.split_seed)
        return {**splits, "test": self._frame(folder, self._facts.scored)}

    def _file(self, split: str) -> str:
        return f"{self.subset}/{split}-00000-of-00001.parquet"

    def _frame(self, folder: Path, split: str) -> pd.DataFrame:
        """Columns id, text, text_pair where there is one, and label, of one official split."""
        import pandas as pd

        inputs = dict(zip(self._facts.inputs, ("text", "text_pair"), strict=False))
        frame = pd.read_parquet(folder / self._file(split), columns=["idx", *inputs, "label"])
        frame.insert(0, "id", [f"{split}-{index}" for index in frame.pop("idx")])
        return frame.rename(columns=inputs)
