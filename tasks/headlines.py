"""The first line of a docstring by what follows it: the modules of a wheel, split by module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field, JsonValue

from finegrid.records.prepared import SPLITS, SplitName
from kinds.inputs.words import normalised
from tasks.contract import Task
from tasks.docstring_prose import prose_of
from tasks.registry import register
from tasks.splitting import by_split, grouped
from tasks.wheel_docstrings import Docstring, docstrings_of

if TYPE_CHECKING:
    import pandas as pd

_FEWEST, _MOST = 4, 25
"""Words of a headline."""
_PLACEHOLDER = "%("
"""Code fills in a text that has one."""
_DEPRECATED = "deprecated"
Share = Annotated[float, Field(gt=0, lt=1)]
Words = Annotated[int, Field(ge=1)]


class _Pair(NamedTuple):
    """A headline and its body, as `Prose` has them, with what they are of."""

    source: Docstring
    headline: str
    body: str
    is_whole: bool


class _Found(NamedTuple):
    """The splits, and what is in none of them."""

    splits: dict[SplitName, list[_Pair]]
    dropped: Counter[str]


@dataclass(frozen=True)
class OfDocstrings(Task):
    """A task on the docstrings of a wheel, which its source names without a path."""

    labels = ()
    metrics = ("rouge_l", "chrf", "perplexity")
    column: ClassVar[str]
    """What a model is given."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 48
    """The most tokens that are written of a headline, greedily; it also ends with its line."""
    shortest: Words = 20
    longest: Words = 100
    """Words of a body, from and up to which a docstring is taken."""
    depth: Annotated[int, Field(ge=1)] = 2
    """Parts of a module's name by which modules are grouped: 2 takes `sympy.stats` whole, and 3 is
    for networkx, most of which is `networkx.algorithms`."""
    validation: Share = 0.15
    test: Share = 0.25
    """Shares of the docstrings, in whole groups of modules."""
    split_seed: Annotated[int, Field(ge=0)] = 0

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """How headlines are written: greedily, and in one line."""
        return {"decoding": {"max_new_tokens": self.max_new_tokens, "stop_strings": ["\n"]}}

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; an id is the module and the object in it."""
        import pandas as pd

        return {
            name: pd.DataFrame(
                [(one.source.key, self.asked(one.body), one.headline) for one in pairs],
                columns=["id", self.column, "target"],
            )
            for name, pairs in self._found(folder).splits.items()
        }

    def dropped(self, folder: Path) -> dict[str, int]:
        """See the contract."""
        return dict(self._found(folder).dropped)

    def asked(self, body: str) -> str:
        """What a model is given of a body: the text itself."""
        return body

    def _found(self, folder: Path) -> _Found:
        wheel = _wheel(folder)
        docstrings, unread = docstrings_of(wheel)
        dropped = Counter(unread)
        pairs = list(self._kept(docstrings, dropped))
        if not pairs:
            raise ValueError(
                f"{wheel.name}: none of {len(docstrings)} docstrings has a headline and a body of "
                f"{self.shortest} to {self.longest} words; allowed: a wheel with such docstrings"
            )
        groups = [".".join(one.source.module.split(".")[: self.depth]) for one in pairs]
        shares: dict[SplitName, float] = {"test": self.test, "validation": self.validation}
        splits = by_split(pairs, grouped(groups, self.split_seed), shares, groups)
        return _Found(_apart(splits, dropped), dropped)

    def _kept(self, docstrings: tuple[Docstring, ...], dropped: Counter[str]) -> Iterator[_Pair]:
        """The docstrings that are a headline and a body, said once; the others are counted."""
        seen = set[str]()
        for source in docstrings:
            pair = _Pair(source, *prose_of(source.text))
            if problem := self._problem(pair, seen):
                dropped[problem] += 1
            else:
                seen.add(normalised(pair.body))
                yield pair

    def _problem(self, pair: _Pair, seen: set[str]) -> str | None:
        """Why a docstring is not taken."""
        text, words = pair.source.text, len(pair.headline.split())
        if f".. {_DEPRECATED}::" in text or normalised(text).startswith(_DEPRECATED):
            return "notes of deprecation"
        if _PLACEHOLDER in text:
            return "texts that code fills in"
        if not words:
            return "docstrings that begin with no sentence"
        if not pair.body:
            return "headlines without prose below"
        if not _FEWEST <= words <= _MOST:
            return f"headlines of fewer than {_FEWEST} or more than {_MOST} words"
        if not pair.is_whole:
            return "headlines that go on below"
        return self._body_problem(pair, seen)

    def _body_problem(self, pair: _Pair, seen: set[str]) -> str | None:
        length, body = len(pair.body.split()), normalised(pair.body)
        if length < self.shortest:
            return f"bodies of fewer than {self.shortest} words"
        if length > self.longest:
            return f"bodies of more than {self.longest} words"
        if f" {normalised(pair.headline)} " in f" {body} ":
            return "headlines that their body holds"
        return "duplicates" if body in seen else None


@register("headlines")
@dataclass(frozen=True)
class Headlines(OfDocstrings):
    """What a docstring says below its first paragraph -> that paragraph, its headline.

    The docstrings of a wheel's modules, classes and functions, as their authors wrote them: none
    that is inherited or made by code. A headline is the first paragraph, of 4 to 25 words, in one
    line. Its body is the prose up to the first section of parameters, examples or the like;
    sympy's `Explanation` is a part of it. Bodies that read the same count once, headlines that
    stand in their body word for word are left out, and so is a headline of training or validation
    that stands in a later split. All docstrings of a group of modules are in one split. Measured on
    sympy 1.14.0 (BSD licence); networkx, scipy and scikit-learn have such docstrings as well.
    """

    kind = "causal-lm"
    column = "prompt"

    template: str = "{prompt}\n\nHeadline:\n"
    """What stands about a prompt, as `encoding.template` of a causal-lm task says it."""

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """The same, and how prompts are written."""
        return {**super().kind_options, "encoding": {"template": self.template}}

    def asked(self, body: str) -> str:
        """The body, and what is to be done."""
        return f"Write the headline of this documentation, in one line:\n{body}"


@register("headlines-seq2seq")
@dataclass(frozen=True)
class SourceHeadlines(OfDocstrings):
    """The docstrings of `headlines` for an encoder and a decoder: the body itself goes in.

    What is read, left out and divided is the same, of the same options but for the template. It has
    been tried on a tiny random model alone, as no package was found that holds a pretrained one.
    """

    kind = "seq2seq"
    column = "source"


def _wheel(folder: Path) -> Path:
    """The one wheel that a source has brought. Raises ValueError."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ValueError(
            f"{len(wheels)} wheels; allowed: one, as of the source wheel:<project>==<version>"
        )
    return wheels[0]


def _apart(
    splits: Mapping[SplitName, list[_Pair]], dropped: Counter[str]
) -> dict[SplitName, list[_Pair]]:
    """The splits without headlines that stand in a later one, which are counted."""
    found, later = dict[SplitName, list[_Pair]](), set[str]()
    for name in reversed(SPLITS):
        headlines = [normalised(one.headline) for one in splits[name]]
        found[name] = [
            one for one, said in zip(splits[name], headlines, strict=True) if said not in later
        ]
        if lost := len(splits[name]) - len(found[name]):
            dropped[f"{name}: headlines of a later split"] += lost
        later.update(headlines)
    return {name: found[name] for name in SPLITS}
