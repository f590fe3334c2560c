"""Texts that a string ends: held against texts that are cut by hand, and against the library."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import JsonValue, ValidationError

from finegrid.training.data import Examples
from finegrid.training.evaluation import predict
from kinds.contract import Row
from kinds.outputs.generation import generate, generation_config
from kinds.outputs.texts import Decoding
from kinds.registry import kind_named
from tests.kinds.contract import CPU
from tests.kinds.test_writing import argmaxes, of_type
from tests.kinds.writing import write_writer, writer
from tests.models.texts import END, SPECIAL

COUNT = 8


def said_by(model: Any, examples: Examples) -> list[Row]:
    return predict(model, examples, 8, CPU, "fp32", metrics=("rouge_l",))


@pytest.mark.parametrize("model_type", ["llama", "t5"])
def test_a_text_is_what_stands_before_the_first_stop_string(
    tmp_path: Path, model_type: str
) -> None:
    """Of a batch with padding: rows that hold no such string are what they are without it."""
    folder, model = write_writer(tmp_path / "writer", model_type), writer(model_type)
    with torch.no_grad():
        model.get_output_embeddings().weight[: len(SPECIAL)] = 0  # type: ignore[operator]
    plain = said_by(model, of_type(folder, model_type, {"decoding": {"max_new_tokens": COUNT}}))
    pairs = [" ".join(pair) for row in plain for pair in pairwise(row["text"].split()[1:])]
    stops = [max(sorted(set(pairs)), key=pairs.count), "great great"]
    decoding = {"max_new_tokens": COUNT, "stop_strings": stops}
    found = of_type(folder, model_type, {"decoding": decoding})
    rows = said_by(model, found)
    for at, (row, whole) in enumerate(zip(rows, plain, strict=True)):
        cut = min((whole["text"].index(one) for one in stops if one in whole["text"]), default=None)
        if cut is None:
            assert {name: row[name] for name in row} == whole
            continue
        assert (row["text"], row["end"]) == (whole["text"][:cut], "string")
        tokens = argmaxes(model, found.prompts([at]).inputs, row["tokens"])
        last = (found.processor.tokenizer.decode(tokens[:count], True) for count in (-1, None))
        assert [any(one in text for one in stops) for text in last] == [False, True]
    ended = sum(row["end"] == "string" for row in rows)
    assert ended > 0
    counted = found.kind.output.counted([row | {"extracted": None} for row in rows])
    assert counted["texts ended at a stop string"] == ended


def write_bytes(folder: Path, **config: Any) -> Any:
    """A model whose tokens are the bytes of a text, with its tokenizer."""
    import json

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: at for at, sign in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    write_writer(folder, "gpt2")
    tokenizer.save(str(folder / "tokenizer.json"))
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    model: Any = writer("gpt2", vocab_size=len(vocabulary), tie_word_embeddings=False)
    others = [at for sign, at in vocabulary.items() if not (sign.isascii() and sign.isalpha())]
    with torch.no_grad():
        model.lm_head.weight[others] = 0
    return model


PROMPTS = ["A pub 1", "The river 2", "An inn by it 3"]
"""None of which ends in what is written: letters."""


def written(
    model: Any, folder: Path, prompts: list[str], decoding: Decoding
) -> tuple[list[Row], Any, dict[str, torch.Tensor]]:
    """What is written after these prompts; the tokenizer, and the prompts as they are read."""
    named = kind_named("causal-lm").inputs.processor(folder)
    ids = named.tokenizer(prompts, add_special_tokens=False)["input_ids"]
    longest = max(map(len, ids))
    rows = [[named.pad] * (longest - len(one)) + one for one in ids]
    mask = [[0] * (longest - len(one)) + [1] * len(one) for one in ids]
    read = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
    with torch.no_grad():
        return generate(model, read, named, decoding), named, read


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_end_where_the_librarys_own_stop_strings_end_them(tmp_path: Path, beams: int) -> None:
    """By beams as well, each of which may end so; without a penalty the shorter ones win."""
    model = write_bytes(tmp_path / "bytes")
    how = Decoding(max_new_tokens=COUNT, num_beams=beams, length_penalty=0.0)
    plain, *_ = written(model, tmp_path / "bytes", PROMPTS, how)
    stop = plain[0]["text"][2:4]
    decoding = how.model_copy(update={"stop_strings": (stop,)})
    rows, named, read = written(model, tmp_path / "bytes", PROMPTS, decoding)
    with torch.no_grad():
        theirs = model.generate(
            **read,
            generation_config=generation_config(model.config, named, how),
            stop_strings=[stop],
            tokenizer=named.tokenizer,
        )
    texts = named.tokenizer.batch_decode(theirs[:, read["input_ids"].shape[1] :], True)
    assert [row["text"] for row in rows] == [one.partition(stop)[0] for one in texts]
    assert [row["end"] == "string" for row in rows] == [stop in one for one in texts]
    assert any(row["end"] == "string" for row in rows)


def test_the_end_of_a_prompt_is_no_start_of_a_stop_string(tmp_path: Path) -> None:
    """Where the library, which reads both as one text, stops at once."""
    model, how = write_bytes(tmp_path / "bytes"), Decoding(max_new_tokens=COUNT)
    plain, *_ = written(model, tmp_path / "bytes", PROMPTS[:1], how)
    stop = PROMPTS[0][-1] + plain[0]["text"][0]
    decoding = how.model_copy(update={"stop_strings": (stop,)})
    rows, named, read = written(model, tmp_path / "bytes", PROMPTS[:1], decoding)
    assert rows == plain
    with torch.no_grad():
        theirs = model.generate(
            **read,
            generation_config=generation_config(model.config, named, how),
            stop_strings=[stop],
            tokenizer=named.tokenizer,
        )
    assert theirs.shape[1] == read["input_ids"].shape[1] + 1


def test_a_token_that_ends_and_pads_is_no_end_of_a_text_that_a_string_ended(
    tmp_path: Path,
) -> None:
    """As GPT-2's one special token: it stands behind the rows that ended first."""
    model = write_bytes(tmp_path / "bytes", pad_token="</s>")  # noqa: S106
    model.config.pad_token_id = END
    how = Decoding(max_new_tokens=COUNT)
    plain, *_ = written(model, tmp_path / "bytes", PROMPTS, how)
    stop = plain[0]["text"][:1]
    decoding = how.model_copy(update={"stop_strings": (stop,)})
    rows, *_ = written(model, tmp_path / "bytes", PROMPTS, decoding)
    assert (rows[0]["text"], rows[0]["tokens"], rows[0]["end"]) == ("", 1, "string")
    for row, whole in zip(rows, plain, strict=True):
        assert row["text"] == whole["text"].partition(stop)[0]


def test_the_key_is_left_out_where_it_says_nothing() -> None:
    assert "stop_strings" not in Decoding().model_dump(mode="json")
    said: dict[str, JsonValue] = {"decoding": {"stop_strings": ["\n\n"]}}
    assert kind_named("seq2seq", said).output.decoding.stop_strings == ("\n\n",)  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="at least 1 character"):
        kind_named("seq2seq", {"decoding": {"stop_strings": [""]}})
