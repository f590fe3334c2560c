"""The start of a new method: its file, from a template that no contract test accepts."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from finegrid.problems import SAFE_NAME, refused
from finegrid.records.base import NAME_PATTERN
from finegrid.records.write import write_text
from methods.registry import METHODS

TEMPLATE = Path(__file__).with_name("method.py.template")
NEXT = {
    "methods/contract.py": "what a method is asked for",
    "finegrid/models/layers.py": "the layers of a model, by role",
    "methods/injection.py": "adding parameters and hooks",
    "tests/methods/cases.py": "what is tested, and SETTINGS for more settings",
}
"""Files to read for whoever fills the template in."""


class ScaffoldError(ValueError):
    """A name that cannot become a method."""


def new_method(name: str, folder: Path) -> Path:
    """Write `<folder>/<name>.py`. Raises ScaffoldError for a bad or taken name, or OSError."""
    module = name.replace("-", "_")
    if not re.fullmatch(NAME_PATTERN, name):
        raise ScaffoldError(f"name: {refused(name, f'allowed: {SAFE_NAME}')}")
    if not module.isidentifier() or keyword.iskeyword(module):
        allowed = "allowed: what Python can import, so a letter first, no '.', no keyword"
        raise ScaffoldError(f"name: {refused(name, allowed)}")
    if name in METHODS:
        raise ScaffoldError(f"method {name!r} exists already, in {METHODS.origin(name)}")
    path = folder / f"{module}.py"
    if path.exists():
        raise ScaffoldError(f"{path} exists already")
    title = "".join(part[:1].upper() + part[1:] for part in module.split("_"))
    content = Template(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, content.substitute(name=name, title=title))
    return path
