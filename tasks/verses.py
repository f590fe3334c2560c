"""English verses with their Spanish translation: two Bibles in the public domain, split by book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field, JsonValue

from finegrid.records.prepared import SPLITS, SplitName
from finegrid.records.specification import Source
from kinds.inputs.words import normalised
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import by_split, grouped, order_key
from tasks.sword_texts import INSTALLED_BY, PACKAGE, Place, read_verses

if TYPE_CHECKING:
    import pandas as pd

_SPANISH = "spanish"
_FAMILIES = (
    # Chronicles tells Samuel and Kings again and has the lists of Genesis, Joshua and Nehemiah;
    # Isaiah and Jeremiah share chapters with Kings, psalms stand in Samuel and Chronicles.
    "Gen Josh Judg Ruth 1Sam 2Sam 1Kgs 2Kgs 1Chr 2Chr Ezra Neh Ps Isa Jer",
    "Exod Lev Num Deut",
    "Matt Mark Luke John",
    "Rom 1Cor 2Cor Gal Eph Phil Col 1Thess 2Thess 1Tim 2Tim Titus Phlm",
    "2Pet Jude",
    "1John 2John 3John",
    "Mic Obad Joel Amos Hos Zech Hag",
)
"""Books that tell the same, quote each other at length, or use one form of words."""
_FAMILY_OF = {book: family for family in _FAMILIES for book in family.split()}
_SHORTEST_RATIO, _LONGEST_RATIO = 0.55, 1.8
"""Characters of Spanish for one of English: 99.8 % of all pairs are within, at a median of 0.96."""
_PARTED = 2
"""Pairs beyond these ratios in a chapter from which on its verses are cut otherwise."""
Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[int, Field(ge=1)]


class _Pair(NamedTuple):
    """A verse in both languages."""

    place: Place
    english: str
    spanish: str

    @property
    def id(self) -> str:
        """Book, chapter and verse."""
        return f"{self.place.book}.{self.place.chapter}.{self.place.verse}"

    @property
    def is_even(self) -> bool:
        """Whether the lengths are those of one verse in both languages."""
        return _SHORTEST_RATIO <= len(self.spanish) / len(self.english) <= _LONGEST_RATIO

    @property
    def words(self) -> int:
        """Of the longer of the two."""
        return max(len(self.english.split()), len(self.spanish.split()))


_Pairs = list[_Pair]
_Splits = dict[SplitName, _Pairs]


@register("verses")
@dataclass(frozen=True)
class Verses(Task):
    """An English verse -> the Spanish one, of books that training has not seen.

    The World English Bible and the Reina-Valera of 1909, both in the public domain, as modules of
    the SWORD Project, which Debian has as `sword-text-web` and `sword-text-sparv`. No book is in
    two splits, nor are books of one family, as the Gospels are; a family that is larger than the
    smaller of the two shares is trained on. A verse that reads like one of a later split, or
    nearly, is in none. The Spanish is old: `fué`, `á`, `díjole`, and a chapter begins with a word
    in capitals.
    """

    spanish: Source
    """The Spanish module, beside the source, which is the English one."""
    template: str = "none"
    """What stands about a prompt, as `encoding.template` of a causal-lm task says it."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 160
    """The most tokens that are written of a verse, greedily."""
    longest: Annotated[int, Field(ge=1)] = 60
    """Words of a verse, in either language, up to which a pair is taken."""
    validation: Share = 0.05
    test: Share = 0.1
    """Shares of the pairs, in whole families of books."""
    train_limit: Limit | None = None
    validation_limit: Limit | None = None
    test_limit: Limit | None = None
    """The most pairs of a split that are taken, drawn of all its books; None for all."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Of the order of the families, and of what a limit draws."""

    kind: ClassVar = "causal-lm"
    labels: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar = ("chrf", "bleu", "perplexity")
    remarks: ClassVar = (
        "both texts stand on many web pages, which a model may have been trained on",
    )
    requires: ClassVar = {PACKAGE: INSTALLED_BY}

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """How prompts are written, and verses: greedily."""
        return {
            "encoding": {"template": self.template},
            "decoding": {"max_new_tokens": self.max_new_tokens},
        }

    def beside(self) -> Mapping[str, tuple[Source, tuple[str, ...] | None]]:
        """The Spanish module."""
        return {_SPANISH: (self.spanish, None)}

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; an id is book, chapter and verse, as `1Sam.3.4`."""
        import pandas as pd

        names = ["id", "prompt", "target"]
        return {
            name: pd.DataFrame([(one.id, *_texts(one)) for one in pairs], columns=names)
            for name, pairs in self._found(folder, Counter()).items()
        }

    def dropped(self, folder: Path) -> dict[str, int]:
        """See the contract."""
        self._found(folder, dropped := Counter[str]())
        return {reason: count for reason, count in dropped.items() if count}

    def _found(self, folder: Path, dropped: Counter[str]) -> _Splits:
        """The splits; what is in none is counted."""
        pairs = [*self._kept(folder, dropped)]
        if not pairs:
            raise ValueError("the two modules have no verse in common")
        families = [_FAMILY_OF.get(one.place.book, one.place.book) for one in pairs]
        shares: dict[SplitName, float] = {"test": self.test, "validation": self.validation}
        sizes, most = Counter(families), min(shares.values()) * len(pairs)
        order = grouped(families, self.split_seed)
        # A large family comes last: it would fill a split, and no other book would be tested.
        order.sort(key=lambda row: sizes[families[row]] > most)
        return self._apart(by_split(pairs, order, shares, families), dropped)

    def _kept(self, folder: Path, dropped: Counter[str]) -> Iterator[_Pair]:
        """The pairs of verses that are translations of each other; the others are counted."""
        english, spanish = read_verses(folder), read_verses(folder / _SPANISH)
        shared = [_Pair(at, english[at], spanish[at]) for at in spanish if at in english]
        whole = [one for one in shared if one.english and one.spanish]
        lacked = sum(bool(one.english) != bool(one.spanish) for one in shared)
        dropped["verses that one of the two lacks"] += lacked
        divided_otherwise = _divided_otherwise(shared)
        for pair in whole:
            if pair.place[:2] in divided_otherwise:
                dropped["verses of chapters that the two divide otherwise"] += 1
            elif not pair.is_even:
                dropped["pairs of which one is much longer"] += 1
            elif pair.words > self.longest:
                dropped[f"verses of more than {self.longest} words"] += 1
            else:
                yield pair

    def _apart(self, splits: Mapping[SplitName, _Pairs], dropped: Counter[str]) -> _Splits:
        """The splits as far as their limits, no pair of which reads like one of a later split."""
        found, later = _Splits(), _Pairs()
        for name in reversed(SPLITS):
            once = [*{_reading(pair): pair for pair in reversed(splits[name])}.values()][::-1]
            like = _like(once, later)
            apart = [pair for pair in once if pair not in like]
            found[name] = self._drawn(apart, self._limit(name))
            later += found[name]
            for reason, lost in (
                ("pairs that read the same", len(splits[name]) - len(once)),
                ("pairs that read like one of a later split", len(like)),
                (f"pairs beyond the limit of {self._limit(name)}", len(apart) - len(found[name])),
            ):
                dropped[f"{name}: {reason}"] += lost
        return {name: found[name] for name in SPLITS}

    def _limit(self, name: SplitName) -> int | None:
        limits = {"train": self.train_limit, "validation": self.validation_limit}
        return limits.get(name, self.test_limit)

    def _drawn(self, pairs: _Pairs, limit: int | None) -> _Pairs:
        """As many pairs as the limit says, in their order."""
        drawn = sorted(pairs, key=lambda one: order_key(one.id, self.split_seed))
        taken = set(drawn[:limit])
        return [one for one in pairs if one in taken]


def _texts(pair: _Pair) -> tuple[str, str]:
    """Prompt and target."""
    return f"Translate into Spanish: {pair.english}", pair.spanish


def _divided_otherwise(shared: Iterable[_Pair]) -> set[tuple[str, int]]:
    """The chapters in which verse n of the one is not verse n of the other.

    They are those of which the two have another number of verses, and the ones that follow them,
    where a verse may have gone to; and those in which several pairs have uneven lengths.
    """
    more, uneven = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for pair in shared:
        chapter = (pair.place.book, pair.place.chapter)
        more[chapter] += bool(pair.english) - bool(pair.spanish)
        uneven[chapter] += bool(pair.english and pair.spanish) and not pair.is_even
    shifted = {chapter for chapter, count in more.items() if count}
    following = {(book, number + 1) for book, number in shifted}
    return shifted | following | {one for one, count in uneven.items() if count >= _PARTED}


def _reading(pair: _Pair) -> tuple[str, str]:
    return normalised(pair.english), normalised(pair.spanish)


def _like(pairs: _Pairs, later: _Pairs) -> set[_Pair]:
    """Those that read like one of the others in either language, or nearly so in both."""
    from kinds.inputs.duplicates import readings, text_matches

    known = {reading for pair in later for reading in _reading(pair)}
    same = {pair for pair in pairs if not known.isdisjoint(_reading(pair))}
    near = text_matches(readings(map(_texts, later)), readings(map(_texts, pairs)))
    return same | {pairs[match.second] for match in near}
