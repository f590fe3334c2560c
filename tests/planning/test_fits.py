"""A model that does not fit its tokenizer, its task or its training is refused before any job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from finegrid.models.anatomies import Anatomies
from finegrid.models.blueprint import Blueprint
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.configuration import check_tokenizer, unfit_configuration
from finegrid.prepare.tokenizer_file import TokenizerError, read_tokenizer

LOADER = "AutoModelForSequenceClassification"

Problems = Callable[[Any], list[str]]
RESERVED = {"roberta": 2, "xlm-roberta": 2}
"""Positions of the table that no token can take: those up to padding's."""
TEXT = (
    *("bart", "bert", "deberta-v2", "distilbert", "gemma3_text", "gpt2", "llama", "mistral"),
    *("modernbert", "qwen2", "qwen3", "roberta", "t5", "xlm-roberta"),
)
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}
T5: dict[str, Any] = {
    "model_type": "t5",
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
}
BART: dict[str, Any] = {
    "model_type": "bart",
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
VIT = {"model_type": "vit", **SIZES}


def of(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **SIZES, **more}


# positions ----------------------------------------------------------------------------------------


def described(configuration: dict[str, Any], **more: Any) -> Any:
    asked = Blueprint(configuration=configuration, loader=LOADER, written=False, **more)
    (found,) = Anatomies()([asked])
    return found


@pytest.mark.parametrize("model_type", TEXT)
def test_the_default_positions_are_the_library_s(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    named = getattr(config, "max_position_embeddings", None)
    expected = None if named is None else named - RESERVED.get(model_type, 0)
    assert described({"model_type": model_type}).anatomy.positions == expected
    assert described({"model_type": model_type}, whole=False).anatomy.positions is None


# the longest text, and the configuration that says so
LIMITS: dict[str, tuple[dict[str, Any], int]] = {
    "bert": (of("bert", max_position_embeddings=40), 40),
    "bert by default": (of("bert"), 512),
    "roberta": (of("roberta", max_position_embeddings=42), 40),
    "llama": (of("llama", max_position_embeddings=40), 40),
    "gpt2": ({**GPT2, "n_positions": 40}, 40),
    "gpt2 by the other name": ({**GPT2, "max_position_embeddings": 40}, 40),
    "gpt2 by default": ({**GPT2, "n_ctx": 40}, 1024),
    "bart": ({**BART, "max_position_embeddings": 40}, 40),
    "deberta": (of("deberta-v2", max_position_embeddings=40), 40),
}


def planned(small: dict[str, Any], configuration: dict[str, Any], **variant: Any) -> Any:
    """The text grid of the small benchmark alone, on a model of that configuration."""
    small["grids"] = small["grids"][1:]
    small["models"]["tiny"]["configuration"] = {"vocab_size": 30522} | configuration
    small["grids"][0]["variants"] = {"method": {"method": "bitfit"} | variant}
    return small


@pytest.mark.parametrize("name", LIMITS)
def test_a_text_may_fill_the_positions_and_no_more(
    small: dict[str, Any], problems: Problems, name: str
) -> None:
    configuration, limit = LIMITS[name]
    content = planned(small, configuration, method="full")
    content["grids"][0]["training"] = {"max_length": limit + 1}
    (line,) = problems(content)
    assert line.startswith(f"grids[0].variants.method.training.max_length: {limit + 1} ")
    assert f"{limit} positions; allowed: 3 to {limit}" in line
    content["grids"][0]["training"] = {"max_length": limit}
    assert make_plan(parse_benchmark(content)).runs


@pytest.mark.parametrize("name", LIMITS)
def test_a_prompt_takes_positions_of_the_text(
    small: dict[str, Any], problems: Problems, name: str
) -> None:
    configuration, limit = LIMITS[name]
    content = planned(small, configuration, method="prompt", settings={"length": 10})
    content["grids"][0]["training"] = {"max_length": limit - 9}
    (line,) = problems(content)
    assert f"training.max_length: {limit - 9} is not allowed" in line
    assert f"{limit} positions, of which the method takes 10; allowed: 3 to {limit - 10}" in line


def test_a_prompt_that_leaves_no_token_is_named(small: dict[str, Any], problems: Problems) -> None:
    configuration = of("roberta", max_position_embeddings=42)
    content = planned(small, configuration, method="prompt", settings={"length": 38})
    (line,) = problems(content)
    assert line.startswith("grids[0].variants.method.settings: the method takes 38 positions, ")
    assert line.endswith("'tiny' has 40; allowed: at most 37")


@pytest.mark.parametrize(
    "configuration", [T5 | {"n_positions": 8}, of("deberta-v2", position_biased_input=False)]
)
def test_relative_positions_have_no_limit(
    small: dict[str, Any], configuration: dict[str, Any]
) -> None:
    content = planned(small, configuration, method="prompt", settings={"length": 5000})
    content["grids"][0]["training"] = {"max_length": 100_000}
    assert make_plan(parse_benchmark(content)).runs


def test_a_prefix_takes_no_positions(small: dict[str, Any]) -> None:
    configuration = of("bert", max_position_embeddings=32)
    content = planned(small, configuration, method="prefix", settings={"length": 20})
    assert make_plan(parse_benchmark(content)).runs


def test_a_text_keeps_a_token_beside_the_special_ones(
    small: dict[str, Any], problems: Problems
) -> None:
    content = planned(small, T5, method="full")
    content["grids"][0]["training"] = {"max_length": 2}
    (line,) = problems(content)
    assert "training.max_length: 2 is not allowed; model 'tiny' puts 2 special tokens" in line
    assert line.endswith("allowed: 3 or more")


def test_a_micro_batch_holds_the_longest_text(small: dict[str, Any], problems: Problems) -> None:
    content = planned(small, T5, method="full")
    content["training"] |= {"micro_batch_size": None}
    content["grids"][0]["training"] = {"max_length": 16, "micro_batch_units": 15}
    (line,) = problems(content)
    assert "training.micro_batch_units: 15 is not allowed; an example of task" in line
    assert line.endswith("may have 16 tokens; allowed: 16 or more")
    content["grids"][0]["training"]["micro_batch_units"] = 16
    assert make_plan(parse_benchmark(content)).runs


def test_tuned_values_are_held_against_the_model_too(
    small: dict[str, Any], problems: Problems
) -> None:
    content = planned(small, of("bert", max_position_embeddings=32), method="lora")
    content["tuning"] = {"seed": 9, "others": {"max_length": [16, 33], "settings.rank": [2, 17]}}
    assert set(problems(content)) == {
        "tuning.training.max_length: 33 is not allowed; model 'tiny' has 32 positions; "
        "allowed: 3 to 32",
        "tuning.settings.rank: 17 is above the layer's size; allowed: 1 to 16 (model 'tiny')",
    }


def test_the_rates_of_groups_are_tuned_as_others_are(
    small: dict[str, Any], problems: Problems
) -> None:
    content = planned(small, of("bert"), method="lora")
    content["tuning"] = {"seed": 9, "others": {"learning_rates.B": ["1x", "16x"]}}
    plan = make_plan(parse_benchmark(content))
    rates = [trial.training.learning_rates for cell in plan.cells for trial in cell.trials.values()]
    assert sorted(rate["B"] for rate in rates) == ["16x"] * 3 + ["1x"] * 3
    content["tuning"]["others"] = {"learning_rates.C": ["1x"]}
    (line,) = problems(content)
    assert line.startswith("tuning.training.learning_rates: ")
    assert line.endswith("allowed: head, A, B")


@pytest.mark.parametrize(
    ("method", "settings", "group", "allowed"),
    [
        ("prefix", {}, "E", "head, key, value"),
        ("prefix", {"reparametrisation": 4}, "key", "head, E, W1, b1, W2, b2"),
        ("adapter", {"size": 4, "bias": False}, "b", "head, D, U"),
        ("full", {}, "B", "head"),
    ],
)
def test_a_rate_of_what_is_not_trained_is_refused(
    small: dict[str, Any],
    problems: Problems,
    method: str,
    settings: dict[str, Any],
    group: str,
    allowed: str,
) -> None:
    """As the optimizer would, but only once a job runs."""
    content = planned(small, of("bert"), method=method, settings=settings)
    content["grids"][0]["training"] = {"learning_rates": {group: "2x"}}
    (line,) = problems(content)
    assert line.endswith(f"of that name is trained of model 'tiny'; allowed: {allowed}")


# what goes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["words", "digits"])
def test_a_model_of_images_is_refused_for_what_it_reads(
    small: dict[str, Any], problems: Problems, task: str
) -> None:
    content = planned(small, VIT, method="full")
    content["grids"][0]["tasks"] = [task]
    (line,) = problems(content)
    assert line.startswith("grids[0]: model 'tiny' reads images, ")
    assert f"task {task!r} is of kind" in line
    assert "reads text" not in line


def test_a_plain_network_is_no_transformers_model(
    small: dict[str, Any], problems: Problems
) -> None:
    content = planned(small, {"model_type": "linear-stack", "layers": [4, 2]}, method="full")
    (line,) = problems(content)
    assert line.startswith("models.tiny.configuration.model_type: ")
    assert "kind: network" in line


# configurations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("bert", "quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
        ("llama", "quantization_config", {"quant_method": "gptq"}),
        ("bert", "auto_map", {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.B"}),
    ],
)
def test_another_model_than_the_library_would_load_is_refused(
    model_type: str, key: str, value: Any
) -> None:
    configuration = {"model_type": model_type, key: value}
    ((where, reason),) = unfit_configuration(configuration)
    assert where == key
    assert "allowed" in reason


def test_a_model_that_computes_beside_its_layers_is_refused() -> None:
    """Bloom multiplies with slices of `dense`: what a method puts there would never be asked."""
    whole = {"model_type": "bloom", "slow_but_exact": True}
    assert not list(unfit_configuration(whole))
    ((where, reason),) = unfit_configuration(whole | {"pretraining_tp": 4})
    assert where == "slow_but_exact"
    assert reason.startswith("true is not allowed; slices of weights pass round their layers")


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("bert", "is_decoder", True),
        ("roberta", "is_decoder", True),
        ("bert", "is_encoder_decoder", True),
        ("t5", "is_encoder_decoder", False),
        ("bart", "is_encoder_decoder", False),
        ("bert", "position_embedding_type", "relative_key"),
    ],
)
def test_a_switch_to_another_model_of_the_type_is_refused(
    model_type: str, key: str, value: Any
) -> None:
    found = described({"model_type": model_type, key: value})
    assert (found.key, found.anatomy) == (key, None)
    assert "is not allowed" in found.problem
    assert "; allowed" in found.problem


@pytest.mark.parametrize("model_type", TEXT)
def test_a_plain_configuration_of_the_library_is_not_refused(model_type: str) -> None:
    plain = json.loads(AutoConfig.for_model(model_type).to_json_string(use_diff=False))
    assert not list(unfit_configuration(plain))
    assert described(plain).anatomy
    absolute = {"model_type": "bert", "position_embedding_type": "absolute"}
    assert not list(unfit_configuration(absolute | {"quantization_config": None}))


# tokenizers ---------------------------------------------------------------------------------------

ADDED = {"id": 6, "content": "[USER]", "special": True}
WORDS = {"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "[CLS]": 1, "a": 2}}}
PIECES = {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["a", -1.0], ["b", -2.0]]}}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ],
    "special_tokens": {"[CLS]": {"ids": [1]}, "[SEP]": {"ids": [2, 3]}},
}


def written(folder: Path, **contents: Any) -> dict[str, Path]:
    files = {}
    for name, content in contents.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        files[path.name] = path
    return files


@pytest.mark.parametrize(
    ("contents", "largest"),
    [
        ({"tokenizer__json": WORDS}, 2),
        ({"tokenizer__json": PIECES}, 2),
        ({"tokenizer__json": WORDS | {"added_tokens": [ADDED]}}, 6),
        ({"tokenizer__json": WORDS, "added_tokens__json": {"[X]": 7}}, 7),
        (
            {
                "tokenizer__json": WORDS,
                "tokenizer_config__json": {"added_tokens_decoder": {"8": {"content": "[X]"}}},
            },
            8,
        ),
        ({"vocab__txt": "[PAD]\n[CLS]\na\nb\n"}, 3),
        ({"vocab__json": {"a": 0, "b": 4}, "merges__txt": ""}, 4),
        ({"spiece__model": "", "tokenizer_config__json": {}}, None),
    ],
)
def test_the_largest_id_is_that_of_all_files(
    tmp_path: Path, contents: dict[str, Any], largest: int | None
) -> None:
    files = written(tmp_path, **contents)
    assert read_tokenizer(files).largest_id == largest
    if largest is not None:
        check_tokenizer(files, {"vocab_size": largest + 1})
        with pytest.raises(TokenizerError, match=f"ids up to {largest}, the model's vocab_size"):
            check_tokenizer(files, {"vocab_size": largest})


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"config__json": {}}, "no tokenizer; allowed: tokenizer.json, "),
        ({"tokenizer_config__json": {}}, "no tokenizer; allowed: tokenizer.json, "),
        ({"tokenizer__json": "version https://git-lfs"}, "tokenizer.json cannot be read"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(
    tmp_path: Path, contents: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_tokenizer(written(tmp_path, **contents))


@pytest.mark.parametrize(
    ("processor", "count"),
    [
        (None, 0),
        ({"type": "ByteLevel"}, 0),
        ({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}, 2),
        (TEMPLATE, 3),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, TEMPLATE]}, 3),
    ],
)
def test_special_tokens_about_a_text_are_counted(
    tmp_path: Path, processor: Any, count: int
) -> None:
    files = written(tmp_path, tokenizer__json=WORDS | {"post_processor": processor})
    assert read_tokenizer(files).special_tokens == count


def test_a_tokenizer_above_the_embeddings_is_refused_by_check(
    small: dict[str, Any], problems: Problems
) -> None:
    small["models"]["tiny"]["configuration"]["vocab_size"] = 30521
    (line,) = problems(small)
    assert line.startswith("models.tiny.tokenizer: the tokenizer has ids up to 30521")
    assert "vocab_size is 30521; allowed: ids up to 30520" in line
