"""The digest of source: what code does counts, how it is written does not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finegrid.metrics.registry import modules
from finegrid.records import source
from finegrid.records.source import run_digest, source_digest

FILES = {
    "base.py": "VALUE = 1\n",
    "used.py": "from digest_of_the_test.base import VALUE\ndef double():\n    return 2 * VALUE\n",
    "unused.py": "VALUE = 3\n",
}
MODULE = "digest_of_the_test.used"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A room of three modules."""
    folder = tmp_path / "digest_of_the_test"
    folder.mkdir()
    for name, text in {"__init__.py": "", **FILES}.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.setattr(source, "ROOMS", (folder.name,))
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    """A process reads each file once; here the files change."""
    for cached in (source._path, source._imports, source._read):
        cached.cache_clear()


def digest_after(path: Path, text: str) -> str:
    path.write_text(text)
    _forget()
    return source_digest([MODULE])


@pytest.mark.parametrize(
    "text",
    [
        "# A remark.\n" + FILES["used.py"],
        '"""What it does."""\n' + FILES["used.py"],
        FILES["used.py"].replace("    return", '    """Twice."""\n    return'),
        FILES["used.py"].replace("2 * VALUE", "(2\n        * VALUE)  # in two lines"),
    ],
    ids=["comment", "docstring", "docstring of a function", "layout"],
)
def test_how_it_is_written_changes_nothing(package: Path, text: str) -> None:
    before = source_digest([MODULE])
    assert digest_after(package / "used.py", text) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("used.py", "2 *", "3 *"), ("used.py", "double", "twice"), ("base.py", "1", "2")],
)
def test_what_it_does_changes_the_digest(package: Path, name: str, old: str, new: str) -> None:
    before = source_digest([MODULE])
    assert digest_after(package / name, FILES[name].replace(old, new)) != before


def test_what_is_not_imported_changes_nothing(package: Path) -> None:
    before = source_digest([MODULE])
    assert digest_after(package / "unused.py", "VALUE = 4\n") == before


def test_a_module_imported_by_name_from_its_package_counts(package: Path) -> None:
    text = "from digest_of_the_test import unused\n\nx = unused.VALUE\n"
    before = digest_after(package / "used.py", text)
    assert digest_after(package / "unused.py", "VALUE = 4\n") != before


def test_an_import_inside_a_function_counts(package: Path) -> None:
    text = "def f():\n    import digest_of_the_test.unused\n"
    before = digest_after(package / "used.py", text)
    assert digest_after(package / "unused.py", "VALUE = 4\n") != before


def test_a_circle_of_imports_ends(package: Path) -> None:
    assert digest_after(package / "base.py", "import digest_of_the_test.used\nVALUE = 1\n")


def test_the_order_of_modules_means_nothing(package: Path) -> None:
    modules = [MODULE, "digest_of_the_test.unused"]
    assert source_digest(modules) == source_digest(reversed(modules))
    assert source_digest(modules) != source_digest(modules[:1])


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        source_digest(["records.none"])


def test_a_run_depends_on_its_own_method_and_task_alone() -> None:
    digests = {run_digest(f"methods.{method}", "tasks.digits") for method in ("head", "full")}
    assert len(digests) == 2
    closure = source._closure(["finegrid.training.run", "methods.head"])
    assert {
        "finegrid.training.loop",
        "methods.head",
        "methods.contract",
        "finegrid.records.result",
    } <= closure
    assert not {"methods.full", "tasks.digits"} & closure


@pytest.mark.parametrize(
    ("edited", "decides"),
    [
        ("metrics/accuracy/accuracy.py", True),
        ("metrics/accuracy/__init__.py", True),
        ("metrics/contract.py", True),
        ("metrics/f1/f1.py", False),
    ],
)
def test_the_metrics_of_its_task_decide_a_run_and_no_others(
    edited: str, decides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["methods.head", *modules(["accuracy"])]
    before = run_digest(*own)
    plain = source._tree
    monkeypatch.setattr(
        source, "_tree", lambda path: plain(path) + "x" * path.as_posix().endswith(edited)
    )
    assert (run_digest(*own) != before) == decides
