"""One id of padding, and predictions that do not depend on what stands beside a text."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from finegrid.models.alone import check_alone
from finegrid.models.padding import padding_id, padding_problem
from finegrid.records.weights import WeightsError
from tests.models.texts import (
    END,
    NAMES,
    PAD,
    START,
    TEXTS,
    TEXTUAL,
    configuration,
    prepare,
    template,
    write_tokenizer,
)

CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-4}
SIZE = {"vocab_size": 40}
LOADED = [name for name in TEXTUAL if name != "qwen2"]
"""The library reads a Qwen2's tokenizer as byte pairs: `tests/prepare/test_layouts.py` has it."""
QUICK = ("bert", "gpt2", "llama", "t5")
NO_PAD = {key: token for key, token in NAMES.items() if key != "pad_token"}


@pytest.mark.parametrize(
    "model_type",
    [
        pytest.param(
            name,
            marks=()
            if name in QUICK
            else pytest.mark.thorough("test_predictions_do_not_depend_on_the_batch"),
        )
        for name in LOADED
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_predictions_do_not_depend_on_the_batch(tmp_path: Path, model_type: str, side: str) -> None:
    sides: dict[str, Any] = {"padding_side": side, "truncation_side": side}
    tokenizer = write_tokenizer(tmp_path / "tokenizer", template(model_type), **sides)
    prepared = prepare(tmp_path, configuration(model_type), tokenizer)
    model = prepared.model()
    together, alone = prepared.logits(model, 64), prepared.logits(model, 1)
    torch.testing.assert_close(together, alone, **CLOSE)
    words, cut = TEXTS.index("great"), 5
    assert not torch.allclose(alone[words], alone[cut], atol=1e-6, rtol=0)


@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_a_model_that_sees_padding_through_its_mask_is_refused(
    tmp_path: Path, model_type: str
) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer", template(model_type))
    prepared = prepare(tmp_path, configuration(model_type), tokenizer)
    model = prepared.model()
    check_alone(model, prepared.folder)
    forward = model.forward

    def unmasked(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return forward(input_ids, attention_mask=torch.ones_like(attention_mask))

    model.forward = unmasked
    with pytest.raises(WeightsError, match=f"{model_type} says of a text depends on the padding"):
        check_alone(model, prepared.folder)


@pytest.mark.parametrize(
    ("model_type", "ids", "names"),
    [
        ("gpt2", {"pad_token_id": None}, NO_PAD),
        ("llama", {"pad_token_id": None}, NO_PAD),
        ("llama", {"pad_token_id": None}, NAMES),
        ("gpt2", {"pad_token_id": None}, {}),
        ("llama", {"pad_token_id": -1}, NAMES),
        ("gpt2", {"pad_token_id": -1, "eos_token_id": [END, START]}, NO_PAD),
        ("gpt2", {"pad_token_id": END}, NAMES),
        ("llama", {"pad_token_id": START}, NO_PAD),
        ("gpt2", {"pad_token_id": 7}, NAMES | {"pad_token": "</s>"}),
    ],
    ids=[
        "named nowhere",
        "named nowhere, rotary",
        "by the tokenizer",
        "no names",
        "-1",
        "-1 of many",
        "end",
        "start",
        "two",
    ],
)
def test_what_pads_decides_nothing(
    tmp_path: Path, model_type: str, ids: dict[str, Any], names: dict[str, str]
) -> None:
    usual = configuration(model_type)
    first = prepare(
        tmp_path / "usual", usual, write_tokenizer(tmp_path / "a", names=NO_PAD | names)
    )
    other = prepare(tmp_path / "other", usual | ids, write_tokenizer(tmp_path / "b", names=names))
    wanted, model = first.model(), other.model()
    model.load_state_dict(wanted.state_dict())
    found = other.logits(model, 64)
    torch.testing.assert_close(found, other.logits(model, 1), **CLOSE)
    if names:  # without a name, the words of special tokens are no tokens
        torch.testing.assert_close(found, first.logits(wanted, 64), **CLOSE)


@pytest.mark.parametrize(
    ("ids", "names", "expected"),
    [
        ({"pad_token_id": 5}, NAMES, 5),
        ({"pad_token_id": -1}, NAMES, PAD),
        ({}, NO_PAD, END),
        ({"pad_token_id": None}, {"bos_token": "<s>"}, START),
        ({}, {}, 0),
        ({}, {"pad_token": {"content": "</s>"}}, END),
        ({}, {"pad_token": "absent", "eos_token": "</s>"}, END),
        ({"vocab_size": END}, NO_PAD, 1),
    ],
)
def test_the_configuration_s_id_goes_before_the_tokenizer_s(
    tmp_path: Path, ids: dict[str, Any], names: dict[str, Any], expected: int
) -> None:
    write_tokenizer(tmp_path / "tokenizer", names=names)
    assert padding_id(SIZE | ids, tmp_path / "tokenizer") == expected


def test_a_second_file_may_name_the_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    write_tokenizer(folder, names={})
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "</s>"}))
    assert padding_id(SIZE, folder) == END


@pytest.mark.parametrize("wrong", [40, 50256, "0", True, [0]])
def test_an_id_that_is_none_is_refused(tmp_path: Path, wrong: Any) -> None:
    given = SIZE | {"pad_token_id": wrong}
    assert padding_problem(given)
    with pytest.raises(ValueError, match=r"config\.json: pad_token_id .*allowed: .* null"):
        padding_id(given, tmp_path)


@pytest.mark.parametrize("model_type", ["llama", "roberta"])
def test_the_model_s_configuration_has_it_too(tmp_path: Path, model_type: str) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer", names=NAMES | {"pad_token": "</s>"})
    for given, expected in ((None, END), (START, START)):
        configured = configuration(model_type) | {"pad_token_id": given}
        prepared = prepare(tmp_path / str(given), configured, tokenizer)
        config: Any = prepared.model().config
        rows = prepared.examples().batch([0, 5]).inputs
        assert config.pad_token_id == expected
        assert rows["input_ids"][0, -1] == expected
        assert rows["attention_mask"][0].tolist() == [1] * 4 + [0] * 8


def test_a_text_without_a_token_is_one_token(tmp_path: Path) -> None:
    for names, expected in ((NAMES, START), ({"eos_token": "</s>"}, END), ({}, PAD)):
        folder = tmp_path / str(expected)
        prepared = prepare(
            folder, configuration("gpt2"), write_tokenizer(folder / "t", None, names)
        )
        row = prepared.examples().batch([TEXTS.index("")]).inputs
        assert row["input_ids"].tolist() == [[expected]]
        assert row["attention_mask"].tolist() == [[1]]


def test_a_model_without_types_of_tokens_is_given_none(tmp_path: Path) -> None:
    """GPT-2 would add the embedding of token 0 to each."""
    for model_type, types in (("gpt2", set()), ("bert", {"token_type_ids"}), ("roberta", set())):
        names = ["input_ids", "token_type_ids", "attention_mask"]
        folder = tmp_path / f"{model_type}-tokenizer"
        tokenizer = write_tokenizer(folder, model_input_names=names)
        configured = configuration(model_type) | (
            {"type_vocab_size": 1} if model_type == "roberta" else {}
        )
        prepared = prepare(tmp_path / model_type, configured, tokenizer)
        assert set(prepared.examples().batch([0]).inputs) == {"input_ids", "attention_mask"} | types


def test_a_length_that_leaves_no_token_of_a_text_is_refused(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer", "<s> $A </s>")
    prepared = prepare(tmp_path, configuration("bert"), tokenizer)
    assert max(prepared.examples(3).sizes) == 3
    for length in (1, 2):
        with pytest.raises(ValueError, match=rf"max_length: {length}, .*allowed: from 3"):
            prepared.examples(length)
