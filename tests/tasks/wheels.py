"""Wheels with the docstrings that a test gives them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

WHEEL = "boxed-1.0-py3-none-any.whl"
BODY = (
    "It has words of {} that no other object says, and there are more than twenty of them in it, "
)
BODY += "which is as many as a body needs here."


def wheel(folder: Path, modules: Mapping[str, str | bytes]) -> Path:
    """A wheel of these files, by their names in it."""
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in modules.items():
            archive.writestr(name, text)
    return path


def function(name: str, headline: str = "", body: str = BODY) -> str:
    """The source of a function with a docstring."""
    said = f"{headline or f'Say what {name} does.'}\n\n    {body.format(name)}"
    return f'def {name}():\n    r"""{said}"""\n\n\n'


def many(count: int = 20) -> dict[str, str]:
    """Modules of one function each, so that every split has some."""
    return {f"boxed/m{at}.py": function(f"f{at}") for at in range(count)}
