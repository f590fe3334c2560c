"""The same specification gives the same bits, in another process too."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from finegrid.records.result import (
    DELTA_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    SPECIFICATION_FILE,
    Result,
)
from finegrid.records.specification import Specification
from tests.training.assets import Assets, read_history, run_folder, steps
from tests.warm.start import warm_python

REPOSITORY = Path(__file__).parents[2]


def launch(assets: Assets, spec_file: Path, results: Path) -> None:
    with warm_python():
        command = [sys.executable, "-m", "finegrid.training.run", "--spec", str(spec_file)]
        subprocess.run(
            [*command, "--results", str(results), "--prepared", str(assets.prepared)],
            check=True,
            env=os.environ | {"WANDB_MODE": "disabled", "PYTHONPATH": str(REPOSITORY)},
        )


@pytest.fixture(scope="module")
def repeated(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two processes: one from a given file, one from the specification that the first wrote."""
    root = tmp_path_factory.mktemp("repeated")
    spec = assets.specification(
        "lora", model="bert", settings={"dropout": 0.2}, epochs=2, evaluations=2
    )
    spec.write(root / "given.json")
    launch(assets, root / "given.json", root / "first")
    first = run_folder(spec, root / "first")
    launch(assets, first / SPECIFICATION_FILE, root / "second")
    return first, run_folder(spec, root / "second")


@pytest.mark.parametrize("name", [DELTA_FILE, SPECIFICATION_FILE])
def test_files_are_equal_byte_for_byte(repeated: tuple[Path, Path], name: str) -> None:
    first, second = repeated
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_predictions_and_history_are_equal(repeated: tuple[Path, Path]) -> None:
    first, second = repeated
    tables = [pq.read_table(folder / PREDICTIONS_FILE) for folder in repeated]
    assert tables[0].num_rows > 0
    assert tables[0].equals(tables[1])
    histories = [read_history(first), read_history(second)]
    assert steps(histories[0]) == steps(histories[1])
    assert len(steps(histories[0])) == 8


def test_results_agree_on_all_but_time(repeated: tuple[Path, Path]) -> None:
    first, second = (Result.read(folder / RESULT_FILE) for folder in repeated)
    assert first.metrics == second.metrics
    assert first.parameters == second.parameters
    assert first.memory == second.memory
    assert first.gradients == second.gradients
    assert first.provenance.model_sha256 == second.provenance.model_sha256 is not None


def test_this_process_repeats_the_others(
    repeated: tuple[Path, Path], assets: Assets, tmp_path: Path
) -> None:
    spec = Specification.read(repeated[0] / SPECIFICATION_FILE)
    assets.run(spec, tmp_path)
    deltas = [folder / DELTA_FILE for folder in (repeated[0], run_folder(spec, tmp_path))]
    assert deltas[0].read_bytes() == deltas[1].read_bytes()
