"""The anatomies of models that are planned: looked up, or found by one process that loads torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from finegrid.models.anatomy import Anatomy, of_network
from finegrid.models.blueprint import Blueprint, Description, DescriptionError, Purpose
from finegrid.models.family import family_module
from finegrid.records.identity import content_hash
from finegrid.records.source import source_digest
from finegrid.records.specification import Model, model_key

FOLDER = "anatomies"
_DISCOVERY = "finegrid.models.describe"
_KNOWN: dict[str, Description] = {}
"""What this process has found: many parts of it ask for the same models."""


def _in_a_process(blueprints: Sequence[Blueprint]) -> list[Description]:
    """The answers of a process of its own, which loads torch, to questions of one line each."""
    done = subprocess.run(  # noqa: S603  # our own interpreter, arguments without a shell
        [sys.executable, "-m", _DISCOVERY],
        input="".join(one.model_dump_json() + "\n" for one in blueprints),
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [Description.model_validate_json(line) for line in done.stdout.splitlines()]
    words = "".join(done.stderr.strip().splitlines()[-1:])
    lost = f"its anatomy was not found: discovery ended with exit code {done.returncode}: {words}"
    return answers + [Description(problem=lost)] * (len(blueprints) - len(answers))


discovery: Callable[[Sequence[Blueprint]], list[Description]] = _in_a_process
"""What finds those that no one has found before."""


@dataclass(frozen=True)
class Anatomies:
    """Descriptions of models, kept in a folder once the results that it lies in exist."""

    folder: Path | None = None
    _models: dict[tuple[str, Purpose], Anatomy] = field(default_factory=dict, compare=False)
    """Looked up once by the key of a model and its purpose, for thousands of runs."""

    @classmethod
    def kept(cls, results: str | Path) -> Anatomies:
        """Those that are kept with the prepared models of a folder of results."""
        return cls(Path(results) / "prepared" / FOLDER)

    def __call__(self, blueprints: Sequence[Blueprint]) -> list[Description]:
        """What is known of each; all that is not is found at once."""
        keys = [_key(one) for one in blueprints]
        missing = {
            key: one for key, one in zip(keys, blueprints, strict=True) if not self._knows(key)
        }
        found = discovery(list(missing.values())) if missing else []
        _KNOWN.update(zip(missing, found, strict=True))
        if self.folder is not None and self.folder.parents[1].is_dir():
            self.keep(keys)  # to look at a benchmark that has no results leaves no files
        return [_KNOWN[key] for key in keys]

    def of(self, model: Model, purpose: Purpose) -> Anatomy:
        """The anatomy of one model for a purpose. Raises DescriptionError."""
        if model.widths is not None:
            return of_network(model.widths, str(model.configuration["model_type"]))
        if (key := (model_key(model), purpose)) not in self._models:
            (found,) = self([Blueprint.of(model, purpose)])
            if found.anatomy is None:
                raise DescriptionError(f"model {model.name!r}: {found.problem}")
            self._models[key] = found.anatomy
        return self._models[key]

    def keep(self, keys: Iterable[str] | None = None) -> None:
        """Write down the anatomies of these keys, or all that this process has found."""
        if self.folder is None:
            return
        with suppress(OSError):  # a folder that is only read costs time, and no number
            for key in _KNOWN if keys is None else keys:
                path = self._path(key)
                if path is not None and _KNOWN[key].anatomy is not None and not path.exists():
                    _KNOWN[key].write(path)

    def _knows(self, key: str) -> bool:
        path = self._path(key)
        if key not in _KNOWN and path is not None and path.is_file():
            with suppress(OSError, ValidationError):  # a damaged file is made again
                _KNOWN[key] = Description.read(path)
        return key in _KNOWN

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.json"


def _key(blueprint: Blueprint) -> str:
    """A hash of all that decides the description."""
    return content_hash(
        {
            "blueprint": blueprint.model_dump(mode="json"),
            "transformers": version("transformers"),
            "source": _source(family_module(blueprint.configuration)),
        }
    )


@cache
def _source(family: str) -> str:
    """The digest of discovery with a family's corrections; another family's change nothing."""
    return source_digest([_DISCOVERY, family])
