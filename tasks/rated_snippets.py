"""Short texts with the mean sentiment that twenty people gave them, as a binary task."""

from __future__ import annotations

import csv
import html
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from finegrid.records.prepared import SplitName
from kinds.inputs.words import normalised
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import carve, shuffled

if TYPE_CHECKING:
    import pandas as pd

_ARCHIVE = "hutto_ICWSM_2014.tar.gz"
_MEMBERS = {
    "movie": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "amazon": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "nyt": "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt",
    "tweets": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
}


@register("rated-snippets")
@dataclass(frozen=True)
class RatedSnippets(Task):
    """Sign of the mean rating in [-4, 4] of a snippet, each rated by twenty people.

    Hutto and Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of
    social media text", ICWSM. The authors' software is under the MIT licence; the archive states
    none for the texts. Snippets as delivered: movie 10,605, nyt 5,190, tweets 4,200,
    amazon 3,708. Of texts that read the same the first is kept (the tweets hold spellings of one
    sentence that differ in case and punctuation alone). Reviews and editorials that were cut
    into sentences are split by document.
    """

    kind = "text-classification"
    labels = ("negative", "positive")
    metrics = ("accuracy", "f1")

    domain: Literal["movie", "amazon", "nyt", "tweets"] = "movie"
    threshold: Annotated[float, Field(ge=0, lt=4)] = 0.3
    """Snippets with an absolute mean rating up to this one have no clear sign and are dropped."""
    train: Annotated[int, Field(ge=1)] = 1000
    validation: Annotated[int, Field(ge=1)] = 500
    test: Annotated[int, Field(ge=1)] = 1000
    split_seed: Annotated[int, Field(ge=0)] = 0

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; reads the archive's one text file without unpacking the rest."""
        frame = _clean(_ratings(folder / _ARCHIVE, _MEMBERS[self.domain]), self.threshold)
        frame["document"] = frame["id"].str.partition("_")[0]
        splits = carve(
            shuffled(frame, self.split_seed, group="document"),
            {"test": self.test, "validation": self.validation, "train": self.train},
            group="document",
        )
        return {name: rows[["id", "text", "label"]] for name, rows in splits.items()}


def _ratings(path: Path, name: str) -> pd.DataFrame:
    """Columns id, rating and text of one tab-separated member of the archive."""
    import pandas as pd

    with tarfile.open(path) as archive:
        member = next((entry for entry in archive if entry.name == name), None)
        # A link could name another member; only the file itself is what was asked for.
        stream = archive.extractfile(member) if member is not None and member.isreg() else None
        if stream is None:
            raise ValueError(f"{path.name} has no file {name}")
        return pd.read_csv(
            stream,
            sep="\t",
            names=["id", "rating", "text"],
            dtype={"id": str, "rating": float, "text": str},
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            encoding="utf-8",
        )


def _clean(frame: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Rated snippets with a clear sign, no two with the same words; adds `label`."""
    frame = frame[frame["rating"].abs() > threshold].copy()
    # Some entities were escaped twice, such as &amp;#39;
    frame["text"] = [html.unescape(html.unescape(text)).strip() for text in frame["text"]]
    frame["label"] = (frame["rating"] > 0).astype("int64")
    return frame[~frame["text"].map(normalised).duplicated()]
