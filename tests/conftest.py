"""Fixtures that several rooms share. Nothing heavy is imported before a test asks for it."""

from __future__ import annotations

import copy
import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from finegrid.models import anatomies
from finegrid.models.blueprint import Blueprint, Description

if TYPE_CHECKING:
    from tests.small import Snakemake
    from tests.training.assets import Assets
    from tests.workflow.forecast.place import Place


LONGEST = (
    "methods/test_contract.py",
    "training/test_nodes.py",
    "workflow/test_snakemake.py",
    "training/test_worker.py",
    "training/test_distributed.py",
    "workflow/test_plugin.py",
    "cli/test_drift.py",
    "published_counts/test_carried.py",
)
"""Files of tests, by what they take."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--matrix`: all architectures and published counts, in place of a choice."""
    parser.addoption("--matrix", action="store_true", help="test all, in place of a choice")


def pytest_configure(config: pytest.Config) -> None:
    """Children hear the signals that this process was started to ignore, as `nohup` starts it.

    That a signal is ignored they would inherit; a handler that does nothing they do not.
    """
    config.addinivalue_line("markers", "cases(list): the cases that the test is about")
    config.addinivalue_line("markers", "shows(*kinds): what the test has to see of a method")
    config.addinivalue_line(
        "markers", "thorough(test): left out of `make test`, where that test shows the same in kind"
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of two threads wait for a core
    anatomies.discovery = _in_this_process
    for one in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(one) is signal.SIG_IGN:
            signal.signal(one, lambda number, frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the longest files to the front: one that begins last leaves a process without work.

    All faults are thorough: they are injected into what other rooms' tests show without one.
    """

    def place(item: pytest.Item) -> int:
        name = "/".join(item.path.parts[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker(pytest.mark.thorough)


def pytest_collection_finish() -> None:
    """Let the collector pass over what is loaded: to look at all of it takes half a second."""
    gc.collect()
    gc.freeze()


def _in_this_process(blueprints: Sequence[Blueprint]) -> list[Description]:
    """What discovery finds, once a session: a process a plan would take seconds."""
    from finegrid.models.describe import describe

    return [describe(one) for one in blueprints]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a test sets for its whole process, as commands do, is set back."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Tiny prepared tasks and models."""
    from tests.training.assets import make_assets

    return make_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny models are fastest, and repeat themselves, on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quiet_process() -> Iterator[None]:
    """No tracking, brief measuring, and what a run sets for its whole process is set back."""
    import torch

    from tests.training.brief import brief

    threads = torch.get_num_threads()
    with patch.dict(os.environ, WANDB_MODE="disabled"), brief():
        yield
    torch.use_deterministic_algorithms(mode=False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.set_num_threads(threads)


@pytest.fixture
def small() -> dict[str, Any]:
    """A valid benchmark of four runs on a network and two on a transformer, to be changed."""
    from tests.small import SMALL

    return copy.deepcopy(SMALL)


@pytest.fixture
def problems() -> Callable[[Any], list[str]]:
    """What planning finds wrong with the content of a file."""
    from finegrid.planning.benchmark import parse_benchmark
    from finegrid.planning.plan import make_plan
    from finegrid.problems import ConfigurationError

    def found(content: Any) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            make_plan(parse_benchmark(content))
        return caught.value.problems

    return found


@pytest.fixture
def place(small: dict[str, Any], tmp_path: Path) -> Place:
    """The network of the small benchmark with its two variants and two seeds: four runs."""
    import yaml

    from tests.workflow.forecast.place import Place

    small["grids"] = small["grids"][:1]
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(small))
    return Place(tmp_path, file)


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """`snakemake` with a source tree, in a folder, with arguments."""
    from tests.small import call_snakemake

    return call_snakemake
