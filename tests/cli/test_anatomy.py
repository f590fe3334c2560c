"""The command that shows what methods find in a model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finegrid.cli import anatomy
from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["anatomy", *arguments])
    return done.exit_code, done.output


def test_a_folder_with_a_configuration_is_shown(tmp_path: Path) -> None:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
    status, output = run(str(tmp_path))
    assert status == 0
    text = " ".join(output.split())
    assert "gpt2: GPT2ForSequenceClassification" in text
    assert "all every linear layer" in text
    assert "prefix 2 x transformer.h.*.attn: 4 heads, 4 of keys, of 8" in text
    name, found = anatomy.find(str(tmp_path), "AutoModelForCausalLM")
    assert name == "GPT2LMHeadModel"
    assert (found.head, found.embeddings, found.output) == ((), "transformer.wte", "lm_head")
    queries, keys = anatomy.table(found)[:2]
    expected = ["h", "q", "2", "transformer.h.*.attn.c_attn", "32 -> 32", "transposed", "0-31"]
    assert queries == expected
    assert keys[1:3] + keys[-1:] == ["k", "2", "32-63"]


def test_what_is_refused_is_said() -> None:
    lines = anatomy.remarks(anatomy.find("xlnet")[1])
    assert any(line.split()[:2] == ["all", "refused:"] and "rel_attn.q" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("brt",), "model: 'brt' is not allowed; allowed: a folder with a config.json, or a model"),
        (("brt",), "did you mean 'bert'?"),
        (("bert", "--loader", "AutoModelForCTC"), "loader: 'AutoModelForCTC' has no model of type"),
        (("bert", "--loader", "Nothing"), "loader: 'Nothing' is no auto class of the library"),
        (("tests",), "model: 'tests' has no config.json"),
    ],
)
def test_an_error_is_one_line(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    status, output = run(*arguments)
    assert status == EXIT_CONFIGURATION
    assert message in output
    assert output.count("\n") == 1


def test_a_file_that_is_no_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    status, output = run(str(tmp_path))
    assert status == EXIT_CONFIGURATION
    assert output.startswith("model: ")
    assert output.count("\n") == 1
