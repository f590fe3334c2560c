"""The rows of a board: the words of another library, and what of it is untrained."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.published_counts.command import run, summary
from tests.published_counts.files import DIMS, file, paper, quiet, verified, written


def test_a_board_names_models_modules_and_methods_its_own_way() -> None:
    total = verified(model_dims={"llama-tiny": DIMS["llama-tiny"] | {"total": 0, "tied": True}})
    row = {"suite": "s", "model": "somebody/Llama-Tiny"}
    rows = [
        row | {"id": "a", "experiment": "full-tuning", "peft_config": None, "expected": 1},
        row | {"id": "b", "experiment": "x", "peft_config": {"peft_type": "ODD"}, "expected": 1},
        row | {"id": "c", "experiment": "x", "peft_config": None, "expected": 1},
    ]
    dims = {"llama-tiny": DIMS["llama-tiny"] | {"tied": True}}
    full, odd, nothing = verified(model_dims=dims, board={"rows": rows})
    assert full.meta_count == total[0].meta_count
    assert odd.reason == "no method 'peft:odd' is registered"
    assert nothing.reason == "no method 'x' is registered"


def board_row(kind: str, expected: int, **config: Any) -> dict[str, Any]:
    """A row of a board, about a tiny model."""
    row = {"id": kind, "suite": "s", "experiment": "x", "model": "llama-tiny", "expected": expected}
    return row | {"peft_config": {"peft_type": kind, **config}}


def test_our_own_methods_stand_in_for_what_a_bridge_cannot_do() -> None:
    """Grouped keys have 2 heads of 8 features; A and B of the shared projection are not trained."""
    sizes = {"num_layers": 2, "token_dim": 16, "num_transformer_submodules": 1}
    rows = [
        board_row("PREFIX_TUNING", 2 * 2 * 7 * 16, num_virtual_tokens=7, **sizes),
        board_row("PREFIX_TUNING", 1, num_virtual_tokens=7, prefix_projection=True),
        board_row("PROMPT_TUNING", 7 * 32, num_virtual_tokens=7, prompt_tuning_init="RANDOM"),
    ]
    spec = {"method": "peft:vera", "rank": 5, "targets": ["q", "v"]}
    fused = paper(spec, 2 * 2 * (5 + 32), model="gpt2-tiny")
    dims = DIMS | {"gpt2-tiny": {"d": 32, "L": 2, "heads": 2}}
    part, flat, unfolded, prompt = verified(fused, model_dims=dims, board={"rows": rows})
    assert [row.verdict for row in (part, flat, prompt)] == ["match"] * 3
    assert all("built by our own" in str(row.reason) for row in (part, flat, prompt))
    assert (unfolded.verdict, "prefix_projection" in str(unfolded.reason)) == ("not built", True)


def test_a_type_that_reads_weights_is_counted_in_one_block() -> None:
    """Rank 4 worth of places, one vector for all layers, and rotations with a scale."""
    modules = {"target_modules": ["q_proj", "v_proj"]}
    rows = [
        board_row("SHIRA", 2 * 4 * (2 * 32 + 32 + 16), r=4, random_seed=1, **modules),
        board_row("UNILORA", 64, theta_d_length=64, r=2, **modules),
        board_row("BOFT", 2 * (2 * 32 * 4 + 32 + 16), boft_n_butterfly_factor=1, **modules),
    ]
    found = verified(board={"rows": rows})
    assert [(row.verdict, row.meta_count) for row in found] == [
        ("match", row["expected"]) for row in rows
    ]
    assert [str(row.reason).split(" in one")[0] for row in found] == [
        f"the library reads values: {count}" for count in (448, 64, 304)
    ]


def test_what_the_file_explains_is_no_deviation_and_all_else_is(tmp_path: Path) -> None:
    row = board_row("LORA", 5, r=4, target_modules=["q_proj"]) | {"note": "a part is frozen"}
    known, stale = row | {"id": "a", "configured": 512}, row | {"id": "b", "configured": 511}
    first, second = verified(board={"rows": [known, stale]})
    assert (first.verdict, first.explained, first.deviates) == ("mismatch", True, False)
    assert (second.verdict, second.explained, second.deviates) == ("mismatch", False, True)
    assert "expected 5 (the file: a part is frozen)" in str(first.reason)
    assert run(written(tmp_path, file(board={"rows": [known]})), None, quiet()) == 0
    assert run(written(tmp_path, file(board={"rows": [stale]})), None, quiet()) == 1
    assert summary([first]).endswith("no built counts deviate beyond 1 that the file explains")


def test_an_optimizer_may_leave_a_part_untrained() -> None:
    """LoRA-FA: B alone, of q with 32 features and of v with 16, in two blocks."""
    modules = {"target_modules": ["q_proj", "v_proj"], "bias": "none", "init_lora_weights": True}
    row = board_row("LORA", 2 * 4 * (32 + 16), r=4, lora_alpha=8, **modules)
    whole = row | {"expected": 2 * 4 * (64 + 48)}
    rows = [row | {"optimizer": "lora-fa"}, whole, row | {"optimizer": "odd"}]
    frozen, plain, odd = verified(
        board={"rows": [one | {"id": str(n)} for n, one in enumerate(rows)]}
    )
    assert (frozen.verdict, frozen.reason) == ("match", "built by our own lora")
    assert (plain.verdict, plain.reason) == ("match", None)
    assert (odd.verdict, odd.reason) == ("not built", "unknown optimizer 'odd'; known: lora-fa")


def test_the_schedule_of_ranks_changes_no_count() -> None:
    """AdaLoRA: of each of 6 ranks a row, a column and a value; it does not read `r`."""
    schedule = {"tinit": 20, "tfinal": 50, "total_step": 500, "deltaT": 1}
    config = {"r": 8, "init_r": 6, "target_r": 3, "target_modules": ["q_proj"], **schedule}
    (row,) = verified(board={"rows": [board_row("ADALORA", 2 * 6 * (32 + 32 + 1), **config)]})
    assert (row.verdict, row.reason) == ("match", None)


@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias")
def test_types_that_are_not_offered_are_counted_all_the_same() -> None:
    """By hand, of two blocks with 32 features, and 16 of keys and values.

    A prompt of 3 with its gate in the last block; a number for each output of v; factors that both
    layers of a name share, (1 + 2) of rank 3, with a router of 3 x 2 each.
    """
    prompt = {"target_modules": "self_attn", "adapter_len": 3, "adapter_layers": 1}
    shared = {"target_modules": ["q_proj", "v_proj"], "r": 3, "stride_A": 2, "num_B": 2}
    rows = [
        board_row("ADAPTION_PROMPT", 3 * 32 + 1, **prompt),
        board_row("BEFT", 2 * 16, target_modules=["v_proj"]),
        board_row("LILY", 3 * (32 + 2 * 32) + 3 * (32 + 2 * 16) + 4 * 6, **shared),
        board_row("BEFT", 1, target_modules=["w_proj"]),
        board_row("ADAMSS", 1, target_modules=["q_proj"]),
    ]
    *counted, absent, valued = verified(board={"rows": rows})
    assert [row.verdict for row in counted] == ["match"] * 3
    assert all(str(row.reason).startswith("counted; not offered for it: ") for row in counted)
    assert absent.reason == "ValueError: the model has no modules named w_proj"
    assert str(valued.reason).startswith("peft:adamss: how much it trains depends on a clustering")


def test_the_table_of_tokens_is_known_by_its_path() -> None:
    tokens = {"token_indices": [1, 4, 7], "init_weights": True}
    rows = [
        board_row("TRAINABLE_TOKENS", 3 * 32, target_modules="model.embed_tokens", **tokens),
        board_row("TRAINABLE_TOKENS", 3 * 32, target_modules="model.other", **tokens),
    ]
    table, other = verified(board={"rows": rows})
    assert (table.verdict, table.reason) == ("match", None)
    assert "'target_modules' is no key here" in str(other.reason)
