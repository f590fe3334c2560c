"""A wheel that is read for its docstrings: nothing of it is run, unpacked or believed."""

import os
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from finegrid.prepare.task import main as prepare_task
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from finegrid.records.specification import Source, Task
from tasks.headlines import Headlines
from tasks.wheel_docstrings import docstrings_of
from tests.tasks.wheels import BODY, function, many, wheel


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that nothing may write."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def whole(archive: Path) -> Source:
    return Source(uri="wheel:boxed==1.0", sha256={archive.name: file_sha256(archive)})


def prepare(source: Source, cache: Path, output: Path) -> int:
    """Exit code of the command that prepares the task."""
    spec = cache / "task.json"
    Task(name="t", task="headlines", source=source).write(spec)
    return prepare_task(["--spec", str(spec), "--output", str(output), "--cache", str(cache)])


def hostile(canary: Path) -> dict[str, str]:
    """Modules, and what installers and test runners look for, that all write the canary."""
    attack = f"open({str(canary)!r}, 'a').write(__name__)\n"
    traps = {
        "boxed/__init__.py": f"{attack}{function('f')}",
        "boxed/own.py": f"@{attack.strip()}\n{function('g', body=BODY)}x = {attack}",
        "boxed/f_string.py": f'f"""Say it. {{{attack.strip()}}}"""\n',
        "boxed/cookie.py": f"# -*- coding: boxed.codec -*-\n{attack}",
        "boxed.pth": f"import os; {attack}",
        "boxed-1.0.data/scripts/run.py": attack,
        "boxed-1.0.dist-info/METADATA": "Name: boxed\nVersion: 1.0\n",
        "boxed-1.0.dist-info/entry_points.txt": "[finegrid.tasks]\nevil = boxed:f\n",
    }
    return traps | dict.fromkeys(("setup.py", "conftest.py", "sitecustomize.py"), attack)


def test_no_module_of_a_wheel_is_run_imported_or_written(tmp_path: Path, canary: Path) -> None:
    (cache := tmp_path / "cache").mkdir()
    archive = wheel(cache, many() | hostile(canary))
    loaded, path = set(sys.modules), list(sys.path)
    assert prepare(whole(archive), cache, tmp_path / "out") == 0
    assert sys.path == path
    assert not {name for name in set(sys.modules) - loaded if name.startswith("boxed")}
    left = {one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file()}
    splits = {f"out/{name}" for name in ("train", "validation", "test")}
    made = {f"{name}.parquet" for name in splits} | {f"out/{MANIFEST_FILE}"}
    assert left == made | {f"cache/{archive.name}", "cache/task.json"}
    found = {one.key for one in docstrings_of(archive).docstrings}
    assert {"boxed:f", "boxed.own:g"} < found


def test_the_modules_of_these_tests_are_traps(tmp_path: Path) -> None:
    """Else that they were not sprung would say nothing."""
    archive = wheel(tmp_path, hostile(tmp_path / "sprung"))
    code = "import sys; sys.path.insert(0, sys.argv[1]); import boxed"
    subprocess.run([sys.executable, "-c", code, str(archive)], check=True)
    assert (tmp_path / "sprung").read_text() == "boxed"


@pytest.mark.parametrize(
    "source",
    [
        *("def f(:\n", "'''open", "\0", "x = 1\n\0", "(" * 5000, "-" * 100_000 + "1"),
        *("a" + ".a" * 200_000, "not " * 100_000 + "1", "# -*- coding: latin-1 -*-\n'\xe9'"),
        *("print 1\n", b"\xff\xfe\x00", "if 1:\n\tx\n        y\n"),
    ],
    ids=range(12),
)
def test_a_module_that_python_does_not_read_is_counted(tmp_path: Path, source: str | bytes) -> None:
    content = source if isinstance(source, bytes) else source.encode("latin-1")
    archive = wheel(tmp_path, {"boxed/a.py": content, "boxed/b.py": function("f")})
    found = docstrings_of(archive)
    assert [one.key for one in found.docstrings] == ["boxed.b:f"]
    assert dict(found.dropped) == {"modules whose syntax Python does not read": 1}


def test_a_text_that_no_file_can_hold_is_counted(tmp_path: Path) -> None:
    half = function("f").replace('r"""', '"""\\ud800 ')
    wheel(tmp_path, many() | {"boxed/own.py": half})
    assert Headlines().dropped(tmp_path) == {"docstrings that are no Unicode": 1}


def test_of_a_bomb_no_more_than_a_module_is_read(tmp_path: Path) -> None:
    bomb = b"'''" + b"a" * (64 << 20) + b"'''"
    archive = wheel(tmp_path, {"boxed/a.py": bomb, "boxed/b.py": function("f")})
    assert archive.stat().st_size < 1 << 17
    del bomb
    tracemalloc.start()
    found = docstrings_of(archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dict(found.dropped) == {"modules of more than 1048576 bytes": 1}
    assert [one.key for one in found.docstrings] == ["boxed.b:f"]
    assert peak < 8 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_of_packing_whose_bombs_have_no_bound_is_refused(
    tmp_path: Path, method: int
) -> None:
    archive = wheel(tmp_path, many())
    with zipfile.ZipFile(archive, "a", method) as opened:
        opened.writestr("boxed/bomb.py", b"a" * (64 << 20))
    tracemalloc.start()
    message = rf"{archive.name}: boxed/bomb\.py is packed by method {method}; allowed: a wheel"
    with pytest.raises(ValueError, match=message):
        docstrings_of(archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_size_that_is_a_lie_is_an_error(tmp_path: Path) -> None:
    archive = wheel(tmp_path, {"boxed/a.py": b"'''" + b"a" * (4 << 20) + b"'''"})
    with zipfile.ZipFile(archive) as opened:
        said = opened.infolist()[0].file_size.to_bytes(4, "little")
    content = archive.read_bytes()
    assert content.count(said) == 2
    archive.write_bytes(content.replace(said, (9).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=f"{archive.name}: Bad CRC-32 .*; allowed: a wheel"):
        docstrings_of(archive)


@pytest.mark.parametrize("action", ["error", "always"])
def test_what_python_warns_of_in_a_text_changes_no_row(tmp_path: Path, action: str) -> None:
    plain = function("f").replace('r"""Say', '"""A \\d is 1 is 1; say') + "1 is 1\nassert (1, 2)\n"
    archive = wheel(tmp_path, many() | {"boxed/own.py": plain})
    with warnings.catch_warnings(record=action == "always") as seen:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        found = {one.key: one.text for one in docstrings_of(archive).docstrings}
    assert not seen
    assert found["boxed.own:f"].startswith("A \\d is 1 is 1; say what")


@pytest.mark.parametrize(
    "name",
    [
        *("../boxed.py", "/boxed/a.py", "boxed/../a.py", "boxed/\x1b[31m.py", "boxed/a\nb.py"),
        *(".py", "boxed//a.py", "boxed/a b.py", "boxed\\a.py", "C:/a.py", "boxed/<b>.py"),
    ],
)
def test_a_name_that_no_import_would_find_is_no_module(tmp_path: Path, name: str) -> None:
    archive = wheel(tmp_path, {name: function("f"), "boxed/b.py": function("g")})
    assert [one.key for one in docstrings_of(archive).docstrings] == ["boxed.b:g"]


@pytest.mark.parametrize("keep", [0, 100, -40])
def test_a_wheel_that_is_cut_short_is_one_error(
    tmp_path: Path, keep: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache := tmp_path / "cache").mkdir()
    archive = wheel(cache, many())
    archive.write_bytes(archive.read_bytes()[:keep])
    assert prepare(whole(archive), cache, tmp_path / "out") == os.EX_DATAERR
    message = capsys.readouterr().err
    assert f"{archive.name}: File is not a zip file; allowed: a wheel, whole" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_manifest_counts_what_was_not_read(tmp_path: Path) -> None:
    (cache := tmp_path / "cache").mkdir()
    archive = wheel(cache, many() | {"boxed/own.py": "def f(:"})
    assert prepare(whole(archive), cache, tmp_path / "out") == 0
    manifest = PreparedTask.read(tmp_path / "out" / MANIFEST_FILE)
    assert manifest.dropped == {"modules whose syntax Python does not read": 1}
