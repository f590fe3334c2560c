"""Docstrings of wheels: made ones with each case, and those of packages that many have."""

import ast
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import SPLITS, PreparedTask
from finegrid.records.specification import Source, Task
from kinds.inputs.words import normalised
from kinds.registry import kind_named
from tasks.headlines import Headlines, OfDocstrings, SourceHeadlines
from tests.tasks.wheels import BODY, function, many, wheel


def rows_of(task: OfDocstrings, folder: Path) -> dict[str, tuple[str, str]]:
    """Id -> what a model is given, and the headline."""
    rows = pd.concat(task.read(folder).values())
    return {key: (given, headline) for key, given, headline in rows.itertuples(index=False)}


def dropped(folder: Path, source: str, **options: Any) -> dict[str, int]:
    """What is left out of a module beside others, by the reason."""
    wheel(folder, many() | {"boxed/own.py": source})
    return Headlines(**options).dropped(folder)


def test_what_follows_a_headline_asks_for_it(tmp_path: Path) -> None:
    wheel(tmp_path, many() | {"boxed/own.py": function("f", "Take words\n    in two lines.")})
    given, headline = rows_of(Headlines(), tmp_path)["boxed.own:f"]
    assert headline == "Take words in two lines."
    ask = "Write the headline of this documentation, in one line:\n"
    assert given == ask + BODY.format("f")
    assert rows_of(SourceHeadlines(), tmp_path)["boxed.own:f"] == (BODY.format("f"), headline)


OBJECTS = '''
"""Say what the module does.

{}"""


class C:
    if True:

        async def f(self):
            """Say what the method does.

            {}"""

    class D:
        """Say what the class does.

        {}"""
'''.format(*(BODY.format(name) for name in ("module", "method", "class")))


def test_an_id_names_module_and_object(tmp_path: Path) -> None:
    known = set(rows_of(Headlines(), wheel(tmp_path, many()).parent))
    wheel(tmp_path, many() | {"boxed/__init__.py": OBJECTS, "boxed/sub/__init__.py": function("g")})
    found = set(rows_of(Headlines(), tmp_path))
    assert found - known == {"boxed", "boxed:C.f", "boxed:C.D", "boxed.sub:g"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (function("f", body=""), "headlines without prose below"),
        (function("f", "Too few words."), "headlines of fewer than 4 or more than 25 words"),
        (function("f", "many " * 26), "headlines of fewer than 4 or more than 25 words"),
        (function("f", "It does as follows:"), "headlines that go on below"),
        (function("f", "A sum defined as\n    .. math:: 1"), "headlines that go on below"),
        (function("f", body="Few words."), "bodies of fewer than 20 words"),
        (function("f", body="many " * 101), "bodies of more than 100 words"),
        (function("f", "As *a* body need!"), ""),
        (function("f", "Words of *F* that: no other"), "headlines that their body holds"),
        (function("f", body=BODY.replace("{}", "F3")), "duplicates"),
        (function("f", body=BODY + "\n\n    .. deprecated:: 1.0"), "notes of deprecation"),
        (function("f", "DEPRECATED: take another one."), "notes of deprecation"),
        (function("f", "Fill in %(name)s with more."), "texts that code fills in"),
        (function("f", "Title of it all\n    ==="), "docstrings that begin with no sentence"),
        (function("f") + function("f"), "docstrings of objects that are defined again"),
        ("def f(:", "modules whose syntax Python does not read"),
    ],
)
def test_what_is_left_out_is_counted_by_its_reason(
    tmp_path: Path, source: str, reason: str
) -> None:
    assert dropped(tmp_path, source) == ({reason: 1} if reason else {})


def test_tests_and_what_is_no_module_are_not_read(tmp_path: Path) -> None:
    names = ("tests/own", "sub/test_own", "conftest", "test/own", "testing/own", "own-1/x", "2/x")
    wheel(tmp_path, many() | {f"boxed/{name}.py": function("f") for name in names})
    assert set(rows_of(Headlines(), tmp_path)) & {"boxed.testing.own:f", "boxed.own-1.x:f"} == {
        "boxed.testing.own:f"
    }
    assert Headlines().dropped(tmp_path) == {"modules of tests": 4}


def test_a_group_of_modules_is_in_one_split(tmp_path: Path) -> None:
    names = [f"boxed/p{at % 9}/m{at}/n" for at in range(60)]
    wheel(tmp_path, {f"{name}.py": function(f"f{at}") for at, name in enumerate(names)})
    for depth, count in ((2, 9), (3, 60)):
        splits = Headlines(depth=depth).read(tmp_path).values()
        groups = [{".".join(key.split(".")[:depth]) for key in rows["id"]} for rows in splits]
        assert sum(map(len, groups)) == len(set.union(*groups)) == count
    with pytest.raises(ValueError, match="of 60 rows"):
        Headlines(depth=1).read(tmp_path)


def test_no_headline_of_a_later_split_is_learnt(tmp_path: Path) -> None:
    wheel(tmp_path, many(40))
    before = Headlines().read(tmp_path)
    ids = {name: before[name]["id"][0].partition(":")[2] for name in SPLITS}
    sources = {
        f"boxed/m{name[1:]}.py": function(name, "Say THE same twice.") for name in ids.values()
    }
    wheel(tmp_path, many(40) | sources)
    after = Headlines().read(tmp_path)
    assert {name: len(before[name]) - len(after[name]) for name in SPLITS} == {
        "train": 1,
        "validation": 1,
        "test": 0,
    }
    assert Headlines().dropped(tmp_path) == {
        "train: headlines of a later split": 1,
        "validation: headlines of a later split": 1,
    }


def test_a_wheel_without_pairs_is_one_clear_error(tmp_path: Path) -> None:
    path = wheel(tmp_path, {"boxed/a.py": function("f", body=""), "boxed/data.csv": "1"})
    with pytest.raises(ValueError, match=f"{path.name}: none of 1 docstrings has a headline and"):
        Headlines().read(tmp_path)


def test_another_number_of_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 wheels; allowed: one, as of the source wheel:<"):
        Headlines().read(tmp_path)


def test_how_headlines_are_asked_for_and_written_reaches_the_kind() -> None:
    task = Headlines(template="{prompt}\nA: ", max_new_tokens=7)
    for one in (task, SourceHeadlines(max_new_tokens=7)):
        kind: Any = kind_named(one.kind, one.kind_options)
        decoding = kind.output.decoding
        assert (decoding.max_new_tokens, decoding.stop_strings) == (7, ("\n",))
        assert decoding.temperature is None
    kind = kind_named(task.kind, task.kind_options)
    assert kind.inputs.encoding.template == "{prompt}\nA: "


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [("headlines", "causal-lm", "prompt"), ("headlines-seq2seq", "seq2seq", "source")],
)
def test_either_kind_of_model_is_given_its_column(
    name: str, kind: str, column: str, tmp_path: Path
) -> None:
    source = Source(uri=f"path:{wheel(tmp_path, many())}")
    manifest = prepare_task(Task(name="t", task=name, source=source), tmp_path / "t")
    assert (manifest.kind, manifest.metrics[0]) == (kind, "rouge_l")
    assert {one: split.n for one, split in manifest.splits.items()} == {
        "train": 12,
        "validation": 3,
        "test": 5,
    }
    rows = pd.read_parquet(tmp_path / "t" / "test.parquet")
    assert list(rows.columns) == ["id", column, "target"]


# The wheels of packages


REAL = {
    "networkx==3.6.1": {
        "networkx-3.6.1-py3-none-any.whl": (
            "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762"
        )
    },
    "sympy==1.14.0": {
        "sympy-1.14.0-py3-none-any.whl": (
            "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5"
        )
    },
}
"""Packages that torch itself asks for, of modules in pure Python."""


def prepared(name: str, tmp_path: Path, **options: Any) -> PreparedTask:
    source = Source(uri=f"wheel:{name}", sha256=REAL[name])
    task = Task(name="real", task="headlines", options=options, source=source)
    return prepare_task(task, tmp_path / "real", cache=tmp_path / "cache")


def counted(path: Path) -> int:
    """The docstrings of modules that are no tests, counted apart."""
    found = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            parts = name.removesuffix(".py").split("/")
            if name.endswith(".py") and not any(
                one in ("test", "tests", "conftest") or one.startswith("test_") for one in parts
            ):
                nodes = ast.walk(ast.parse(archive.read(name)))
                kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
                found += sum(
                    bool(ast.get_docstring(one)) for one in nodes if isinstance(one, kinds)
                )
    return found


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("networkx==3.6.1", 3),
        pytest.param(
            *("sympy==1.14.0", 2),
            marks=pytest.mark.thorough("test_every_docstring_is_an_example_or_is_counted"),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_every_docstring_is_an_example_or_is_counted(name: str, depth: int, tmp_path: Path) -> None:
    manifest = prepared(name, tmp_path, depth=depth)
    [wheel_name] = REAL[name]
    modules = {"modules of tests", "modules whose syntax Python does not read"}
    left_out = sum(count for reason, count in manifest.dropped.items() if reason not in modules)
    kept = sum(split.n for split in manifest.splits.values())
    assert kept + left_out == counted(tmp_path / "cache" / wheel_name)
    rows = {name: pd.read_parquet(tmp_path / "real" / f"{name}.parquet") for name in SPLITS}
    bodies = Counter(text for part in rows.values() for text in map(normalised, part["prompt"]))
    assert max(bodies.values()) == 1
    headlines = [set(map(normalised, part["target"])) for part in rows.values()]
    assert sum(map(len, headlines)) == len(set.union(*headlines))
    assert min(split.n for split in manifest.splits.values()) > 80
    assert [one.exact for one in manifest.overlaps] == [0, 0, 0]


@pytest.mark.thorough("test_every_docstring_is_an_example_or_is_counted")
def test_of_sympy_no_split_has_a_near_copy_of_another_s(tmp_path: Path) -> None:
    assert [one.near for one in prepared("sympy==1.14.0", tmp_path).overlaps] == [0, 0, 0]
