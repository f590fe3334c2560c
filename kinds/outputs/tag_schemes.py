"""Schemes by which tags of words name entities, each as seqeval reads it in its strict mode.

A tag is `O`, or a sign and the type of an entity, as `B-PER`. IOB1, IOE1 and their like are of
Ramshaw and Marcus 1995 (cmp-lg/9505040), IOB2 and IOE2 of Tjong Kim Sang and Veenstra 1999
(cs/9907006); BIOES is also called IOBES, and BILOU and BMES are the same with other letters. What
stands in brackets is read as IOB2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, NamedTuple

from kinds.contract import SettingError
from kinds.outputs.tag_brackets import bracket_among

Scheme = Literal["IOB1", "IOB2", "IOE1", "IOE2", "BIOES", "BILOU", "BMES", "brackets", "plain"]
PLAIN: Scheme = "plain"
"""The scheme of tags that name no entities."""
BRACKETS: Scheme = "brackets"
"""That of files whose tags are brackets, of which tags by IOB2 are made as they are read."""
READ_AS: Mapping[Scheme, Scheme] = {BRACKETS: "IOB2", "BMES": "BIOES"}
"""What seqeval calls a scheme that it has by other letters."""
OUTSIDE = "O"
_TAG = re.compile(r"(?P<sign>[BIESLUM])(-(?P<type>.+))?")
_OTHERWISE = re.compile(r"[BIESLUMW][_:./].+|.+[-_:./][BIESLUMW]")
"""A sign and a type as some write them, whom no scheme here reads."""
_USUAL: tuple[Scheme, ...] = ("IOB2", "BIOES")
_ALIKE: set[Scheme] = {"IOB1", "IOE1"}
"""Schemes that are one where no tag has the sign B or E, as where both have all tags."""
Entity = tuple[str, int, int]
"""Its type, its first word, and the one behind its last."""


class Step(NamedTuple):
    """What a tag does, by the tag before it."""

    begins: bool
    goes_on: bool
    ends: bool
    """Whether what has not gone on is an entity that ended with the tag before."""


@dataclass(frozen=True)
class Grammar:
    """When an entity begins, goes on and ends, by the signs of a word's tag and of the one before.

    A rule is the sign before, the sign, and whether the types are the same (=), others (!) or
    either (*); a dot stands for any sign. What neither goes on nor ends by a rule is no entity.
    """

    signs: str
    begins: str
    goes_on: str
    ends: str

    def entities(self, tags: Sequence[str | None]) -> set[Entity]:
        """The entities of a sequence; None, and a tag of another scheme, stands for `O`."""
        found, start = set[Entity](), None
        for at, (before, tag) in enumerate(pairwise((OUTSIDE, *tags, OUTSIDE))):
            step = _step(self, before, tag)
            if start is not None and step.goes_on:
                continue
            if start is not None and step.ends:
                found.add((_parts(tags[start])[1], start, at))
            start = at if step.begins else None
        return found

    def misfit(self, tags: Sequence[str]) -> str | None:
        """The first tag that is none of the scheme, or in no entity; None where there is none."""
        if unknown := next((tag for tag in tags if not self.has([tag])), None):
            return f"{unknown!r} is no tag of it"
        inside = {at for _, start, end in self.entities(tags) for at in range(start, end)}
        for at, tag in enumerate(tags):
            if tag != OUTSIDE and at not in inside:
                around = (OUTSIDE, *tags, OUTSIDE)
                return f"{tag!r} between {around[at]!r} and {around[at + 2]!r} is in no entity"
        return None

    def has(self, tags: Iterable[str]) -> bool:
        """Whether the scheme has all of these tags."""
        return all(tag == OUTSIDE or _parts(tag)[0] in self.signs for tag in tags)


def _parts(tag: str | None) -> tuple[str, str]:
    """The sign and the type, which a tag may lack."""
    found = _TAG.fullmatch(tag or OUTSIDE)
    return (found["sign"], found["type"] or "") if found else (OUTSIDE, "")


@cache
def _step(grammar: Grammar, before: str | None, tag: str | None) -> Step:
    """What the rules say of a tag behind another."""
    (first, kind_before), (second, kind) = (
        (sign, kind) if sign in grammar.signs else (OUTSIDE, "")
        for sign, kind in map(_parts, (before, tag))
    )
    types = ("*", "=" if kind_before == kind else "!")
    apt = {f"{a}{b}{c}" for a in (first, ".") for b in (second, ".") for c in types}
    return Step(
        *(bool(apt & {*one.split()}) for one in (grammar.begins, grammar.goes_on, grammar.ends))
    )


_CHUNKS = (".B* .S*", "BI= BE= II= IE=", "S.* E.*")
GRAMMARS: Mapping[Scheme, Grammar] = {
    "IOB1": Grammar("BI", "OI* II! BI* IB= BB=", "BI= II=", "II! IO* IB* BO* BI! BB="),
    "IOB2": Grammar("BI", ".B*", "BI= II=", "IO* II! IB* BO* BI! BB*"),
    "IOE1": Grammar("IE", "OI* II! EI* EE=", "II= IE=", "II! IO* IE! EI= EE="),
    "IOE2": Grammar("IE", "OI* OE* EI* EE* II! IE!", "IE= II=", "E.*"),
    "BIOES": Grammar("BIES", *_CHUNKS),
    "BILOU": Grammar("BILU", *(part.translate(str.maketrans("ES", "LU")) for part in _CHUNKS)),
    "BMES": Grammar("BMES", *(part.translate(str.maketrans("I", "M")) for part in _CHUNKS)),
}
Rows = Sequence[tuple[str, Sequence[str]]]
"""Where each row stands, and its tags."""


def scheme_of(rows: Rows, labels: Sequence[str], given: Scheme | None) -> Scheme:
    """The scheme by which all rows name entities, held against the one that is given.

    `labels` are all tags that there may be. Raises SettingError where the rows do not fit what is
    given, fit no scheme, or several by which the scores of predictions would differ.
    """
    if given in (PLAIN, BRACKETS):
        return given
    if given is None and not names_entities(labels):
        _check_plain(labels)
        return PLAIN
    possible = [name for name, one in GRAMMARS.items() if one.has(labels)]
    fitting = [name for name in possible if _fit(rows, GRAMMARS[name])]
    if given is None and {"BIOES", "BMES"} <= {*fitting}:
        fitting.remove("BMES")  # of entities of one or two words no sign differs
    if given in fitting:
        return given
    if given is not None:
        raise _misfit(f'"{given}" is not allowed', rows, labels, [given], fitting)
    if not fitting:
        least = min((len(GRAMMARS[name].signs) for name in possible), default=0)
        nearest = [name for name in possible if len(GRAMMARS[name].signs) == least]
        raise _misfit("the tags fit none", rows, labels, nearest or _USUAL, [])
    if len(fitting) > 1 and not {*fitting} <= _ALIKE:
        every = ", ".join(fitting)
        problem = f"the tags fit {every}, by which scores differ; allowed: one of these"
        raise SettingError("scheme", problem)
    return fitting[0]


def _check_plain(labels: Sequence[str]) -> None:
    """Refuse tags that name entities in a way that no scheme has. Raises SettingError."""
    if (bracket := bracket_among(labels)) is not None:
        allowed = f"allowed: {BRACKETS}, which reads entities of them, or {PLAIN}"
        raise SettingError("scheme", f"{bracket!r} is a bracket; {allowed}")
    others = [label for label in labels if label.upper() != OUTSIDE]
    is_small = OUTSIDE not in labels and are_of_entities([label.upper() for label in labels])
    is_other = is_small or all(map(_OTHERWISE.fullmatch, others))
    if 0 < len(others) < len(labels) and is_other:
        allowed = f"a sign, a dash and a type, as B-PER; or {PLAIN}, which scores single words"
        raise SettingError("scheme", f"{others[0]!r} is of no scheme; allowed: {allowed}")


def names_entities(labels: Sequence[str]) -> bool:
    """Whether tags look like those of a scheme: some have sign and type, or all but O a sign.

    Without an O they are signs where each word of a text is an entity, as by BMES.
    """
    others = [label for label in labels if label != OUTSIDE]
    is_bare = 0 < len(others) < len(labels) and {*others} <= {*"BIESLUM"}
    is_bare = is_bare or {*"BES"} <= {*labels} <= {*"BIES"} or {*"BES"} <= {*labels} <= {*"BMES"}
    return is_bare or any(_parts(label)[1] for label in others)


def are_of_entities(labels: Sequence[str]) -> bool:
    """Whether all of some tags are of one scheme, and name entities."""
    return names_entities(labels) and any(one.has(labels) for one in GRAMMARS.values())


def _fit(rows: Rows, grammar: Grammar) -> bool:
    return all(grammar.misfit(tags) is None for _, tags in rows)


def _misfit(
    what: str, rows: Rows, labels: Sequence[str], names: Sequence[Scheme], fitting: Sequence[Scheme]
) -> SettingError:
    """What is at odds with each of some schemes: a tag that it lacks, or the first row."""
    reasons = []
    for name in names:
        one = GRAMMARS[name]
        unknown = (f"{tag!r} is no tag of it" for tag in labels if not one.has([tag]))
        found = (f"{place}: {why}" for place, tags in rows if (why := one.misfit(tags)))
        reasons.append(f"of {name} {next(found, None) or next(unknown)}")
    allowed = ", ".join((*fitting, f"{PLAIN}, which scores single words"))
    return SettingError("scheme", f"{what}: {'; '.join(reasons)}; allowed: {allowed}")
