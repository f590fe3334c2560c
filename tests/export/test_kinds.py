"""Exported runs of other kinds than classes of texts, and of a base in a half type.

What a library loads is held against the predictions that the run stored.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from finegrid.records.result import DELTA_FILE, PREDICTIONS_FILE
from finegrid.records.specification import Checkpoint, Source, Specification, Task, model_key
from finegrid.training.data import Examples, load_examples
from kinds.contract import Row
from tests.kinds.writing import OWN, write_writer, writer
from tests.models.texts import END, START, WORDS
from tests.training.assets import Assets, run_folder
from tests.training.brief import brief

NEAR: Any = {"atol": 1e-4, "rtol": 1e-4}
SPLIT = {"validation": 0.25, "test": 0.25}
CHAT = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} <s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
"""A turn ends with a token of its own."""


@dataclass(frozen=True)
class Case:
    """A run of a kind on a tiny model."""

    kind: str
    model: str
    method: str = "lora"
    settings: tuple[tuple[str, Any], ...] = (("rank", 2),)
    training: tuple[tuple[str, Any], ...] = ()


PROMPT = (("length", 3), ("initial_std", 0.5))
OWN_WAY = {"eos_token_id": END, "max_new_tokens": 7}
HALF = (("weights", "bf16"), ("dtype", "bf16"))
CASES = {
    "seq2seq": Case("seq2seq", "t5"),
    "seq2seq, prompt": Case("seq2seq", "t5", "prompt", PROMPT),
    "causal-lm": Case("causal-lm", "llama"),
    "causal-lm, prompt": Case("causal-lm", "llama", "prompt", PROMPT),
    "causal-lm, p-tuning": Case("causal-lm", "llama", "p-tuning", (*PROMPT, ("hidden", 5))),
    "question-answering": Case("question-answering", "bert"),
    "token-classification": Case("token-classification", "bert"),
    "half": Case("text-classification", "bert", training=HALF),
    "half, full": Case("text-classification", "bert", "full", (), HALF),
}


@dataclass(frozen=True)
class Made:
    """Prepared tasks and models, and a folder of the runs."""

    assets: Assets
    results: Path

    def specification(self, case: Case) -> Specification:
        """The run."""
        tasks = self.assets.tasks
        own = replace(self.assets, tasks=tasks | {case.model: tasks.get(case.kind, tasks["bert"])})
        options = {"learning_rate": 0.05, "epochs": 3} | dict(case.training)
        return own.specification(
            case.method, model=case.model, settings=dict(case.settings), **options
        )

    def exported(self, case: Case, form: str, folder: Path) -> Path:
        """The folder of a run, which is made unless it is there."""
        spec = self.specification(case)
        if not run_folder(spec, self.results).exists():
            with brief(is_traced=False):
                self.assets.run(spec, self.results)
        where = ["--results", str(self.results), "--prepared", str(self.assets.prepared)]
        asked = ["export", spec.run, "--format", form, "--output", str(folder / form), *where]
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        return folder / form

    def base(self, case: Case) -> Path:
        """The folder of the base model."""
        model = self.assets.models[case.model]
        return self.assets.prepared / "models" / model_key(model)

    def validation(self, case: Case) -> tuple[Examples, list[Row]]:
        """The examples of validation, and what the run stored of each row."""
        spec = self.specification(case)
        task = PreparedTask.read(self.assets.prepared / "tasks" / spec.task.key / MANIFEST_FILE)
        encoded = self.assets.encode(spec)
        examples = load_examples(encoded, task, self.base(case), ["validation"])["validation"]
        table = pq.read_table(run_folder(spec, self.results) / PREDICTIONS_FILE)
        rows = [row for row in table.to_pylist() if row["split"] == "validation"]
        assert [row["id"] for row in rows] == examples.ids
        return examples, rows


@pytest.fixture(scope="module")
def made(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("kinds")
    found = pq.read_table(assets.prepared / "tasks" / assets.tasks["bert"].key / "train.parquet")
    sentences = found["text"].to_pylist()
    draw = random.Random(0)  # noqa: S311 - examples, no secrets
    pairs = [[words(draw), words(draw)] for _ in range(40)]
    files = {
        "seq2seq": [dict(zip(("source", "target"), pair, strict=True)) for pair in pairs],
        "causal-lm": [dict(zip(("prompt", "target"), pair, strict=True)) for pair in pairs],
        "question-answering": [asked(text) for text in sentences],
        "token-classification": [tagged(text) for text in sentences],
    }
    said = {"causal-lm": {"encoding": {"template": "chat"}}}
    tasks = {
        kind: prepared_task(assets, root / f"{kind}.jsonl", kind, rows, said.get(kind, {}))
        for kind, rows in files.items()
    }
    models = {name: prepared_writer(assets, root, name) for name in ("t5", "llama")}
    own = replace(assets, tasks=assets.tasks | tasks, models=assets.models | models)
    return Made(own, root / "results")


def words(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(1, 4)))


def asked(text: str) -> dict[str, Any]:
    """A question of a sentence that its second word answers."""
    word = text.split()[1]
    answers = {"text": [word], "answer_start": [text.index(word)]}
    return {"context": text, "question": "the", "answers": answers}


def tagged(text: str) -> dict[str, Any]:
    tokens = text.split()
    return {"tokens": tokens, "tags": ["article" if one == "the" else "word" for one in tokens]}


def prepared_task(
    assets: Assets, file: Path, kind: str, rows: list[dict[str, Any]], said: dict[str, Any]
) -> Task:
    file.write_text("\n".join(map(json.dumps, rows)))
    columns = {name: name for name in rows[0]}
    metrics = {"metrics": ("perplexity",)} if "target" in columns else {}
    content = {"kind": kind, "columns": columns, "files": str(file), "split": SPLIT}
    entry = of_files(TaskEntry.model_validate(content | metrics | said), Examiner()).entry
    task = Task(name=kind, task=str(entry.task), source=entry.source, options=entry.options)
    prepare_task(task, assets.prepared / "tasks" / task.key)
    return task


def prepared_writer(assets: Assets, root: Path, name: str) -> Checkpoint:
    """A model that writes, whose own file says how it does."""
    folder = write_writer(root / name, name, chat_template=CHAT)
    own: Any = writer(name)
    own.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(OWN_WAY))
    model = Checkpoint(
        kind="checkpoint",
        name=name,
        source=Source(uri=f"path:{folder}"),
        configuration=json.loads((folder / "config.json").read_text()),
    )
    prepared = assets.prepared
    places = prepared / "models" / model_key(model), prepared / "tasks", root / "downloads"
    prepare_model(model, *places, [OWN[name][0]])
    return model


def likelihoods(model: Any, examples: Examples) -> list[float]:
    """The log-likelihood of each target by a library's model, one by one."""
    found = []
    for at in range(len(examples)):
        batch = examples.batch([at])
        labels, asked_of = batch.targets["labels"], batch.inputs
        if model.config.is_encoder_decoder:
            logits = model(**asked_of, labels=labels).logits
        else:
            logits = model(**asked_of).logits[:, -labels.shape[1] :]  # behind those of a prompt
        each = logits.log_softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
        found.append(float(each[labels >= 0].sum()))
    return found


LOADERS: dict[str, Callable[..., Any]] = {
    "seq2seq": transformers.AutoModelForSeq2SeqLM.from_pretrained,
    "causal-lm": transformers.AutoModelForCausalLM.from_pretrained,
    "question-answering": transformers.AutoModelForQuestionAnswering.from_pretrained,
    "token-classification": transformers.AutoModelForTokenClassification.from_pretrained,
    "text-classification": transformers.AutoModelForSequenceClassification.from_pretrained,
}
PEFT = [name for name in CASES if "full" not in name]
MERGED = [name for name in CASES if "prompt" not in name and "tuning" not in name]


@pytest.mark.parametrize(
    ("name", "form"), [*((n, "peft") for n in PEFT), *((n, "merged") for n in MERGED)]
)
def test_what_is_loaded_says_what_the_run_stored(
    made: Made, name: str, form: str, tmp_path: Path
) -> None:
    case = CASES[name]
    folder, load = made.exported(case, form, tmp_path), LOADERS[case.kind]
    examples, rows = made.validation(case)
    if form == "merged":
        model = load(folder)
        assert {one.dtype for one in model.parameters()} == {torch.float32}
    else:
        width = {} if "target_tokens" in rows[0] else {"num_labels": 2}
        model = PeftModel.from_pretrained(load(made.base(case), **width), str(folder))
    with torch.no_grad():
        check(model.eval(), examples, rows)


def check(model: Any, examples: Examples, rows: list[Row]) -> None:
    """What the model says of the examples is what the rows of predictions hold."""
    if "log_likelihood" in rows[0]:
        expected = [row["log_likelihood"] for row in rows]
        assert likelihoods(model, examples) == pytest.approx(expected, abs=1e-3)
        return
    batch = examples.batch(range(len(examples)))
    said = model(**batch.inputs)
    if "null_score" in rows[0]:
        found = said.start_logits[:, 0] + said.end_logits[:, 0]
        torch.testing.assert_close(found, torch.tensor([row["null_score"] for row in rows]), **NEAR)
    elif "classes" in rows[0]:
        for row, logits, labels in zip(rows, said.logits, batch.targets["labels"], strict=True):
            assert logits.argmax(-1)[labels >= 0].tolist() == row["classes"]
    else:  # which was computed in bf16
        known = torch.tensor([row["logits"] for row in rows])
        torch.testing.assert_close(said.logits, known, atol=0.05, rtol=0.05)


def test_a_merged_model_knows_its_labels_and_where_texts_end(made: Made, tmp_path: Path) -> None:
    tagging = CASES["token-classification"]
    model = LOADERS[tagging.kind](made.exported(tagging, "merged", tmp_path / "tags"))
    assert model.config.id2label == {0: "article", 1: "word"}
    assert model.config.label2id == {"article": 0, "word": 1}
    adapter = made.exported(tagging, "peft", tmp_path / "tags")
    assert "Labels, by number from 0 on: 'article', 'word'." in (adapter / "README.md").read_text()
    folder = made.exported(CASES["causal-lm"], "merged", tmp_path / "chat")
    said = json.loads((folder / "generation_config.json").read_text())
    assert said == OWN_WAY | {"eos_token_id": [END, START]}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == CHAT


def test_a_base_in_a_half_type_keeps_its_rounded_numbers(made: Made, tmp_path: Path) -> None:
    """W + s B A with W as the run held it, computed by hand."""
    case, path = CASES["half"], "bert.encoder.layer.0.attention.self.query"
    merged = load_file(made.exported(case, "merged", tmp_path) / "model.safetensors")
    base = load_file(made.base(case) / "model.safetensors")
    delta = load_file(run_folder(made.specification(case), made.results) / DELTA_FILE)
    name = next(one for one in base if one.endswith("layer.0.attention.self.query.weight"))
    rounded = base[name].bfloat16().float()
    assert not torch.equal(rounded, base[name])
    update = 16.0 / 2 * delta[f"{path}.lora.B"] @ delta[f"{path}.lora.A"]
    torch.testing.assert_close(merged[f"{path}.weight"], rounded + update)
    text = (tmp_path / "merged" / "README.md").read_text()
    assert "The run held the base in bf16. Here they are the same numbers in fp32" in text
