"""The kinds whose models write, held to the contract and to what is particular to them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from finegrid.models.live import anatomy_of
from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.evaluation import predict, prediction_table, score
from kinds.outputs.token_labels import LEFT_OUT, log_likelihoods
from kinds.registry import kind_named
from methods.registry import METHODS
from tests.kinds.contract import CPU, KindContract
from tests.kinds.writing import OWN, write_writer, writer
from tests.models.texts import END, PAD, START

PROMPTS = [
    "the film was",
    "warm",
    "the plot",
    "was great the plot",
    "the film the plot was",
    "dull dull",
    "great was the plot the",
    "the film was dull",
]
TARGETS = ["great", "warm dull", "was dull", "the", "warm", "the film the", "plot", "dull plot was"]
CHAT = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


class Writing(KindContract):
    """On a tiny model of random weights, whose texts are cut at four tokens."""

    model_type: ClassVar[str]
    options: ClassVar = {"decoding": {"max_new_tokens": 4}}

    def model(self) -> nn.Module:
        return writer(self.model_type)

    def folder(self, root: Path) -> Path:
        return write_writer(root / "writer", self.model_type)


class TestCausalLM(Writing):
    kind = "causal-lm"
    model_type = "llama"
    columns: ClassVar = {"prompt": PROMPTS, "target": TARGETS}


class TestSeq2Seq(Writing):
    kind = "seq2seq"
    model_type = "t5"
    columns: ClassVar = {"source": PROMPTS, "target": TARGETS}


def examples(
    folder: Path, kind: str, options: dict[str, Any], max_length: int = 16, **columns: Sequence[str]
) -> Examples:
    """Encoded examples of these columns, for the model in a folder."""
    one = kind_named(kind, options)
    ids = [str(number) for number in range(len(next(iter(columns.values()))))]
    rows = pa.table({"id": ids, **columns})
    processor = one.inputs.processor(folder)
    inputs = one.inputs.encode(rows, processor, max_length)
    targets = one.output.encode(rows, inputs, processor, max_length)
    table = pa.Table.from_batches([encoded_rows(one, ids, inputs, targets)])
    return Examples(one, table, one.inputs.fillers(processor), folder)


def of_type(folder: Path, model_type: str, options: dict[str, Any], **how: Any) -> Examples:
    """The eight examples for a model of that type."""
    causal = OWN[model_type][0].endswith("CausalLM")
    kind, first = ("causal-lm", "prompt") if causal else ("seq2seq", "source")
    return examples(folder, kind, options, **({first: PROMPTS, "target": TARGETS} | how))


@torch.no_grad()
def argmaxes(model: Any, one: dict[str, torch.Tensor], count: int) -> list[int]:
    """What a model writes token by token: without a cache, padding or the library's generation."""
    config, ids, written = model.config, one["input_ids"], list[int]()
    start = [config.decoder_start_token_id] if config.is_encoder_decoder else ids[0].tolist()
    while len(written) < count and written[-1:] != [END]:
        row = torch.tensor([[*start, *written]])
        if config.is_encoder_decoder:
            found = model(input_ids=ids, decoder_input_ids=row, use_cache=False)
        else:
            found = model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False)
        written.append(int(found.logits[0, -1].argmax()))
    return written


WRITING = ("full", "prompt", "prelayer", "prefix", "adapter", "lora", "ia3", "loreft")
SETTINGS: dict[str, dict[str, Any]] = {"loreft": {"suffix_positions": 0}}
"""Where a model that writes takes no defaults."""


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("model_type", OWN)
def test_a_batch_is_written_as_one_token_after_another_is(
    tmp_path: Path, model_type: str, name: str
) -> None:
    """With a cache and padding, and whatever the model's own file says of generation."""
    folder, count = write_writer(tmp_path / "writer", model_type), 5
    found = of_type(folder, model_type, {"decoding": {"max_new_tokens": count}})
    model: Any = writer(model_type)
    method = METHODS.build(name, SETTINGS.get(name, {}))
    assert list(method.problems(anatomy_of(model))) == []
    method.apply(model, torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:  # so that the method has a part in what is written
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    with torch.no_grad():
        model.get_output_embeddings().weight[END] = 0  # else most texts end at once
    model.generation_config.update(do_sample=True, max_length=3, repetition_penalty=7.0, top_k=1)
    said = predict(model, found, 8, CPU, "fp32", metrics=("rouge_l",))
    tokenizer = found.processor.tokenizer
    for at, row in enumerate(said):
        expected = argmaxes(model, found.prompts([at]).inputs, count)
        ends = expected[-1] == END
        text = tokenizer.decode(expected[: len(expected) - ends], skip_special_tokens=True)
        assert (row["text"], row["tokens"]) == (text, len(expected))
        assert row["end"] == ("token" if ends else "length")


@pytest.mark.parametrize("model_type", OWN)
def test_the_loss_is_the_library_s_over_the_target_alone(tmp_path: Path, model_type: str) -> None:
    folder = write_writer(tmp_path / "writer", model_type)
    found, model = of_type(folder, model_type, {}), writer(model_type)
    output = found.kind.output
    for at in range(8):
        batch = found.batch([at])
        labels = batch.targets["labels"]
        if "prompt" in found.inputs[at]:  # the library moves labels by a place itself
            labels = batch.inputs["input_ids"].clone()
            labels[:, : found.inputs[at]["prompt"]] = LEFT_OUT
            assert labels[0, -1] == END
        expected = model(**batch.inputs, labels=labels).loss * found.weights[at]
        torch.testing.assert_close(output.loss(model, batch), expected, atol=1e-5, rtol=1e-5)
        (said,) = output.predict(model, batch)
        assert said["log_likelihood"] == pytest.approx(-expected.item(), abs=1e-4)
        assert said["target_tokens"] == len(TARGETS[at].split()) + 1


@pytest.mark.parametrize("model_type", ["llama", "t5"])
def test_of_several_references_the_first_is_learnt_and_all_are_kept(
    tmp_path: Path, model_type: str
) -> None:
    folder, model = write_writer(tmp_path / "writer", model_type), writer(model_type)
    lists, options = [[text, "dull plot", "warm"] for text in TARGETS], {"several_references": True}
    one = of_type(folder, model_type, {})
    several = of_type(folder, model_type, options, target=lists)
    for at in range(8):
        assert list(several.targets[at]["labels"]) == list(one.targets[at]["labels"])
    said = predict(model, several, 8, CPU, "fp32", metrics=("bleu",))
    table = prediction_table("test", several, said)
    assert table["reference"].to_pylist() == table["answer"].to_pylist() == lists
    rows = [row | {"text": "warm", "extracted": "warm"} for row in table.to_pylist()]
    assert score(rows, ("exact_match", "bleu"))["exact_match"].value == 1


def test_every_one_of_several_references_is_a_text_with_an_answer() -> None:
    output = kind_named("seq2seq", {"several_references": True, "answer": r"\d+"}).output
    given = [["1"], [], ["2", " "], ["3", "none"]]
    rows = pa.table({"id": list("abcd"), "target": pa.array(given, pa.list_(pa.string()))})
    blank, lacking = output.problems(rows, ())
    assert blank == "2 blank targets, the first in row 'b'; allowed: texts"
    assert "matches nothing in 2 of 4 targets, the first in row 'c'" in lacking


def test_likelihoods_are_exact_over_a_large_vocabulary() -> None:
    """Those of fp64, to what rounding leaves of 12 terms in fp32: along the vocabulary, no other
    dimension, the library sums in an order that keeps it."""
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 12, 49_152, generator=draw)
    labels = torch.randint(49_152, (2, 12), generator=draw)
    labels[1, 4:] = LEFT_OUT
    each = logits.double().log_softmax(dim=-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    expected = each.masked_fill(labels == LEFT_OUT, 0).sum(dim=1).tolist()
    assert log_likelihoods(logits, labels) == pytest.approx(expected, abs=5e-5)


def test_without_a_prompt_every_token_but_the_first_is_learnt(tmp_path: Path) -> None:
    folder, model = write_writer(tmp_path / "writer", "gpt2"), writer("gpt2")
    found = examples(folder, "causal-lm", {}, target=TARGETS)
    for at, text in enumerate(TARGETS):
        batch = found.batch([at])
        ids = batch.inputs["input_ids"]
        assert ids.shape[1] == len(text.split()) + 2  # with those that begin and end it
        logits = model(input_ids=ids).logits
        expected = cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum")
        torch.testing.assert_close(found.kind.output.loss(model, batch), expected)
    assert found.kind.metrics(("target",)) == ("perplexity",)


def test_sampling_is_that_of_its_seed_and_leaves_the_global_one(tmp_path: Path) -> None:
    folder, model = write_writer(tmp_path / "writer", "gpt2"), writer("gpt2")
    texts = []
    for seed in (0, 0, 1):
        decoding = {"max_new_tokens": 8, "temperature": 2.0, "seed": seed}
        found = of_type(folder, "gpt2", {"decoding": decoding})
        torch.manual_seed(5)
        said = predict(model, found, 4, CPU, "fp32", metrics=("rouge_l",))
        assert torch.initial_seed() == 5
        texts.append([row["text"] for row in said])
    assert texts[0] == texts[1] != texts[2]


def test_a_chat_template_says_where_the_answer_is(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "gpt2", chat_template=CHAT)
    options = {"encoding": {"template": "chat"}}
    found = examples(folder, "causal-lm", options, prompt=["the film"], target=["was great"])
    decode = found.processor.tokenizer.decode
    ids, labels = found.inputs[0]["input_ids"], found.targets[0]["labels"]
    assert decode(ids) == "<unk> the film </s> <unk> was great </s>"  # no word for the roles
    assert decode([one for one in labels if one != LEFT_OUT]) == "was great </s>"
    assert decode(found.prompts([0]).inputs["input_ids"][0]) == "<unk> the film </s> <unk>"


FRAMED = (
    "{% for m in messages %}{{ m.role }} {% if m.role == 'assistant' %}plot {% endif %}"
    "{{ m.content }} <s> {% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
"""With words before each answer, as some have an empty block of thoughts, and a token of its own
that ends a turn."""


def test_what_a_chat_template_puts_about_an_answer_is_none_of_it(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama", chat_template=FRAMED)
    columns: Any = {"prompt": ["the film", "warm"], "target": ["was great", "dull"]}
    found = examples(folder, "causal-lm", {"encoding": {"template": "chat"}}, **columns)
    decode = found.processor.tokenizer.decode
    assert decode(found.inputs[0]["input_ids"]) == "<unk> the film <s> <unk> plot was great <s>"
    learnt = [one for one in found.targets[0]["labels"] if one != LEFT_OUT]
    assert decode(learnt) == "was great <s>"
    assert decode(found.prompts([0]).inputs["input_ids"][0]) == "<unk> the film <s> <unk> plot"

    model: Any = writer("llama")
    said = {START: "the film was dull", END: "warm"}
    for end, text in said.items():  # a model that writes these words, and then goes on for ever
        words = [*found.processor.tokenizer(text, add_special_tokens=False)["input_ids"], end]
        step = iter([*words, *[PAD + 4] * 60])
        hook = model.lm_head.register_forward_hook(
            lambda module, given, logits, step=step: torch.zeros_like(logits).index_fill(
                -1, torch.tensor([next(step)]), 1.0
            )
        )
        prompts = found.prompts([0]).inputs
        with torch.no_grad():
            (row,) = found.kind.output.write(model, prompts, found.processor)
        hook.remove()
        assert row == {"text": text, "tokens": len(words), "end": "token"}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, "the tokenizer has no chat template"),
        ("{{ messages | length }} {{ messages[0].content }}", "makes another beginning"),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0].who.name }}", "cannot be applied to user, .*'who'"),
        ("{% for m in messages %}{{ m.content }}", "cannot be applied to user, "),
    ],
)
def test_a_template_that_does_not_say_so_is_refused(
    tmp_path: Path, template: str | None, problem: str
) -> None:
    given = {"chat_template": template} if template else {}
    folder = write_writer(tmp_path / "writer", "gpt2", **given)
    options = {"encoding": {"template": "chat"}}
    with pytest.raises(ValueError, match=problem):
        examples(folder, "causal-lm", options, prompt=["the film"], target=["was great"])


def test_a_template_of_one_s_own_stands_about_the_prompt(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama")
    options = {"encoding": {"template": "plot {prompt} was "}}
    found = examples(folder, "causal-lm", options, prompt=["warm"], target=["dull"])
    ids = found.inputs[0]["input_ids"]
    assert found.processor.tokenizer.decode(ids) == "<s> plot warm was dull </s>"


@pytest.mark.parametrize("kind", ["causal-lm", "multiple-choice-lm"])
def test_a_template_that_begins_as_the_tokenizer_does_begins_once(
    tmp_path: Path, kind: str
) -> None:
    """Templates are often copied with the token that begins texts, such as `<s>[INST]`."""
    folder = write_writer(tmp_path / "writer", "llama")
    columns: dict[str, Any] = {"prompt": ["warm"], "target": ["dull"]}
    template = "<s> plot {prompt} was "
    if kind != "causal-lm":
        columns = {"question": ["warm"], "choices": [["dull", "great"]], "answer": [0]}
        template = "<s> plot {question} was {choice}"
    found = examples(folder, kind, {"encoding": {"template": template}}, **columns)
    text = found.processor.tokenizer.decode(found.inputs[0]["input_ids"])
    assert text.removesuffix(" </s>") == "<s> plot warm was dull"


def test_what_is_too_long_lacks_the_end_of_its_target_and_is_counted(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama")
    long = {"prompt": ["the film", "the film"], "target": ["was great warm", "was"]}
    found = examples(folder, "causal-lm", {}, max_length=5, **long)
    inputs = found.kind.inputs
    assert [inputs.left_out(found.inputs[at]) for at in range(2)] == [2, 0]
    assert list(found.sizes) == [5, 5]
    assert list(found.weights) == [2, 2]
    with pytest.raises(ValueError, match=r"leaves nothing of the target in row '0', .* from 4"):
        examples(folder, "causal-lm", {}, max_length=3, **long)


def test_a_token_that_ends_and_pads_is_learnt_all_the_same(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama", pad_token="</s>")  # noqa: S106
    found = of_type(folder, "llama", {})
    found = replace(found, fillers={"input_ids": END})
    batch = found.batch(range(8))
    assert (batch.targets["labels"] == END).sum(dim=1).tolist() == [1] * 8
    assert batch.inputs["attention_mask"].sum().item() == sum(found.sizes)
