"""The command on boards of published peaks of memory."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.published_memory.board import Board
from finegrid.published_memory.command import Row, run, summary
from finegrid.published_memory.trace import peak_reserved

CARRIED = Path(__file__).parents[1] / "golden" / "memory_board.json"
LORA = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj", "v_proj"]}
LORA_PARAMETERS = 16 * 8 * (2048 + 2048 + 2048 + 512)
WHOLE = 1_235_814_400
"""Parameters of Llama-3.2-1B, as its repository says."""


def row(**changed: Any) -> dict[str, Any]:
    return {
        "experiment": "lora",
        "optimizer": "AdamW",
        "optimizer_kwargs": {"lr": 1e-4},
        "peft_config": LORA,
        "num_trainable_params": LORA_PARAMETERS,
        "peak_reserved_bytes": 4 * 2**30,
        **changed,
    }


def board(*rows: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """A board of the smaller model on short batches."""
    return {
        "model": "meta-llama/Llama-3.2-1B",
        "dtype": "bfloat16 base, float32 adapters",
        "batch_size": 2,
        "max_seq_length": 128,
        "gradient_checkpointing": False,
        "device": "a key that is passed over",
        "rows": rows or (row(),),
        **changed,
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    file = folder / "board.json"
    file.write_text(json.dumps(content))
    return file


def found(folder: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as the command writes them."""
    out = folder / "rows.json"
    assert run(written(folder, content), out, Console(quiet=True)) == 0
    rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return rows


def test_rows_are_predicted_beside_what_is_published(tmp_path: Path) -> None:
    (one,) = found(tmp_path, board())
    assert one.keys() == {"id", "predicted_peak_bytes", "published_peak_bytes", "reason"}
    assert (one["id"], one["published_peak_bytes"], one["reason"]) == ("lora", 4 * 2**30, None)
    weights = 2 * WHOLE
    logits = 2 * 128 * 128256
    least = weights + (2 + 3 * 4) * logits  # bf16, log-probabilities, their gradient and its input
    assert least < one["predicted_peak_bytes"] < 1.5 * least


def test_training_all_of_it_takes_state_for_all_of_it(tmp_path: Path) -> None:
    whole = row(experiment="full", peft_config=None, num_trainable_params=WHOLE)
    (one,) = found(tmp_path, board(whole))
    # weights, gradients, two moments, and the root of one that the update is divided by: bf16 each
    assert 5 * 2 * WHOLE < one["predicted_peak_bytes"] < 5.5 * 2 * WHOLE


def test_what_cannot_be_predicted_has_a_reason(tmp_path: Path) -> None:
    other = row(experiment="other", num_trainable_params=1)
    unknown = row(experiment="unknown", peft_config={"peft_type": "NOTHING"})
    rows = found(tmp_path, board(other, unknown))
    assert [one["predicted_peak_bytes"] for one in rows] == [None, None]
    assert f"trains {LORA_PARAMETERS:,} parameters" in rows[0]["reason"]
    assert rows[1]["reason"].startswith("not predictable: ")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "gpt-5"}, "no configuration of 'gpt-5' is carried; allowed: meta-llama/Llama"),
        ({"batch_size": 0}, "batch_size: Input should be greater than 0"),
        ({"rows": []}, "rows: Tuple should have at least 1 item"),
        ({"rows": [row(optimizer=None)]}, "rows[0].optimizer: Input should be a valid string"),
    ],
)
def test_a_file_that_is_no_board_is_one_error(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    done = CliRunner().invoke(app, ["verify", "--board", str(written(tmp_path, board(**changed)))])
    assert done.exit_code == 65
    assert message in done.output
    assert done.output.count("\n") == 1


def test_one_file_is_verified_at_a_time() -> None:
    for arguments in ((), ("--golden", "a", "--board", "b")):
        done = CliRunner().invoke(app, ["verify", *arguments])
        assert done.exit_code == EXIT_CONFIGURATION
        assert "allowed: one of --golden FILE and --board FILE" in done.output


def test_the_summary_says_how_far_off_predictions_are() -> None:
    rows = [Row(id=str(p), predicted_peak_bytes=p, published_peak_bytes=100) for p in (99, 103)]
    rows.append(Row(id="x", predicted_peak_bytes=None, published_peak_bytes=100, reason="none"))
    assert summary(rows) == "2 of 3 rows predicted; error: median 2.0%, 90th percentile 2.8%"


def test_a_layer_that_a_draw_may_drop_is_not_dropped(tmp_path: Path) -> None:
    """LoKr draws a number for each layer. Its updates are made whole, in fp32 and in each layer."""
    lokr = {"peft_type": "LOKR", "r": 8, "module_dropout": 0.5, "target_modules": ["q_proj"]}
    # 2048 x 2048 is the product of 32 x 32 and 64 x 64, the latter of rank 8
    parameters = 16 * (32 * 32 + 8 * (64 + 64))
    (one,) = found(tmp_path, board(row(peft_config=lokr, num_trainable_params=parameters)))
    assert one["reason"] is None
    assert one["predicted_peak_bytes"] > 2 * WHOLE + 16 * 4 * 2048 * 2048


def test_adalora_is_lora_with_products_and_three_notes_of_each_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notes are importance, its mean and its uncertainty, from the first step on; the backward
    pass keeps the products of A and the singular values (peft's source)."""
    matrices = 64 * (2048 + 2048)
    config = {"peft_type": "ADALORA", "init_r": 64, "total_step": 9, "target_modules": ["q_proj"]}
    adalora = row(peft_config=config, num_trainable_params=16 * (matrices + 64))
    lora = row(
        peft_config={"peft_type": "LORA", "r": 64, "target_modules": ["q_proj"]},
        num_trainable_params=16 * matrices,
    )
    noting, plain = (one["predicted_peak_bytes"] for one in found(tmp_path, board(adalora, lora)))
    monkeypatch.setattr("peft.AdaLoraModel.update_and_allocate", lambda model, step: None)
    (bare,) = (one["predicted_peak_bytes"] for one in found(tmp_path, board(adalora)))
    assert noting - bare == pytest.approx(3 * 4 * 16 * matrices, rel=0.1)
    assert bare - plain == pytest.approx(16 * 4 * 64 * 2048, abs=2 * 2**20 * 4)


def test_constants_that_stay_on_the_host_are_soon_made_and_count_where_they_are_copied(
    tmp_path: Path,
) -> None:
    """BOFT's permutations are held in fp32 on the host. A layer keeps three matrices of the base's
    type for the backward pass: the copy, the rotation, and the one that it starts from."""
    boft = {"peft_type": "BOFT", "boft_block_size": 4, "target_modules": ["q_proj"]}
    few = LORA | {"target_modules": ["q_proj"]}
    rows = found(
        tmp_path,
        board(
            row(peft_config=boft, num_trainable_params=16 * (2048 * 4 + 2048)),
            row(peft_config=few, num_trainable_params=16 * 8 * (2048 + 2048)),
        ),
    )
    assert [one["reason"] for one in rows] == [None, None]
    more = rows[0]["predicted_peak_bytes"] - rows[1]["predicted_peak_bytes"]
    matrices = 16 * 2 * 2048 * 2048
    assert 2.5 * matrices < more < 4.5 * matrices


NEAR = ("ln_tuning/llama-3.2-3B-default", "prompt_tuning/llama-3.2-3B-default")
"""Of the carried board's rows two that are soon traced."""


@pytest.mark.parametrize("name", NEAR)
def test_the_carried_board_is_foretold_within_its_bounds(name: str) -> None:
    board = Board.read(CARRIED)
    (one,) = (one for one in board.rows if one.experiment == name)
    assert peak_reserved(board, one) == pytest.approx(one.peak_reserved_bytes, rel=0.035)
