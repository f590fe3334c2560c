"""A metric of an installed package: registered, scored and resampled like one of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "finegrid_mean_error"
CLASS = '''"""The mean absolute error by its sums over items."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from finegrid.metrics.contract import Metric, floats, ratio


@dataclass(frozen=True)
class MeanError(Metric):
    """mean |y - f|, of which less is better."""

    higher_is_better: ClassVar[bool] = False

    def statistics(self, predictions):
        errors = np.abs(floats(predictions, "label") - floats(predictions, "prediction"))
        return np.column_stack([errors, np.ones(len(errors))])

    def total(self, sums):
        return ratio(sums[..., 0], sums[..., 1])
'''
SCORE = '''"""The mean absolute error."""
import datasets
import evaluate
from sklearn.metrics import mean_absolute_error


class MeanError(evaluate.Metric):
    """The mean absolute error."""

    def _info(self):
        features = {name: datasets.Value("float64") for name in ("predictions", "references")}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=datasets.Features(features)
        )

    def _compute(self, predictions, references):
        return {"mean-error": float(mean_absolute_error(references, predictions))}
'''
CODE = """
import pyarrow as pa
from finegrid.metrics.registry import METRICS, metric, modules
from finegrid.records.source import run_digest
from finegrid.training.evaluation import compute

one = metric("mean-error")
table = pa.table({"label": [1.0, 2.0, 4.0], "prediction": [1.0, 3.0, 2.0]})
score = one.score(one.statistics(table))
assert score == compute("mean-error", [1.0, 3.0, 2.0], [1.0, 2.0, 4.0]).value == 1.0
assert one.sign == -1
assert METRICS.distributions("mean-error") == ["finegrid-mean-error"]
assert run_digest(*modules(["mean-error"])) != run_digest()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that the package lies in as an installer leaves it."""
    package = tmp_path / PACKAGE
    facts = tmp_path / f"{PACKAGE}-0.1.0.dist-info"
    for folder in (package, facts):
        folder.mkdir()
    (package / "__init__.py").write_text(CLASS)
    (package / f"{PACKAGE}.py").write_text(SCORE)
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: finegrid-mean-error\nVersion: 0.1.0\n"
    )
    (facts / "entry_points.txt").write_text(
        f"[finegrid.metrics]\nmean-error = {PACKAGE}:MeanError\n"
    )
    return tmp_path


def test_a_package_brings_a_metric_by_an_entry_point(installed: Path) -> None:
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
