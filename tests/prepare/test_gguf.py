"""A model from a GGUF file: the weights that were written are those that a run loads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from finegrid.planning import catalogue
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare import gguf_checkpoint
from finegrid.prepare.gguf_file import GgufError, dequantised, gguf_name
from finegrid.prepare.model import main, prepare_model
from finegrid.prepare.sources import SourceError
from finegrid.problems import ConfigurationError
from finegrid.records.prepared import PreparedModel
from finegrid.records.specification import Source
from tests.prepare.gguf_models import CONFIGURATION, TOKENS, checkpoint, drawn, write

LOADER = "AutoModelForCausalLM"
HASH = "0" * 64
HALF_ERROR = 2**-11
"""The largest relative error of a number in 16 bits."""


def prepared(folder: Path, kind: str) -> PreparedModel:
    """The model of a file in the folder, prepared into `folder/model`."""
    path = write(folder / "tiny.gguf", drawn(), kind)
    return prepare_model(checkpoint(path), folder / "model", folder, folder, (LOADER,))


def logits(model: Any) -> torch.Tensor:
    """What a model says of one text, (1, tokens, vocabulary)."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(2, 14)[None]).logits
    return found


def reference(precision: type) -> LlamaForCausalLM:
    """The library's own Llama with the weights that were written, in that precision."""
    options = {key: value for key, value in CONFIGURATION.items() if key != "model_type"}
    model = LlamaForCausalLM(LlamaConfig(**options, rms_norm_eps=1e-5)).eval()
    held = {name: _rounded(name, weight, precision) for name, weight in drawn().items()}
    _, unexpected = model.load_state_dict(held, strict=False)
    assert not unexpected
    return model


def _rounded(name: str, weight: NDArray[np.float32], precision: type) -> torch.Tensor:
    matrix = weight.astype(precision) if weight.ndim > 1 else weight
    return torch.tensor(matrix.astype(np.float32))


@pytest.mark.parametrize(("kind", "precision"), [("F32", np.float32), ("F16", np.float16)])
def test_numbers_come_as_they_were_written(tmp_path: Path, kind: str, precision: type) -> None:
    manifest = prepared(tmp_path, kind)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert torch.equal(logits(loaded), logits(reference(precision)))
    assert manifest.dequantised is None
    assert not [path for path in tmp_path.rglob("*.gguf") if path.parent != tmp_path]


def step_of_q8_0(blocks: NDArray[np.float32]) -> Any:
    """Half a step, of which the largest number has 127; the step itself is held in 16 bits."""
    return np.abs(blocks).max(-1, keepdims=True) / 127 * (0.5 + 127 * HALF_ERROR)


def step_of_q4_0(blocks: NDArray[np.float32]) -> Any:
    """A step, of which the largest number has -8, so that one of the other sign is cut."""
    return np.abs(blocks).max(-1, keepdims=True) / 8 * (1 + 8 * HALF_ERROR)


@pytest.mark.parametrize(
    ("kind", "step", "bits"), [("Q8_0", step_of_q8_0, "8"), ("Q4_0", step_of_q4_0, "4")]
)
def test_quantised_weights_come_within_a_step_and_are_called_so(
    tmp_path: Path, kind: str, step: Callable[[Any], Any], bits: str
) -> None:
    manifest = prepared(tmp_path, kind)
    found = load_file(tmp_path / "model" / "model.safetensors")
    for name, weight in drawn().items():
        read = found[name]
        if weight.ndim == 1:
            assert np.array_equal(read, weight)
            continue
        blocks, error = weight.reshape(-1, 32), np.abs(read - weight).reshape(-1, 32)
        assert (error <= step(blocks) + 1e-7).all()
        assert error.max() > 0
    matrices = sum(one.size for one in drawn().values() if one.ndim > 1)
    share = 100 * matrices / sum(one.size for one in drawn().values())
    assert manifest.dequantised == (
        f"de-quantised from {bits} bits "
        f"({kind} {share:.1f} %, F32 {100 - share:.1f} % of the numbers)"
    )


def test_tokenizer_and_chat_template_come_along(tmp_path: Path) -> None:
    prepared(tmp_path, "F32")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("abc</s>", add_special_tokens=False)["input_ids"] == [
        *(TOKENS.index("ab"), TOKENS.index("c"), 1)
    ]
    assert len(tokenizer) == len(TOKENS)  # without the end of text that the library adds
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "user:hi</s>"
    configuration = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "quantization_config" not in configuration
    assert str(tmp_path) not in json.dumps(configuration)


def test_another_hash_is_refused_and_nothing_is_converted(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    wrong = checkpoint(path, source=Source(uri=f"path:{path}", sha256={path.name: HASH}))
    with pytest.raises(SourceError, match=rf"file tiny.gguf has sha256 \w+, expected {HASH}"):
        prepare_model(wrong, tmp_path / "model", tmp_path, tmp_path, (LOADER,))
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_another_model_than_was_planned_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    other = checkpoint(path, configuration=CONFIGURATION | {"num_hidden_layers": 3})
    with pytest.raises(ValueError, match=r"num_hidden_layers: 3 was planned, config\.json has 2"):
        prepare_model(other, tmp_path / "model", tmp_path, tmp_path, (LOADER,))


def test_an_architecture_that_the_library_does_not_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "tiny.gguf", drawn(), architecture="rwkv7")
    spec = tmp_path / "spec.json"
    spec.write_text(checkpoint(path).model_dump_json())
    options = ["--spec", str(spec), "--output", str(tmp_path / "model")]
    assert main([*options, "--tasks", str(tmp_path), "--loaders", LOADER]) == 65
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("prepare_model: tiny.gguf holds a model of architecture 'rwkv7', which ")
    assert "allowed: bloom, " in line
    assert ", llama, " in line


@pytest.mark.parametrize("content", [b"", b"no GGUF file at all", b"GGUF\3\0\0\0\1"])
def test_a_file_that_is_none_or_cut_off_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError, match=r"tiny\.gguf is no whole GGUF file"):
        dequantised(path)


def test_a_file_without_its_last_tensors_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(GgufError, match=r"tiny\.gguf is no whole GGUF file"):
        prepare_model(checkpoint(path), tmp_path / "model", tmp_path, tmp_path, (LOADER,))


# Sources and benchmarks


@pytest.mark.parametrize(
    ("uri", "hashes", "name"),
    [
        ("path:a b/m.gguf", [], "m.gguf"),
        ("package:boxed/m.gguf", ["m.gguf"], "m.gguf"),
        ("wheel:p==1/d/m.gguf", ["p-1-py3-none-any.whl"], "m.gguf"),
        ("sdist:p==1/m.gguf", ["p-1.tar.gz", "m.gguf"], "m.gguf"),
        ("deb:p==1/usr/m.gguf", ["p_1_all.deb", "m.gguf"], "m.gguf"),
        ("path:folder", ["m.gguf"], "m.gguf"),
        ("path:folder", ["config.json"], None),
    ],
)
def test_a_gguf_file_is_known_by_its_uri_or_hashes(
    uri: str, hashes: list[str], name: str | None
) -> None:
    assert gguf_name(Source(uri=uri, sha256=dict.fromkeys(hashes, HASH))) == name


@pytest.mark.parametrize("beside", ["config.json", "m-00002-of-00002.gguf"])
def test_a_gguf_file_stands_alone(beside: str) -> None:
    source = Source(uri="path:folder", sha256={"m.gguf": HASH, beside: HASH})
    with pytest.raises(GgufError, match="allowed: one GGUF file alone"):
        gguf_name(source)


def benchmark(path: Path, **model: Any) -> dict[str, Any]:
    """A benchmark of one run on the file."""
    files = {name: path.with_name(f"{name}.jsonl") for name in ("train", "validation", "test")}
    for name, file in files.items():
        rows = [{"prompt": f"{name} {at}", "target": f"t{at}"} for at in range(4)]
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {
        "name": "tiny",
        "seeds": [0],
        "interval": False,
        "training": {"epochs": 1, "batch_size": 2, "max_length": 32, "learning_rate": 0.01},
        "tasks": {
            "texts": {
                "kind": "causal-lm",
                "files": {name: str(file) for name, file in files.items()},
                "columns": {"prompt": "prompt", "target": "target"},
            }
        },
        "models": {"tiny": {"kind": "checkpoint", "source": {"uri": f"path:{path}"}, **model}},
        "grids": [{"tasks": ["texts"], "models": ["tiny"], "variants": {"f": {"method": "full"}}}],
    }


def problems(content: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        make_plan(parse_benchmark(content))
    return caught.value.problems


def test_a_plan_pins_the_file_and_converts_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    plan = make_plan(parse_benchmark(benchmark(path, configuration=CONFIGURATION)))
    [spec] = plan.runs.values()
    assert spec.model == checkpoint(path)


def test_without_a_configuration_the_command_that_prints_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    [problem] = problems(benchmark(path))
    command = "python -m finegrid.prepare.gguf_checkpoint tiny.gguf"
    assert problem == (
        "models.tiny.configuration: this key is required for a GGUF file: it is planned "
        f"unconverted; {command} prints it"
    )
    assert gguf_checkpoint.main([str(path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {key: printed[key] for key in CONFIGURATION} == CONFIGURATION
    assert make_plan(parse_benchmark(benchmark(path, configuration=printed))).runs


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "tiny.gguf", drawn())
    monkeypatch.setattr(catalogue, "has_package", lambda: False)
    [problem] = problems(benchmark(path, configuration=CONFIGURATION))
    assert problem == (
        "models.tiny.source: a GGUF file is read with the package gguf, which is not installed; "
        "allowed: pip install 'finegrid[gguf]'"
    )
