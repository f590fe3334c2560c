"""`finegrid rehearse`: every cell in small, what fails is named, and nothing is left."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Said

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.records.result import RESULT_FILE, Result
from finegrid.training import evaluation
from finegrid.training.rescore import Rescored, rescore
from methods.full import Full
from methods.registry import METHODS
from tests.small import ARCHIVE

CONFIG = Path(__file__).parents[2] / "config"
Benchmark = dict[str, Any]


@dataclass(frozen=True)
class Breaks(Full):
    """Full fine-tuning that raises in its second step."""

    def inject(self, model: Any, generator: Any) -> None:
        """Count the passes of training."""
        super().inject(model, generator)
        passes = iter(range(2))

        def count(module: Any, inputs: Any) -> None:
            if module.training and next(passes) == 1:
                raise ArithmeticError("planted in the second step")

        model.register_forward_pre_hook(count)


@pytest.fixture
def rehearse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_process: None
) -> Callable[..., Said]:
    """What the command says of a benchmark's content, from a folder with no other file."""
    monkeypatch.chdir(tmp_path)

    def call(content: Benchmark, *arguments: str) -> Said:
        Path("small.yaml").write_text(json.dumps(content), encoding="utf-8")
        return CliRunner().invoke(app, ["rehearse", "small.yaml", *arguments])

    return call


@pytest.fixture
def digits(small: Benchmark) -> Benchmark:
    """Two cells of a network."""
    small["grids"] = small["grids"][:1]
    return small


def test_every_cell_passes_and_nothing_is_left(
    rehearse: Callable[..., Said], small: Benchmark, tmp_path: Path
) -> None:
    done = rehearse(small)
    assert done.exit_code == 0, done.output
    assert "3 of 3 cells rehearsed" in done.output
    assert "made up: rows of words, weights of tiny" in done.output  # its archive is not here
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_a_method_that_raises_is_named_with_its_cell(
    rehearse: Callable[..., Said], digits: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    METHODS.get("full")  # else the first use would read over what is planted
    monkeypatch.setitem(METHODS._entries, "breaks", Breaks)
    digits["grids"][0]["variants"]["breaks"] = {"method": "breaks"}
    done = rehearse(digits)
    assert done.exit_code == 1
    failed = [line for line in done.output.splitlines() if " x " in line]
    (line,) = failed
    assert line.startswith("digits x network x breaks: run: failed")
    assert "planted in the second step" in line
    assert "2 of 3 cells rehearsed" in done.output


def test_a_metric_that_fails_is_named_with_every_cell(
    rehearse: Callable[..., Said], digits: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **named: object) -> None:
        raise ValueError("planted in a metric")

    monkeypatch.setattr(evaluation, "compute_rows", fail)
    done = rehearse(digits)
    assert done.exit_code == 1
    assert done.output.count("planted in a metric") == 2
    assert "0 of 2 cells rehearsed" in done.output


def test_a_tuned_cell_has_a_trial_before_its_run(
    rehearse: Callable[..., Said], digits: Benchmark, tmp_path: Path
) -> None:
    digits["tuning"] = {"seed": 100, "learning_rates": 3, "grow": True, "training": {"epochs": 1}}
    done = rehearse(digits, "--keep", "kept")
    assert done.exit_code == 0, done.output
    assert "one trial, and its first seed by what that chose" in done.output
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("kept/runs/*/result.json")]
    assert [one["spec"]["role"] for one in runs].count("trial") == 2
    for one in runs:
        if one["spec"]["role"] == "run":
            assert one["tuning"]["chosen"] == {"learning_rate": 0.01}


def test_a_trial_that_fails_is_named(
    rehearse: Callable[..., Said], digits: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    METHODS.get("full")
    monkeypatch.setitem(METHODS._entries, "breaks", Breaks)
    digits["grids"][0]["variants"] = {"breaks": {"method": "breaks"}}
    digits["tuning"] = {"seed": 100}
    done = rehearse(digits)
    assert done.exit_code == 1
    assert "digits x network x breaks: trial: failed: ArithmeticError: planted" in done.output


def test_a_trial_without_a_score_on_few_rows_is_no_fault(
    rehearse: Callable[..., Said],
    digits: Benchmark,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str, rows: list[Any]) -> None:
        raise evaluation.UndefinedScoreError(f"{name} has no value")

    monkeypatch.setattr(evaluation, "compute_rows", fail)
    digits["tuning"] = {"seed": 100}
    done = rehearse(digits, "--keep", "kept")
    assert done.exit_code == 0, done.output
    assert "no score on so few rows, which is no fault: digits x network x full" in done.output
    assert len(list(tmp_path.glob("kept/runs/*/result.json"))) == 4
    assert not list(tmp_path.glob("kept/tuning/*"))


def test_choices_by_likelihood_are_rehearsed_whole(
    rehearse: Callable[..., Said], small: Benchmark, tmp_path: Path
) -> None:
    """The right choice is learnt, all are scored, and the scores come out of the predictions."""
    columns = {"question": "goal", "choices": ["sol1", "sol2"], "answer": "label"}
    rows = [
        {"goal": f"open jar {n}", "sol1": f"twist {n}", "sol2": "eat it all", "label": n % 2}
        for n in range(20)
    ]
    Path("piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small["models"]["tiny"]["configuration"]["model_type"] = "llama"
    small["models"]["tiny"]["tokenizer"] = ARCHIVE  # it is not here: a decoder's is made
    small["grids"] = [small["grids"][1] | {"tasks": ["piqa"]}]
    small["tasks"] = {
        "piqa": {
            **{"kind": "multiple-choice-lm", "files": "piqa.jsonl", "columns": columns},
            "encoding": {"template": "Question: {question}\nAnswer: {choice}"},
            "split": {"validation": 0.2, "test": 0.2},
        }
    }
    done = rehearse(small, "--keep", "kept")
    assert done.exit_code == 0, done.output
    (manifest,) = Path("kept/prepared/encoded").glob("*/manifest.json")
    counts = {name: one["n"] for name, one in json.loads(manifest.read_text())["splits"].items()}
    assert counts == {"train": 4, "validation": 8, "test": 8}
    (folder,) = Path("kept/runs").iterdir()
    metrics = Result.read(folder / RESULT_FILE).metrics
    assert metrics is not None
    assert {name: one.n for name, one in metrics.test.items()} == {"accuracy": 4, "acc_norm": 4}
    assert metrics.trivial is not None
    assert metrics.trivial.test["acc_norm"] == metrics.trivial.test["accuracy"]
    assert rescore(folder) == Rescored(4, ())


def test_what_is_made_is_kept_on_request_alone(
    rehearse: Callable[..., Said], digits: Benchmark, tmp_path: Path
) -> None:
    digits["grids"][0]["training"] = {"device": "cuda", "dtype": "bf16"}
    kept = rehearse(digits, "--keep", "kept")
    assert kept.exit_code == 0, kept.output
    assert "one process of the CPU in the place of: device cuda" in kept.output
    assert len(list((tmp_path / "kept" / "runs").glob("*/result.json"))) == 2
    assert (tmp_path / "kept" / "tables" / "small.md").is_file()
    again = rehearse(digits, "--keep", "kept")
    assert again.exit_code == EXIT_CONFIGURATION
    assert "allowed: a new folder" in again.output + again.stderr


def test_a_wrong_benchmark_is_refused_as_ever(
    rehearse: Callable[..., Said], digits: Benchmark
) -> None:
    digits["grids"][0]["variants"]["full"]["method"] = "ful"
    done = rehearse(digits)
    assert done.exit_code == EXIT_CONFIGURATION
    assert "did you mean 'full'" in done.output + done.stderr


@pytest.mark.thorough("test_every_cell_passes_and_nothing_is_left")
@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.stem)
def test_our_own_benchmarks_rehearse(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_process: None
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["rehearse", str(file)])
    assert done.exit_code == 0, done.output
    assert not list(tmp_path.iterdir())
