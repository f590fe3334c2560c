"""The docstrings of a wheel's modules, as texts: nothing of the wheel is imported or run.

The wheel is read as the archive that it is, one module after another, and each module by Python's
parser alone. No file is written.
"""

from __future__ import annotations

import ast
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from finegrid.records.identity import file_sha256

_MOST_BYTES = 1 << 20
"""Of a module that is read; the largest of sympy, networkx, scipy and scikit-learn has 446,778."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which no file can hold."""
_MODULE, _PACKAGE = ".py", "__init__"
_TESTS = ("test", "tests", "conftest")
_BROKEN = (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError)
"""What reading a damaged archive raises, or an encrypted one."""
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How the files of wheels are packed; of other methods zipfile unpacks more than is asked for."""
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What the parser raises: also of bytes that are no text, and of what is nested too deeply for its
stack, which some versions of Python call a lack of memory."""
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_BRANCHES = ("body", "orelse", "handlers", "finalbody", "cases")
"""Where statements stand in others; no definition stands in an expression."""


class Docstring(NamedTuple):
    """What a module, class or function says of itself."""

    module: str
    name: str
    """Of the class or function below its module; blank for the module's own."""
    text: str

    @property
    def key(self) -> str:
        """Module and object, as in `package.module:Class.method`."""
        return f"{self.module}:{self.name}" if self.name else self.module


class Read(NamedTuple):
    """The docstrings of a wheel, in the order of their modules, and what was not read."""

    docstrings: tuple[Docstring, ...]
    dropped: Counter[str]


def docstrings_of(wheel: Path) -> Read:
    """The docstrings of the modules of a wheel but its tests.

    Of an object that is defined several times the first counts. Raises ValueError for a file that
    is no archive, or a damaged one.
    """
    return _read(wheel, file_sha256(wheel))


@lru_cache(maxsize=1)
def _read(wheel: Path, _sha256: str) -> Read:
    """The docstrings of a wheel of that hash: read once for its splits and for what is dropped."""
    found, dropped = dict[str, Docstring](), Counter[str]()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in sorted(archive.infolist(), key=lambda one: one.filename):
                if module := _module(info.filename):
                    for one in _of_module(archive, info, module, dropped):
                        _add(one, found, dropped)
    except _BROKEN as error:
        raise ValueError(f"{wheel.name}: {error}; allowed: a wheel, whole") from error
    return Read(tuple(found.values()), dropped)


def _add(one: Docstring, found: dict[str, Docstring], dropped: Counter[str]) -> None:
    """Take a docstring, or count it."""
    if _HALF.search(one.text):
        dropped["docstrings that are no Unicode"] += 1
    elif one.key in found:
        dropped["docstrings of objects that are defined again"] += 1
    else:
        found[one.key] = one


def _module(name: str) -> str | None:
    """The module that lies at a path of a wheel; None where no import would find one."""
    parts = name.removesuffix(_MODULE).split("/")
    if not name.endswith(_MODULE) or not all(map(str.isidentifier, parts)):
        return None
    return ".".join(parts[:-1] if parts[-1] == _PACKAGE and parts[:-1] else parts)


def _of_module(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, module: str, dropped: Counter[str]
) -> Iterator[Docstring]:
    """The docstrings of a module; a module that is left out is counted."""
    if any(part in _TESTS or part.startswith("test_") for part in module.split(".")):
        dropped["modules of tests"] += 1
        return
    content = _content(archive, info)
    if len(content) > _MOST_BYTES:
        dropped[f"modules of more than {_MOST_BYTES} bytes"] += 1
        return
    try:
        tree = _parsed(content)
    except _UNREADABLE:
        dropped["modules whose syntax Python does not read"] += 1
        return
    yield from _documented(tree, module)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The beginning of a file, whatever size the archive claims. Raises what `_BROKEN` lists."""
    if info.compress_type not in _PACKED:
        raise zipfile.BadZipFile(f"{info.filename} is packed by method {info.compress_type}")
    with archive.open(info) as stream:
        return stream.read(_MOST_BYTES + 1)


def _parsed(content: bytes) -> ast.Module:
    """The syntax tree of a module in UTF-8. Raises what `_UNREADABLE` lists.

    Python's warnings of the text, such as of `\\d` in a plain string, are for its author, whose
    words they do not change; where a user has made errors of warnings, they would make the rows
    depend on that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(content.decode("utf-8-sig"))


def _documented(tree: ast.Module, module: str) -> Iterator[Docstring]:
    """The docstrings of a module, its classes and functions, in the order of their lines."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, name = waiting.pop()
        if isinstance(node, _DEFINITIONS):
            name = f"{name}.{node.name}" if name else node.name
        if isinstance(node, (ast.Module, *_DEFINITIONS)) and (text := ast.get_docstring(node)):
            yield Docstring(module, name, text)
        waiting.extend((one, name) for one in reversed(_below(node)))


def _below(node: ast.AST) -> list[ast.AST]:
    """The statements that stand in one, in the order of their lines."""
    return [one for branch in _BRANCHES for one in getattr(node, branch, ()) or ()]
