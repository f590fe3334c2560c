"""From a table and a model of one's own to a benchmark, and from that to a table of results."""

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.planning.benchmark import read_benchmark
from finegrid.planning.lock import Lock
from finegrid.planning.plan import make_plan
from tests.planning.test_lock import CONFIGURATION, hub
from tests.prepare.hub_server import Hub
from tests.small import Snakemake, packaged_model

__all__ = ["hub"]
WORDS = ("the", "film", "was", "a", "great", "and", "moving", "story", "of", "love", "but", "music")


def sentence(number: int, words: int = 12) -> str:
    return " ".join(random.Random(f"{number}-{words}").choices(WORDS, k=words))  # noqa: S311


def write(name: str, rows: list[list[str]], **options: Any) -> str:
    with Path(name).open("w", newline="", encoding=options.pop("encoding", "utf-8")) as stream:
        csv.writer(stream, **options).writerows(rows)
    return name


def imdb(rows: int = 40) -> str:
    """As Kaggle's `IMDB Dataset.csv`."""
    table = [
        [f'{sentence(n, 30)}<br /><br />"quoted"', ("positive", "negative")[n % 2]]
        for n in range(rows)
    ]
    return write("IMDB Dataset.csv", [["review", "sentiment"], *table])


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's folder below the working folder, of which planning reads the configuration."""
    monkeypatch.chdir(tmp_path)
    folder = Path("models/my bert")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIGURATION))
    return str(folder)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def entry(file: str) -> dict[str, Any]:
    """What a written benchmark says of its task."""
    (found,) = yaml.safe_load(Path(file).read_text())["tasks"].values()
    return dict(found)


def test_a_table_and_a_model_s_folder_make_a_benchmark_and_its_plan(model: str) -> None:
    done = init(imdb(), str(packaged_model()))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "wrote imdb-dataset.yaml; guessed, and to be changed there:"
    assert "  text: review, a usual name, 32 words on average" in lines
    assert "  label: sentiment, a usual name" in lines
    assert lines[-1] == "9 trials and 9 runs: finegrid reproduce imdb-dataset.yaml"
    assert entry("imdb-dataset.yaml") == {
        "kind": "text-classification",
        "files": "IMDB Dataset.csv",
        "columns": {"text": "review", "label": "sentiment"},
        "split": {"validation": 0.1, "test": 0.2},
    }
    plan = make_plan(read_benchmark("imdb-dataset.yaml"))
    assert {cell.variant for cell in plan.cells} == {"full", "lora-r8", "head"}
    assert not any(cell.not_applicable for cell in plan.cells)
    again = init("IMDB Dataset.csv", str(packaged_model()))
    assert again.exit_code == EXIT_CONFIGURATION
    assert again.stderr == (
        "imdb-dataset.yaml exists already; allowed: another name, by --output\n"
    )
    assert (
        init("IMDB Dataset.csv", str(packaged_model()), "--output", "Other One.yaml").exit_code == 0
    )
    assert read_benchmark("Other One.yaml").name == "other-one"


def guessed(*arguments: str) -> dict[str, Any]:
    """The entry of the task that is written, whatever the plan says of it."""
    done = init(*arguments, "--output", "guessed.yaml")
    assert done.stdout.startswith("wrote guessed.yaml"), done.output
    return entry("guessed.yaml")


SPLIT = {"validation": 0.1, "test": 0.2}


def test_ag_news_without_a_header(model: str) -> None:
    rows = [[str(n % 4 + 1), sentence(n, 6), sentence(n, 25)] for n in range(40)]
    found = guessed(write("train.csv", rows, quoting=csv.QUOTE_ALL), model)
    assert found["columns"] == {"text": 2, "label": 0}
    assert found["format"] == {"header": False}


def test_spam_of_kaggle_asks_for_its_encoding(model: str) -> None:
    rows = [["v1", "v2", "", "", ""]]
    rows += [[("ham", "spam")[n % 2], f"{sentence(n)} £5", "", "", ""] for n in range(40)]
    write("spam.csv", rows, encoding="latin-1")
    done = init("spam.csv", model)
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stderr == (
        "spam.csv: spam.csv, line 2: byte 0xa3 is no UTF-8; allowed: a file in UTF-8, or "
        "--encoding that names the file's own, as cp1252\n"
    )
    found = guessed("spam.csv", model, "--encoding", "latin-1")
    assert found["columns"] == {"text": "v2", "label": "v1"}
    assert found["format"] == {"encoding": "latin-1"}


def test_amazon_s_lines_of_json(model: str) -> None:
    lines = [
        {"reviewerID": f"A{n % 7}", "asin": "1", "helpful": [0, 0], "reviewText": sentence(n, 30),
         "overall": float(n % 5 + 1), "summary": sentence(n, 4), "unixReviewTime": 1393545600}
        for n in range(40)
    ]  # fmt: skip
    Path("reviews.json").write_text("\n".join(map(json.dumps, lines)))
    found = guessed("reviews.json", model)
    assert found["columns"] == {"text": "reviewText", "label": "overall"}
    assert found["kind"] == "text-classification"
    Path("guessed.yaml").unlink()
    numbers = guessed("reviews.json", model, "--kind", "text-regression")
    assert numbers["kind"] == "text-regression"


def test_pairs_without_a_majority_are_left_out(model: str) -> None:
    labels = ["neutral", "entailment", "contradiction", "-"]
    lines = [
        {"gold_label": labels[n % 4], "sentence1": sentence(n), "sentence2": sentence(n, 8),
         "sentence1_parse": f"( {sentence(n)} )", "annotator_labels": [labels[n % 3]]}
        for n in range(40)
    ]  # fmt: skip
    Path("snli.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = guessed("snli.jsonl", model)
    columns = {"text": "sentence1", "text_pair": "sentence2", "label": "gold_label"}
    assert found["columns"] == columns
    assert found["drop"] == {"label": ["-"]}


def test_numbers_of_many_values_are_a_regression(model: str) -> None:
    rows = [["index", "sentence1", "sentence2", "score"]]
    rows += [[str(n), sentence(n, 6), sentence(n, 5), f"{n * 0.137:.3f}"] for n in range(40)]
    found = guessed(write("sts.tsv", rows, delimiter="\t"), model)
    assert found["kind"] == "text-regression"
    assert found["columns"]["text_pair"] == "sentence2"


def test_a_folder_with_its_splits_needs_no_shares(model: str) -> None:
    Path("data").mkdir()
    for split in ("train", "dev", "test"):
        rows = [["text", "label"], *([sentence(n), str(n % 2)] for n in range(20))]
        write(f"data/{split}.csv", [*rows, [split * 3 + " text", "1"]])
    assert guessed("data", model) == {
        "kind": "text-classification",
        "files": "data",
        "columns": {"text": "text", "label": "label"},
    }


def test_folders_of_texts_need_no_columns(model: str) -> None:
    for label in ("pos", "neg"):
        Path("aclImdb", label).mkdir(parents=True)
        for n in range(20):
            Path("aclImdb", label, f"{n}.txt").write_text(f"{label} {sentence(n)}")
    found = guessed("aclImdb", model)
    assert found == {"kind": "text-classification", "files": "aclImdb", "split": SPLIT}


def test_names_of_any_signs_are_written_so_that_they_are_read_again(model: str) -> None:
    header = ["what: is\u2028said, {here} #1", "label\x07 'é' \U0001f642"]
    rows = [header, *([sentence(n), ("a\x85b", "null")[n % 2]] for n in range(20))]
    found = guessed(write("$a {b}.csv", rows), model, "--label", header[1])
    assert found["columns"] == {"text": header[0], "label": header[1]}
    assert found["files"] == "$a {b}.csv"


ASKED: dict[str, tuple[list[list[str]], list[str], str]] = {
    "several labels": (
        [["comment_text", "stars", "sentiment"], *([sentence(n), "1", "2"] for n in range(9))],
        [],
        "of the columns stars, sentiment several may be labels; say it: --label",
    ),
    "no label": (
        [["text", "note"], *([sentence(n), f"note {n}"] for n in range(9))],
        [],
        "of the columns text, note none looks like a label; say it: --label",
    ),
    "no text": (
        [["word", "label"], *([f"w{n}", str(n % 2)] for n in range(9))],
        [],
        "no column holds texts of 3 words on average; say it: --text, and --pair",
    ),
    "too many labels": (
        [["text", "label"], *([sentence(n), f"l{n}"] for n in range(9))],
        [],
        "label: too many different values for 9 rows of classes; say it: --label, or --kind",
    ),
    "no such column": (
        [["text", "label"], *([sentence(n), "1"] for n in range(9))],
        ["--text", "body"],
        "--text: 'body' is no column; allowed: text, label",
    ),
    "a pair alone": (
        [["text", "label"], *([sentence(n), "1"] for n in range(9))],
        ["--pair", "text"],
        "--pair: goes with --text; allowed: both",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_cannot_be_guessed_is_asked_for_by_its_option(model: str, name: str) -> None:
    rows, options, message = ASKED[name]
    done = init(write("a.csv", rows), model, *options)
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stderr.startswith(f"a.csv: {message}")
    assert done.stderr.count("\n") == 1
    assert not Path("a.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.csv", "models/my bert"], "gone.csv: 'gone.csv' does not exist in "),
        (["IMDB Dataset.csv", "models"], "model: 'models' has no config.json; allowed: a folder "),
        (["IMDB Dataset.csv", "gone"], "model: 'gone' is no folder; allowed: a folder with conf"),
        (
            ["IMDB Dataset.csv", "models/my bert", "--kind", "images"],
            "--kind: unknown kind 'images': allowed: audio-classification, causal-lm, fl",
        ),
        (
            ["IMDB Dataset.csv", "models/my bert", "--output", "a.json"],
            "--output: 'a.json' is not allowed; allowed: a name that ends in .yaml",
        ),
    ],
)
def test_a_slip_is_one_line(arguments: list[str], message: str) -> None:
    imdb(9)
    done = init(*arguments)
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["tagger.onnx", "model.gguf"])
def test_weights_without_a_configuration_are_told(name: str) -> None:
    imdb(9)
    Path("alone").mkdir()
    Path("alone", name).touch()
    done = init("IMDB Dataset.csv", "alone")
    assert done.exit_code == EXIT_CONFIGURATION
    said = f"model: 'alone' has no config.json, which {name} does not replace; allowed: a folder "
    assert done.stderr.startswith(said)
    assert "or a benchmark of your own whose model has a configuration, as" in done.stderr


def test_the_scheme_of_tags_is_said_by_init_and_check() -> None:
    """Of a file in BIOES, with lines of comments, and of one of Universal Dependencies."""
    names = "\n".join(f"# id {n}\nEva _ _ B-PER\nEk _ _ E-PER\nleft _ _ O\n" for n in range(20))
    values = (("1", f"Eva{n}", "_", f"TAG{n % 2}", *"______") for n in range(20))
    words = "".join("\t".join(row) + "\n\n" for row in values)
    files = {"names.conll": names, "words.conllu": words}
    for name, content in files.items():
        Path(name).write_text(content)
        done = init(name, str(packaged_model()))
        assert done.exit_code == 0, done.output
    first, second = entry("names.yaml"), entry("words.yaml")
    assert (first["columns"], first["format"]) == ({"tokens": 0, "tags": 3}, {"comments": True})
    assert second["columns"] == {"tokens": "FORM", "tags": "UPOS"}
    said = CliRunner().invoke(app, ["check", "names.yaml"]).stdout
    assert "tasks.names: entities are read by BIOES, as seqeval does in its strict mode" in said
    said = CliRunner().invoke(app, ["check", "words.yaml"]).stdout
    assert "tasks.words: tags are plain: no entities are read of them" in said


def test_what_the_plan_finds_is_said_after_the_file_is_written(model: str) -> None:
    rows = [["text", "label"], *([sentence(n) if n != 5 else "", str(n % 2)] for n in range(20))]
    done = init(write("a.csv", rows), model)
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stdout.startswith("wrote a.yaml; guessed")
    assert "column 'text': blank or wrong in line 7 (1 in all)" in done.stderr
    assert 'drop: {text: [""]}' in done.stderr


def test_data_and_model_of_the_hub_are_locked_at_once(hub: Hub) -> None:
    done = init("hub:owner/reviews", "hub:owner/tiny")
    assert done.exit_code == 0, done.output
    lock = Lock.read(Path("reviews.lock.json"))
    assert (list(lock.tasks), list(lock.models)) == (["reviews"], ["tiny"])
    assert "wrote reviews.lock.json" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("runs: finegrid reproduce reviews.yaml")
    hub.repositories.clear()
    assert CliRunner().invoke(app, ["check", "reviews.yaml"]).exit_code == 0
    again = CliRunner().invoke(app, ["lock", "reviews.yaml"])
    assert again.exit_code == 0, again.output
    upgraded = CliRunner().invoke(app, ["lock", "reviews.yaml", "--upgrade"])
    assert upgraded.exit_code == EXIT_CONFIGURATION
    assert "hub:owner/reviews: no dataset of that name" in upgraded.stderr


def test_a_benchmark_without_short_forms_has_nothing_to_lock() -> None:
    done = CliRunner().invoke(app, ["lock", "smoke"])
    assert done.exit_code == 0
    assert "nothing to lock" in done.stdout


def tiny_model(folder: Path) -> Path:
    """A whole model of random weights, in the layout that people download."""
    from transformers import BertConfig, BertModel

    known = {key: value for key, value in CONFIGURATION.items() if key != "model_type"}
    BertModel(BertConfig(**known)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(packaged_model() / name, folder / name)
    return folder


def test_from_a_table_and_a_model_to_a_table_of_results(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    """One seed of one variant, without the search for learning rates."""
    done = init(imdb(), str(tiny_model(tmp_path / "models" / "tiny")))
    assert done.exit_code == 0, done.output
    written = yaml.safe_load(Path("imdb-dataset.yaml").read_text())
    (grid,) = written["grids"]
    variants = {"lora-r8": grid["variants"].pop("lora-r8")}
    assert grid["variants"].keys() == {"full", "head"}
    short = {"extends": "imdb-dataset.yaml", "name": "short", "seeds": [0], "interval": False}
    changes = {"tuning": None, "grids": [grid | {"variants": variants}]}
    Path("short.yaml").write_text(json.dumps(short | changes))
    run = snakemake("results/tables/short.csv", "--configfile", "short.yaml", folder=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    with Path("results/tables/short.csv").open(encoding="utf-8") as stream:
        shown = [row["variant"] for row in csv.DictReader(stream)]
    assert shown == ["majority class", "lora-r8"]
    (manifest,) = Path("results/prepared/tasks").glob("imdb-dataset-*/manifest.json")
    assert json.loads(manifest.read_text())["labels"] == ["negative", "positive"]
