"""The kind of words with a tag each, held to the contract and to what is particular to it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForTokenClassification

from finegrid.models.pooling import NoClassifierError, classifier_class
from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.evaluation import predict, predictions
from kinds.outputs.token_labels import LEFT_OUT
from kinds.registry import kind_named
from methods.registry import METHODS
from tests.kinds.contract import CPU, KindContract
from tests.kinds.writing import SIZES
from tests.models.texts import write_tokenizer

LOADER = "AutoModelForTokenClassification"
LABELS = ("B-FILM", "I-FILM", "O")
WORDS = [
    ["the", "film", "was", "great"],
    ["warm"],
    ["film", "plot"],
    ["the", "plot", "was", "dull"],
    ["the", "film", "the", "plot", "was", "great"],
    ["dull", "dull"],
    ["great", "was", "the", "plot"],
    ["the", "film", "was", "dull", "plot"],
]
KNOWN = {"the": "B-FILM", "film": "I-FILM", "plot": "I-FILM"}
ALONE = {"film": "B-FILM", "plot": "B-FILM"}
TAGS = [
    [
        (KNOWN if at and row[at - 1] == "the" else ALONE | {"the": "B-FILM"}).get(word, "O")
        for at, word in enumerate(row)
    ]
    for row in WORDS
]
READ = ["input_ids", "token_type_ids", "attention_mask"]
TYPES = ("bert", "roberta", "distilbert", "deberta-v2", "gpt2", "llama")


def tagger(model_type: str, **changed: Any) -> nn.Module:
    """A model of the library's own class with a new head, in evaluation mode."""
    config = AutoConfig.for_model(model_type, **(SIZES | {"num_labels": len(LABELS)} | changed))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made: nn.Module = classifier_class(config, LOADER)._from_config(config)
    return made.eval()


def write_tagger(folder: Path, model_type: str, single: str = "<s> $A </s>") -> Path:
    """The configuration of such a model, and a tokenizer of whole words."""
    write_tokenizer(folder, single, model_input_names=READ)
    config: Any = tagger(model_type).config
    config.save_pretrained(folder)
    return folder


def examples(
    folder: Path, words: Sequence[Any], tags: Sequence[Any], max_length: int = 16
) -> Examples:
    kind = kind_named("token-classification", {"labels": list(LABELS), "scheme": "IOB2"})
    ids = [str(number) for number in range(len(words))]
    rows = pa.table({"id": ids, "tokens": words, "tags": tags})
    processor = kind.inputs.processor(folder)
    inputs = kind.inputs.encode(rows, processor, max_length)
    targets = kind.output.encode(rows, inputs, processor, max_length)
    table = pa.Table.from_batches([encoded_rows(kind, ids, inputs, targets)])
    return Examples(kind, table, kind.inputs.fillers(processor), folder)


class Tagging(KindContract):
    """On a tiny encoder."""

    kind = "token-classification"
    labels = LABELS
    options: ClassVar = {"labels": list(LABELS), "scheme": "IOB2"}
    columns: ClassVar = {"tokens": WORDS, "tags": TAGS}
    max_length = 7

    def model(self) -> nn.Module:
        return tagger("bert")

    def folder(self, root: Path) -> Path:
        return write_tagger(root / "tagger", "bert")


class TestTokenClassification(Tagging):
    """One row of words is cut."""


@pytest.mark.parametrize("model_type", TYPES)
def test_the_loss_is_that_of_the_library(tmp_path: Path, model_type: str) -> None:
    """Of its own class, whose loss is the mean over all that have a label."""
    found = examples(write_tagger(tmp_path / "tagger", model_type), WORDS, TAGS)
    model: Any = tagger(model_type)
    own = AutoModelForTokenClassification.from_config(model.config).eval()
    own.load_state_dict(model.state_dict())
    batch, terms = found.batch(range(len(WORDS))), sum(found.weights)
    assert terms == sum(map(len, WORDS))
    expected = own(**batch.inputs, labels=batch.targets["labels"]).loss
    loss = found.kind.output.loss(model, batch) / terms
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["prompt", "prefix", "p-tuning"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_what_a_method_puts_before_the_words_has_no_tag(
    tmp_path: Path, model_type: str, name: str
) -> None:
    """The logits are those of the tokens' own places, whatever length stands before them."""
    found = examples(write_tagger(tmp_path / "tagger", model_type), WORDS, TAGS)
    model: Any = tagger(model_type)
    METHODS.build(name, {"length": 3}).apply(model, torch.Generator().manual_seed(0))
    batch = found.batch(range(len(WORDS)))
    states: list[torch.Tensor] = []
    (head,) = (one for one in (getattr(model, n, None) for n in ("classifier", "score")) if one)
    head.register_forward_hook(lambda module, inputs, output: states.append(output))
    logits = found.kind.output.forward(model, batch)
    count = batch.inputs["input_ids"].shape[1]
    assert logits.shape == (len(WORDS), count, len(LABELS))
    assert torch.equal(logits, states[0])
    assert [len(row["classes"]) for row in found.kind.output.predict(model, batch)] == list(
        map(len, WORDS)
    )


def byte_pairs(folder: Path, model_type: str = "roberta") -> Path:
    """A byte-level tokenizer, as the library's RoBERTa and GPT-2 have it, of a few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the film was great and the plot was dull"] * 50, trainer)
    write_tagger(folder, model_type)
    tokenizer.save(str(folder / "tokenizer.json"))
    name = {"roberta": "RobertaTokenizerFast", "gpt2": "GPT2TokenizerFast"}[model_type]
    content = {"tokenizer_class": name, "add_prefix_space": False, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]))
    return folder


@pytest.mark.parametrize("model_type", ["roberta", "gpt2"])
def test_a_word_has_the_tokens_that_the_library_gives_it_with_a_space_before(
    tmp_path: Path, model_type: str
) -> None:
    from transformers import AutoTokenizer

    folder = byte_pairs(tmp_path / "tagger", model_type)
    words = ["film", "the", "xylo", "plot"]
    found = examples(folder, [words], [["O"] * 4], 64)
    own = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    expected = own(words, is_split_into_words=True)
    ids = found.inputs[0]["input_ids"].tolist()
    assert ids == expected["input_ids"]
    word_ids = expected.word_ids()
    starts = [word_ids.index(word) for word in range(4)]
    labels = found.targets[0]["labels"].tolist()
    assert [at for at, label in enumerate(labels) if label != LEFT_OUT] == starts
    assert len(ids) > len(words) + 2  # some word has several tokens
    assert own.decode(ids[starts[0] : starts[1]]) == " film"


def test_words_behind_the_length_are_counted_and_wrong(tmp_path: Path) -> None:
    folder = write_tagger(tmp_path / "tagger", "bert")
    found = examples(folder, WORDS, TAGS, max_length=5)
    inputs = found.kind.inputs
    left_out = [inputs.left_out(found.inputs[at]) for at in range(len(WORDS))]
    assert left_out == [max(0, len(row) - 3) for row in WORDS]
    assert list(found.weights) == [min(3, len(row)) for row in WORDS]
    rows = predictions(found, predict(tagger("bert"), found, 4, CPU, "fp32"))
    for row, words, tags in zip(rows, WORDS, TAGS, strict=True):
        assert (row["tokens"], row["tags"]) == (words, tags)
        assert all(int(one.split(":")[2]) <= 3 for one in row["predicted_entities"])
        assert [tag is None for tag in row["predicted"]] == [at > 2 for at in range(len(words))]


def test_a_word_that_the_tokenizer_makes_nothing_of_is_not_read(tmp_path: Path) -> None:
    folder = write_tagger(tmp_path / "tagger", "bert")
    found = examples(folder, [["the", " ", "plot"]], [["B-FILM", "O", "I-FILM"]])
    assert found.targets[0]["read"].tolist() == [0, 2]
    (row,) = predictions(found, predict(tagger("bert"), found, 1, CPU, "fp32"))
    assert row["predicted"][1] is None
    assert None not in (row["predicted"][0], row["predicted"][2])
    with pytest.raises(ValueError, match=r"row '0': .* reads none of its words"):
        examples(folder, [[" "]], [["O"]])


def test_a_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_tagger(tmp_path / "tagger", "bert")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic"})
    )
    kind = kind_named("token-classification")
    with pytest.raises(ValueError, match="does not say which word a token is of"):
        kind.inputs.processor(folder)


def test_rows_and_labels_that_do_not_fit_are_named() -> None:
    output = kind_named("token-classification", {"labels": list(LABELS), "scheme": "IOB1"}).output
    uneven = pa.table({"id": ["a"], "tokens": [["the", "plot"]], "tags": [["O"]]})
    assert list(output.problems(uneven, LABELS)) == [
        "2 tokens and 1 tags in row 'a'; allowed: one tag a token"
    ]
    unknown = pa.table({"id": ["a"], "tokens": [["the"]], "tags": [["B-X"]]})
    (problem,) = output.problems(unknown, LABELS)
    assert problem.startswith("'B-X' in row 'a' is no tag of the task")
    assert output.label_problem(["O"])
    other = pa.table({"id": ["a"], "tokens": [["the"]], "tags": [["B-FILM"]]})
    assert list(output.problems(other, LABELS)) == [
        "row 'a' is not in IOB1: 'B-FILM' between 'O' and 'O' is in no entity"
    ]
    unsaid = kind_named("token-classification", {"labels": list(LABELS)}).output
    assert str(unsaid.label_problem(LABELS)).startswith("scheme: None; allowed for such tags: IOB1")


def test_tags_that_name_no_entities_are_scored_by_their_accuracy() -> None:
    def metrics(scheme: str | None) -> tuple[str, ...]:
        return kind_named("token-classification", {"scheme": scheme}).output.metrics

    assert metrics("BIOES") == ("span_f1", "span_precision", "span_recall", "token_accuracy")
    assert metrics("plain") == metrics(None) == ("token_accuracy", "token_macro_f1")


def test_a_pooling_and_a_model_without_such_a_class_are_refused() -> None:
    config = AutoConfig.for_model("bert", **SIZES)
    with pytest.raises(NoClassifierError, match="no pooling"):
        classifier_class(config, LOADER, "mean")
    bart = AutoConfig.for_model("bart")
    with pytest.raises(NoClassifierError, match=f"no {LOADER} for bart; allowed: a model that"):
        classifier_class(bart, LOADER)
