"""Shell commands by their descriptions: the examples of the program eg, split by program."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field, JsonValue

from finegrid.records.prepared import SPLITS, SplitName
from kinds.inputs.words import normalised
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import by_split, grouped

if TYPE_CHECKING:
    import pandas as pd

_INDENT, _SESSION = "    ", "$ "
"""What stands before each line of code, and before what is typed where its output follows."""
_NEXT_CALL = re.compile(r"\|\|?|&&|;|\$\(|`|\bsudo\s|\bxargs\s")
"""Behind each of these a command calls another program."""
Share = Annotated[float, Field(gt=0, lt=1)]


class _Example(NamedTuple):
    """What a page says of one command of its program."""

    program: str
    description: str
    command: str


class _Found(NamedTuple):
    """The splits, and what is in none of them."""

    splits: dict[SplitName, list[tuple[str, _Example]]]
    """Examples with their ids."""
    dropped: Counter[str]


@register("shell-commands")
@dataclass(frozen=True)
class ShellCommands(Task):
    """What a command is to do, and which program does it -> the command.

    The examples of eg (github.com/srsudar/eg, under the MIT licence), a page of Markdown a program:
    a paragraph, and the indented line that it describes. Where a block shows a session, the command
    is the line behind its first `$`. All examples of a program are in one split, and a command that
    calls a program of a later split is in none, so that no program of the test split has been seen
    in training.
    """

    kind = "causal-lm"
    labels = ()
    metrics = ("chrf", "exact_match", "perplexity")

    template: str = "none"
    """What stands about a prompt, as `encoding.template` of a causal-lm task says it."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 48
    """The most tokens that are written of a command, greedily."""
    longest: Annotated[int, Field(ge=1)] = 200
    """Characters of a description up to which an example is taken: longer ones tell stories."""
    validation: Share = 0.15
    test: Share = 0.25
    """Shares of the examples, in whole programs."""
    split_seed: Annotated[int, Field(ge=0)] = 0

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """How prompts are written, and commands: greedily."""
        return {
            "encoding": {"template": self.template},
            "decoding": {"max_new_tokens": self.max_new_tokens},
        }

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; an id is the program with the number of the example on its page."""
        import pandas as pd

        names = ("id", "prompt", "target")
        return {
            name: pd.DataFrame(
                [(key, _prompt(one), one.command) for key, one in rows], columns=list(names)
            )
            for name, rows in self._found(folder).splits.items()
        }

    def dropped(self, folder: Path) -> dict[str, int]:
        """See the contract."""
        return dict(self._found(folder).dropped)

    def _found(self, folder: Path) -> _Found:
        dropped = Counter[str]()
        pages = sorted(folder.glob("*.md"))
        examples = [
            (f"{page.stem}-{number}", one)
            for page in pages
            for number, one in enumerate(self._kept(page, dropped), start=1)
        ]
        if not examples:
            raise ValueError(f"{len(pages)} pages hold no example; allowed: pages of eg, <name>.md")
        programs = [one.program for _, one in examples]
        shares: dict[SplitName, float] = {"test": self.test, "validation": self.validation}
        splits = by_split(examples, grouped(programs, self.split_seed), shares, programs)
        return _Found(_apart(splits, dropped), dropped)

    def _kept(self, page: Path, dropped: Counter[str]) -> Iterator[_Example]:
        """The examples of a page that are whole and said once; the others are counted."""
        seen = set[str]()
        for description, code in _described(page.read_text(encoding="utf-8")):
            command = _command(code)
            if not description:
                dropped["code without a description"] += 1
            elif command is None:
                dropped["several lines of code"] += 1
            elif len(description) > self.longest:
                dropped[f"descriptions of more than {self.longest} characters"] += 1
            elif (key := normalised(f"{description} {command}")) in seen:
                dropped["duplicates"] += 1
            else:
                seen.add(key)
                yield _Example(page.stem, description, command)


def _prompt(example: _Example) -> str:
    return f"Write one shell command with {example.program}: {example.description.rstrip(':')}"


def _described(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each block of code with the paragraph before it, blank where there is none."""
    description = ""
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.split("\n") if line.strip()]
        if lines and all(line.startswith(_INDENT) for line in lines):
            yield description, [line.removeprefix(_INDENT).rstrip() for line in lines]
            description = ""
        elif lines:
            is_title = lines[0].startswith("#")
            description = "" if is_title else " ".join(map(str.strip, lines))


def _command(code: Sequence[str]) -> str | None:
    """The one command of a block: its only line, or the one that is typed in a session."""
    if code[0].startswith(_SESSION):
        typed = [line for line in code if line.startswith(_SESSION)]
        return typed[0].removeprefix(_SESSION).strip() if len(typed) == 1 else None
    return code[0].strip() if len(code) == 1 else None


def _calls(command: str) -> set[str]:
    """The programs that a command calls, by the first word of each of its parts."""
    parts = (part.split() for part in _NEXT_CALL.split(command))
    return {words[0] for words in parts if words}


def _apart(
    splits: Mapping[SplitName, list[tuple[str, _Example]]], dropped: Counter[str]
) -> dict[SplitName, list[tuple[str, _Example]]]:
    """The splits without the commands that call a program of a later one, which are counted."""
    found, later = dict[SplitName, list[tuple[str, _Example]]](), set[str]()
    for name in reversed(SPLITS):
        found[name] = [row for row in splits[name] if not _calls(row[1].command) & later]
        if lost := len(splits[name]) - len(found[name]):
            dropped[f"{name}: commands that call a program of a later split"] += lost
        later |= {one.program for _, one in splits[name]}
    return {name: found[name] for name in SPLITS}
