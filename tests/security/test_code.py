"""What the project's own source never does: read a pickle, run text, start a shell."""

import io
import string
import tokenize
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.forbidden import forbidden

ROOT = Path(__file__).parents[2]
ROOMS = ("finegrid", "methods", "kinds", "tasks", "analysis", "workflow", "examples")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
RUNS_CODE = {"cwl", "notebook", "run", "script", "template_engine", "wrapper"}
"""Directives of Snakemake that run something else than a shell line."""
NUMBERS = {"threads"}
"""What a shell line may hold without `:q`: Snakemake itself makes sure that it is a number."""
DYNAMIC_IMPORTS = {"finegrid/__init__.py": 1, "finegrid/records/registry.py": 2}
"""File -> how many times it imports a module by a name that it computes."""

BAD = {
    "pickle": "import pickle",
    "pickle from": "from pickle import loads",
    "pickle renamed": "import pickle as p",
    "joblib": "from joblib import load",
    "marshal": "def f():\n    import marshal",
    "eval": "eval('1')",
    "exec": "exec(text)",
    "compile": "import builtins\nbuiltins.compile(t, '', 'exec')",
    "import": "__import__(name)",
    "torch.load": "import torch\ntorch.load(path)",
    "torch.load renamed": "from torch import load as read\nread(path)",
    "torch.load unsafe": "import torch as t\nt.load(path, weights_only=False)",
    "torch.load by a variable": "import torch\ntorch.load(path, weights_only=safe)",
    "numpy": "import numpy as np\nnp.load(path, allow_pickle=True)",
    "numpy by default": "import numpy\nnumpy.load(path)",
    "pandas": "import pandas as pd\npd.read_pickle(path)",
    "yaml": "import yaml\nyaml.load(text)",
    "yaml loader": "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "yaml positional": "import yaml\nyaml.load(text, yaml.FullLoader)",
    "yaml own": "import yaml\nclass L(yaml.Loader): ...\nyaml.load(text, Loader=L)",
    "yaml all": "import yaml\nyaml.load_all(text, yaml.Loader)",
    "yaml unsafe": "from yaml import unsafe_load\nunsafe_load(text)",
    "shell": "import subprocess\nsubprocess.run(line, shell=True)",
    "shell by a variable": "import subprocess\nsubprocess.Popen(line, shell=flag)",
    "system": "import os\nos.system(line)",
    "popen": "from os import popen\npopen(line)",
    "getoutput": "import subprocess as s\ns.getoutput(line)",
    "trust": "AutoModel.from_pretrained(name, trust_remote_code=True)",
    "trust by a variable": "f(name, trust_remote_code=flag)",
    "trust by default": "from transformers import AutoConfig\nAutoConfig.from_pretrained(name)",
    "trust by default, renamed": "from transformers import AutoModel as A\nA.from_config(c)",
    "loading script": "import datasets\ndatasets.load_dataset(name)",
    "extractall": "archive.extractall(folder)",
    "extract": "tarfile.open(path).extract(name)",
    "unpack": "import shutil\nshutil.unpack_archive(path)",
    "import from an archive": "from zipimport import zipimporter as z\nz(path).load_module(name)",
    "import by path": "from importlib.util import spec_from_file_location as s\ns('m', path)",
}
GOOD = {
    "model.eval": "model.eval()",
    "torch.load": "import torch\ntorch.load(path, weights_only=True)",
    "numpy": "import numpy as np\nnp.load(path, allow_pickle=False)",
    "yaml": "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)\nyaml.safe_load(text)",
    "yaml own": "import yaml\nclass L(yaml.SafeLoader): ...\nyaml.load(text, L)",
    "subprocess": "import subprocess\nsubprocess.run([a], shell=False)",
    "trust": "from transformers import AutoModel as A\nA.from_config(c, trust_remote_code=False)",
    "regular expression": "import re\nre.compile(text)",
}


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_what_is_forbidden_is_found(source: str) -> None:
    assert len(forbidden(source)) == 1


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_what_is_allowed_is_not_found(source: str) -> None:
    assert forbidden(source) == []


def test_the_project_s_source_holds_nothing_forbidden() -> None:
    found = {path.relative_to(ROOT).as_posix(): forbidden(path.read_text()) for path in SOURCES}
    assert len(found) > 80
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_modules_are_imported_by_computed_names_in_the_registry_alone() -> None:
    found = {}
    for path in SOURCES:
        lines = [line for line in path.read_text().splitlines() if "import_module(" in line]
        computed = [line for line in lines if 'import_module("' not in line]
        if computed:
            found[path.relative_to(ROOT).as_posix()] = len(computed)
    assert found == DYNAMIC_IMPORTS


# The lines of the shell


def tokens(path: Path) -> list[tokenize.TokenInfo]:
    """A rule file's tokens: Snakemake's language has those of Python."""
    return list(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))


def directives(path: Path) -> Iterator[tuple[str, list[tokenize.TokenInfo]]]:
    """Every `name:` that begins a line of a rule file, with the tokens up to the next one."""
    found, name, body = tokens(path), "", list[tokenize.TokenInfo]()
    for before, this, after in zip([None, *found], found, [*found[1:], None], strict=False):
        first = before is None or before.type in _LINE_ENDS
        if first and this.type == tokenize.NAME and after is not None and after.string == ":":
            yield name, body
            name, body = this.string, []
        else:
            body.append(this)
    yield name, body


_LINE_ENDS = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT)


def shell_lines(path: Path) -> Iterator[str]:
    """The whole text of each `shell:`; nothing but plain strings may make it up."""
    for name, body in directives(path):
        if name == "shell":
            parts = [token for token in body[1:] if token.string.strip()]
            parts = parts[: next((i for i, t in enumerate(parts) if _ends(t)), len(parts))]
            assert {token.type for token in parts} == {tokenize.STRING}, (path, parts)
            texts = [literal_eval(token.string) for token in parts]
            assert all(isinstance(text, str) for text in texts)
            yield "".join(texts)


def _ends(token: tokenize.TokenInfo) -> bool:
    """Whether something else than the strings of a shell line begins."""
    return token.type == tokenize.NAME or (token.type == tokenize.OP and token.string == "@")


def unquoted(line: str) -> list[str]:
    """The interpolations of a shell line that could be more than one plain word to the shell."""
    return [
        name
        for _, name, how, conversion in string.Formatter().parse(line)
        if name is not None and (conversion or (how != "q" and name not in NUMBERS))
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python {input:q} {threads} {params.x:q}", []),
        ("python {input}", ["input"]),
        ("python {params.x!r:q}", ["params.x"]),
        ("python {params.threads}", ["params.threads"]),
        ("python {input:u} {wildcards.run}", ["input", "wildcards.run"]),
        ("printf '{{}}' > {output:q}", []),
    ],
)
def test_an_interpolation_without_quoting_is_found(line: str, found: list[str]) -> None:
    assert unquoted(line) == found


def test_every_interpolation_of_every_shell_line_is_quoted() -> None:
    lines = [(path.name, line) for path in RULES for line in shell_lines(path)]
    assert len(lines) == sum(path.read_text().count("shell:") for path in RULES) > 8
    assert [(name, line) for name, line in lines if unquoted(line)] == []


def test_a_shell_line_starts_our_own_modules_alone() -> None:
    for line in (line for path in RULES for line in shell_lines(path)):
        for part in line.split(" | "):
            assert part.startswith(("printf %s {", "python -m ")), line
        assert not set(line) & set("$`;&()<"), line


def test_no_rule_runs_anything_but_a_shell_line() -> None:
    used = {name for path in [*RULES, ROOT / "Snakefile"] for name, _ in directives(path)}
    assert "shell" in used
    assert used & RUNS_CODE == set()
