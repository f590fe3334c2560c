"""Which encodings a plan has, who shares them, and what makes them again."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finegrid.records.encoded import Encoded
from tests.small import SIZES, SMALL, Snakemake, packaged_model
from tests.training.assets import LABELS
from tests.workflow.test_snakemake import jobs
from workflow.pipeline import Pipeline

MODEL = {"kind": "checkpoint", "source": {"uri": f"path:{packaged_model()}"}}
ROWS = [(f"the film number {n} was {LABELS[n % 2]}", n % 2) for n in range(60)]


def random_model(**changes: Any) -> dict[str, Any]:
    """The tiny model of the small benchmark, with another configuration."""
    model: dict[str, Any] = copy.deepcopy(SMALL["models"]["tiny"])
    model["configuration"] |= changes
    return model


def pipeline(content: dict[str, Any], folder: Path) -> Pipeline:
    return Pipeline.plan_from(content | {"results": str(folder / "results")})


@pytest.fixture
def texts(small: dict[str, Any]) -> dict[str, Any]:
    """The texts of the small benchmark, on two models with one tokenizer and one that differs."""
    small["models"] = {
        "tiny": random_model(),
        "wide": random_model(hidden_size=32),
        "untyped": random_model(type_vocab_size=1),
    }
    small["grids"] = small["grids"][1:]
    small["grids"][0]["models"] = list(small["models"])
    small["grids"][0]["variants"]["full"] = {"method": "full"}
    return small


def test_methods_seeds_and_models_with_one_tokenizer_share_an_encoding(
    texts: dict[str, Any], tmp_path: Path
) -> None:
    plan = pipeline(texts, tmp_path)
    read: dict[str, set[str]] = {}
    for run, spec in plan.jobs.items():
        (manifest,) = plan.run_encodings(run)
        read.setdefault(spec.model.name, set()).add(manifest)
    assert {name: len(found) for name, found in read.items()} == dict.fromkeys(read, 1)
    assert read["tiny"] == read["wide"] != read["untyped"]
    assert len(plan.encodings.jobs) == len(plan.encodings.processors) == 2


def test_a_length_that_is_tuned_has_an_encoding_for_each(
    texts: dict[str, Any], tmp_path: Path
) -> None:
    texts["tuning"] = {
        "seed": 7,
        "ratio": 10.0,
        "learning_rates": 1,
        "others": {"max_length": [16, 32]},
    }
    plan = pipeline(texts, tmp_path)
    run = next(iter(plan.runs))
    assert len(plan.run_encodings(run)) == 2
    (choice,) = plan.run_choice(run)
    assert plan.tuning_encodings(Path(choice).stem) == plan.run_encodings(run)
    for trial, spec in plan.plan.trials.items():
        (manifest,) = plan.run_encodings(trial)
        key = Path(manifest).parent.name
        encoding = json.loads(plan.encodings.record(key))
        assert encoding["max_length"] == spec.training.max_length


def test_a_pretraining_waits_for_its_task_and_its_encoding(
    small: dict[str, Any], tmp_path: Path
) -> None:
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
    small["models"]["network"]["pretraining"] = {"task": "digits", "training": training}
    small["grids"] = small["grids"][:1]
    plan = pipeline(small, tmp_path)
    run = next(iter(plan.runs))
    key = Path(plan.run_model(run)).parent.name
    assert plan.model_inputs(key) == [plan.run_task(run), *plan.run_encodings(run)]
    (encoding,) = plan.encodings.jobs
    assert plan.encodings.processor(encoding) == []


def test_what_encoding_asks_for_grows_with_the_task(place: Any) -> None:
    plan = place.pipeline()
    (key,) = plan.encodings.jobs
    with pytest.raises(FileNotFoundError):
        plan.encoding_memory(key, 1)
    place.prepare(plan)
    few = plan.encoding_memory(key, 1), plan.encoding_minutes(key, 1)
    folder = Path(plan.encodings.task(key)).parent
    (folder / "train.parquet").write_bytes(bytes(10_000_000))
    again = place.pipeline()
    many = again.encoding_memory(key, 1), again.encoding_minutes(key, 1)
    assert many == (few[0] + 19, few[1] + 1)
    assert again.encoding_memory(key, 2) == 2 * many[0]


@pytest.mark.thorough("test_methods_seeds_and_models_with_one_tokenizer_share_an_encoding")
def test_one_more_model_with_a_tokenizer_encodes_nothing_again(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    """Whichever of the models comes first in the plan."""
    (tmp_path / "films.csv").write_text(
        "".join(f"{text},{label}\n" for text, label in [("text", "label"), *ROWS])
    )
    content: dict[str, Any] = {
        "name": "encodings",
        "seeds": [0, 1],
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "max_length": 16},
        "tasks": {
            "films": {
                "kind": "text-classification",
                "files": "films.csv",
                "columns": {"text": "text", "label": "label"},
                "split": {"validation": 0.2, "test": 0.2},
            }
        },
        "models": {"tiny": SMALL["models"]["tiny"]},
        "grids": [
            {"tasks": ["films"], "models": ["tiny"], "variants": {"head": {"method": "head"}}}
        ],
    }
    file = tmp_path / "encodings.yaml"

    def call(*arguments: str) -> dict[str, int]:
        file.write_text(yaml.safe_dump(content))
        where = ("--configfile", str(file), "--until", "encode")
        done = snakemake(*arguments, *where, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return jobs(done.stdout + done.stderr)

    assert call() == {"prepare_task": 1, "prepare_model": 1, "processor": 1, "encode": 1}
    (manifest,) = tmp_path.glob("results/prepared/encoded/*/manifest.json")
    encoded = Encoded.read(manifest)
    assert sum(split.n for split in encoded.splits.values()) == len(ROWS)
    assert {path.name for path in manifest.parent.iterdir()} == {
        *("train.arrow", "validation.arrow", "test.arrow", "manifest.json")
    }
    (processor,) = tmp_path.glob("results/prepared/processors/*.txt")
    assert processor.read_text().startswith("tiny-")

    content["models"] = {
        "another": random_model(**SIZES | {"hidden_size": 32}),
        **content["models"],
    }
    content["grids"][0]["models"] = ["another", "tiny"]
    assert call("--dry-run") == {"prepare_model": 1, "processor": 1}
    del content["models"]["tiny"]
    content["grids"][0]["models"] = ["another"]
    assert call("--dry-run") == {"prepare_model": 1, "processor": 1}
    content["models"]["another"]["configuration"]["pad_token_id"] = 1
    assert call("--dry-run")["encode"] == 1
