"""What the models wrote, example by example."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.errors import AnalysisError
from analysis.markdown import fenced
from analysis.texts import EXAMPLES, evenly_spaced, page
from finegrid.records.place import record_file
from finegrid.records.plan import Plan
from finegrid.records.result import PREDICTIONS_FILE
from tests.analysis.benchmark import run_of
from workflow.outputs import Outputs
from workflow.pipeline import Pipeline

ITEMS = [f"t{item}" for item in range(200)]


def text_of(variant: str, seed: int, item: str) -> str:
    return f"{variant} of seed {seed}\r\nabout {item}"


@pytest.fixture
def wrote(plan: Plan, runs: Path) -> Path:
    """The runs of the letters wrote texts, those of seed 2 up to their limit."""
    for run, spec in plan.runs.items():
        path = runs / run / PREDICTIONS_FILE
        if spec.task.name == "letters" and path.exists():
            rows = pd.read_parquet(path)
            name, seed = spec.variant.name, spec.seed
            rows["text"] = [text_of(name, seed, item) for item in rows["id"]]
            rows["end"] = "length" if seed == 2 else "token"
            rows.to_parquet(path)
    return runs


@pytest.fixture
def prepared(plan: Plan, tmp_path: Path) -> Path:
    """The test split of the letters, whose targets are of two texts."""
    rows = pd.DataFrame({"id": ITEMS, "prompt": [f"Say {item}." for item in ITEMS]})
    rows["target"] = [["a", f"b `{item}`"] for item in ITEMS]
    folder = tmp_path / "prepared" / "tasks" / plan.runs[run_of("letters", "top", 0)].task.key
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "test.parquet")
    return tmp_path / "prepared"


def blocks(text: str) -> list[str]:
    return text.split("\n### ")[1:]


def test_examples_stand_with_what_is_right_and_what_each_variant_wrote(
    plan: Plan, wrote: Path, prepared: Path
) -> None:
    shown = blocks(page(plan, collect(plan, wrote), wrote, prepared))
    assert [block.split("\n")[0] for block in shown] == [ITEMS[at] for at in evenly_spaced(200, 12)]
    assert shown[1].split("```text\n")[1].startswith("Say t18.\n")
    lines = shown[1].split("```text\n")[2].split("```")[0].splitlines()
    assert lines[:3] == ["right       a", "            or", "            b `t18`"]
    assert lines[3:5] == ["everything   1.000  everything of seed 0", "            about t18"]
    variants = {line.split()[0] for line in lines if not line.startswith(" ")}
    assert variants == {"right", "everything", "small-2", "small-8", "top"}  # of bulky none is ok


def test_a_text_is_found_by_its_example_and_scored_alone(
    plan: Plan, wrote: Path, prepared: Path
) -> None:
    """The runs of seed 1 hold their items in reverse; 0.71 of those of `top` are right."""
    Path(str(record_file(wrote, run_of("letters", "top", 0)))).unlink()
    frame = collect(plan, wrote)
    shown = blocks(page(plan, frame, wrote, prepared))
    said = [next(line for line in block.split("\n") if line.startswith("top ")) for block in shown]
    assert said[0].endswith("1.000  top of seed 1")
    assert said[-1].endswith("0.000  top of seed 1")
    assert "about t199\n" in shown[-1]


def test_a_text_that_was_cut_says_so(plan: Plan, wrote: Path, prepared: Path) -> None:
    for seed in (0, 1):
        Path(str(record_file(wrote, run_of("letters", "top", seed)))).unlink()
    text = page(plan, collect(plan, wrote), wrote, prepared)
    assert text.count("about t0 [cut]") == 1


def test_predictions_of_other_examples_are_refused(plan: Plan, wrote: Path, prepared: Path) -> None:
    path = wrote / run_of("letters", "top", 0) / PREDICTIONS_FILE
    rows = pd.read_parquet(path)
    frame = collect(plan, wrote)
    rows.replace({"id": {"t18": "t1800"}}).to_parquet(path)
    with pytest.raises(AnalysisError, match=r"top: its predictions\.parquet lacks t18"):
        page(plan, frame, wrote, prepared)


@pytest.mark.parametrize(
    ("length", "expected"), [(3, [0, 1, 2]), (12, list(range(12))), (23, list(range(0, 23, 2)))]
)
def test_the_examples_are_at_even_distances(length: int, expected: list[int]) -> None:
    assert evenly_spaced(length, EXAMPLES) == expected


def test_no_text_ends_its_fence() -> None:
    assert fenced("a ````` b\n```") == "``````text\na ````` b\n```\n``````"


def test_a_page_is_planned_where_models_write() -> None:
    language = Pipeline.plan_from({"benchmark": "language", "results": "results"}).outputs
    assert language.texts == ["results/tables/language-texts.md"]
    assert len(language.predictions) == len(language.plan.runs)
    default = Pipeline.plan_from({"benchmark": "default", "results": "results"}).outputs
    assert isinstance(default, Outputs)
    assert (default.texts, default.predictions) == ([], [])
