"""Published counts, checked on small files whose counts are made by hand."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finegrid.published_counts.command import run, summary
from finegrid.published_counts.figures import judge
from finegrid.published_counts.golden import Golden, GoldenError, read_golden
from finegrid.published_counts.models import NotBuiltError, family_of
from finegrid.published_counts.rows import Row, verify

DIMS: dict[str, dict[str, Any]] = {
    "roberta-tiny": {"d": 32, "L": 2, "ff": 64, "heads": 2, "vocab": 50},
    "t5-v1_1-tiny": {"d": 32, "d_kv": 8, "heads": 4, "ff": 48, "enc": 2, "dec": 3, "vocab": 50},
    "llama-tiny": {"d": 32, "L": 2, "ff": 64, "heads": 4, "kv": 2, "vocab": 50},
}


def paper(spec: dict[str, Any], expected: int, **changed: Any) -> dict[str, Any]:
    """A row of a file, about the tiny model unless it says otherwise."""
    row: dict[str, Any] = {
        "id": "row",
        "model": "roberta-tiny",
        "spec": spec,
        "stated_as": "",
        "head_counted": False,
        "layernorm_counted": True,
        "expected": expected,
        "published": None,
    }
    return row | changed


def file(*papers: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The content of a file."""
    return {"model_dims": DIMS, "papers": list(papers), **changed}


def verified(*papers: dict[str, Any], **changed: Any) -> list[Row]:
    """The rows of a file, those of its models' totals as well."""
    return list(verify(Golden.model_validate_json(json.dumps(file(*papers, **changed)))))


def written(folder: Path, content: Any) -> Path:
    """The path of a file with that content, as JSON or as it is."""
    path = folder / "golden.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def quiet() -> Console:
    """A console of 100 columns that shows nothing."""
    return Console(width=100, file=io.StringIO())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"method": "lora", "rank": 3, "targets": ["q", "v"]}, 2 * 2 * 3 * (32 + 32)),
        ({"method": "lora", "rank": 3, "targets": ["up", "down"]}, 2 * 2 * 3 * (32 + 64)),
        (
            {"method": "adapter", "placement": "pfeiffer", "bottleneck": 5, "bias": True},
            2 * (2 * 5 * 32 + 5 + 32),
        ),
        (
            {"method": "adapter", "placement": "attention output", "reduction_factor": 4},
            2 * (2 * 8 * 32 + 8 + 32),
        ),
        (
            {
                "method": "adapter",
                "placement": "pfeiffer",
                "bottleneck": 5,
                "bias": True,
                "own_layernorm": True,
            },
            2 * (2 * 5 * 32 + 5 + 32 + 2 * 32),
        ),
        (
            {"method": "full", "layers": "top 1"},
            4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 2 * 2 * 32,
        ),
        ({"method": "bitfit"}, 2 * (4 * 32 + 64 + 32 + 2 * 32) + 32),
        ({"method": "ia3", "targets": ["k", "v", "down"]}, 2 * (32 + 32 + 64)),
        (
            {"method": "ia3", "targets": ["k", "v"], "feedforward_as_string": True},
            2 * (32 + 32 + 32),
        ),
        ({"method": "prefix", "length": 7}, 2 * 2 * 7 * 32),
        ({"method": "prelayer", "prefix_tokens": 3, "infix_tokens": 4}, 2 * 7 * 32),
        ({"method": "loreft", "rank": 3}, 2 * 2 * (2 * 3 * 32 + 3)),
        ({"method": "loreft", "rank": 3, "tied": True}, 2 * (2 * 3 * 32 + 3)),
        (
            {"method": "prefix", "length": 7, "reparametrisation_hidden": 5},
            7 * 32 + 32 * 5 + 5 + (5 + 1) * 2 * 2 * 32,
        ),
        (
            {"method": "prefix+lora", "prefix_length": 7, "rank": 3, "targets": ["q"]},
            2 * 2 * 7 * 32 + 2 * 3 * (32 + 32),
        ),
        (
            {"method": "lora", "rank": 3, "targets": ["q"], "with_layernorm": True},
            2 * 3 * (32 + 32) + 5 * 2 * 32,
        ),
    ],
)
def test_closed_forms_by_hand(spec: dict[str, Any], expected: int) -> None:
    (row,) = verified(paper(spec, expected))
    assert (row.closed_form, row.meta_count, row.verdict) == (expected, expected, "match")


def test_an_encoder_and_a_decoder() -> None:
    norms = (2 * 2 + 1 + 3 * 3 + 1) * 32
    encoder_block, decoder_block = 4 * 32 + 2 * 48, 8 * 32 + 2 * 48
    biases = {"method": "bitfit", "with_layernorm": True, "without": ["feed-forward output"]}
    prompts = {"method": "prompt", "length": 6, "at": "encoder and decoder"}
    first, second = verified(
        paper(biases, norms + 2 * encoder_block + 3 * decoder_block, model="t5-v1_1-tiny"),
        paper(prompts, 2 * 6 * 32, model="t5-v1_1-tiny"),
    )
    assert (first.verdict, second.verdict) == ("match", "match")
    assert first.split == {
        "adapter": 2 * encoder_block + 3 * decoder_block,
        "norm": norms,
    }
    assert second.reason is not None
    assert "2 x 192" in second.reason


def test_the_head_is_counted_as_the_source_counts_it() -> None:
    spec = {"method": "lora", "rank": 3, "targets": ["q", "v"]}
    body, dense, output = 768, 32 * 32 + 32, 4 * 32 + 4
    labels = '{"num_labels": 4}'
    none, whole, part = verified(
        paper(spec, body, stated_as=labels),
        paper(spec, body + dense + output, stated_as=f"lora+head {labels}", head_counted=True),
        paper({"method": "lora", "rank": 3}, 0, model="llama-tiny", head_counted=True),
    )
    assert (none.verdict, none.uncounted) == ("match", dense + output)
    assert (whole.verdict, whole.uncounted) == ("match", 0)
    assert whole.split == {"adapter": body, "head": dense + output}
    assert part.verdict == "mismatch"


def test_norms_may_be_left_out() -> None:
    expected = 2 * (4 * 32 + 64 + 32)
    (row,) = verified(paper({"method": "bitfit"}, expected, layernorm_counted=False))
    assert (row.closed_form, row.meta_count, row.verdict) == (expected, expected, "match")


def test_what_is_stored_may_be_less_than_what_is_trained() -> None:
    spec = {"method": "prefix", "length": 7, "reparametrisation_hidden": 5}
    (row,) = verified(paper(spec, 1319))
    assert (row.meta_count, row.stored) == (7 * 32 + 32 * 5 + 5 + 6 * 128, 2 * 2 * 7 * 32)


@pytest.mark.parametrize(
    ("count", "text", "verdict"),
    [
        (4_718_592, "4.7M", "match"),
        (9_437_184, "9.4M", "match"),
        (18_874_368, "18.8M", "truncated"),
        (18_874_368, "18.9M", "match"),
        (603_979_776, "603.8M", "mismatch"),
        (540_672, "540K", "truncated"),
        (36_888, "36,888", "match"),
        (36_888, "36,889", "mismatch"),
        (2_000_000_000, "2B", "match"),
        (92, "9.2%", "match"),
        (93, "9.2%", "mismatch"),
        (929, "92.9%", "match"),
        (894_528, "894528 / 0.9M", "match"),
        (894_528, "894528 / 0.8M", "truncated"),
        (894_528, "894528 (T5) / 0.7M (T6)", "mismatch"),
        (5, None, "match"),
        (5, "(checkpoint 3.4 MB)", "match"),
    ],
)
def test_a_figure_is_rounded_cut_or_wrong(count: int, text: str | None, verdict: str) -> None:
    found, reason = judge(text, count, whole=1000)
    assert found == verdict
    assert (reason is None) == (verdict == "match" and text not in (None, "(checkpoint 3.4 MB)"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": {"method": "nothing"}}, "no method 'nothing' is registered"),
        ({"spec": {"method": "peft:nothing"}}, "no method 'peft:nothing' is registered"),
        ({"spec": {}}, "no method 'None' is registered"),
        ({"spec": {"method": "lora+nothing"}}, "no method 'nothing' is registered"),
        ({"spec": {"method": "full", "with_nothing": True}}, "no method 'nothing' is registered"),
        ({"spec": {"method": "full", "layers": "lowest 2"}}, "full: no setting 'layers'"),
        ({"spec": {"method": "full", "layers": "top 3"}}, "top_blocks: 3 is above"),
        ({"spec": {"method": "peft:poly"}}, "peft:poly: it needs the task of each example"),
        (
            {"spec": {"method": "peft:hira", "targets": ["q"]}, "model": "gpt2-even"},
            "q are part of a fused projection",
        ),
        ({"spec": {"method": "lora", "colour": 1}}, "lora: no setting 'colour'"),
        ({"spec": {"method": "lora", "rank": "four"}}, '"four" is not allowed'),
        ({"spec": {"method": "lora", "rank": 99}}, "rank: 99 is above"),
        ({"spec": {"method": "lora", "targets": ["gate"]}}, "the model has no gate layers"),
        ({"spec": {"method": "lora", "targets": 5}}, "targets"),
        ({"spec": {"method": "ia3", "targets": "kv"}}, "no setting 'targets'"),
        ({"spec": {"method": "prompt", "at": "encoder and decoder"}}, "no setting 'at'"),
        ({"spec": {"method": "bitfit"}, "model": "llama-tiny"}, "the model has no biases"),
        ({"model": "roberta-huge"}, "no dimensions are given"),
        ({"model": "mystery-7B"}, "no known architecture"),
        ({"model": "roberta-odd"}, "unknown dimension 'wings'"),
        ({"model": "roberta-negative"}, "is no size"),
        ({"model": "gpt2-uneven"}, "ValueError"),
        ({"stated_as": '{"denominator": 0}', "published": "1%", "expected": 35232}, "Division"),
    ],
)
def test_what_cannot_be_built_says_why(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    others = {
        "mystery-7B": {"d": 8},
        "roberta-odd": {"d": 8, "wings": 2},
        "roberta-negative": {"d": -8},
        "gpt2-even": {"d": 32, "L": 2, "heads": 2},
        "gpt2-uneven": {"d": 10, "L": 1, "heads": 3},
    }
    content = file(paper({"method": "full"}, 5, published="5") | change, model_dims=DIMS | others)
    (row,) = verify(read_golden(written(tmp_path, content)))
    assert row.verdict == "not built"
    assert reason in str(row.reason)
    assert run(written(tmp_path, content), None, quiet()) == 0


def test_totals_are_rows(tmp_path: Path) -> None:
    block = 4 * (32 * 32 + 32) + 32 * 64 + 64 + 64 * 32 + 32 + 2 * 2 * 32
    classifier = (50 + 514 + 1) * 32 + 2 * 32 + 2 * block + 32 * 32 + 32 + 3 * 32 + 3
    tiny = DIMS["roberta-tiny"] | {"total_seqcls3": classifier, "total_odd": 1, "total_mlm": 2}
    rows = {row.id: row for row in verified(model_dims={"roberta-tiny": tiny})}
    assert rows["model:roberta-tiny:seqcls3"].verdict == "match"
    assert rows["model:roberta-tiny:odd"].verdict == "not built"
    assert rows["model:roberta-tiny:mlm"].deviates


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


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("roberta-base", "roberta"),
        ("deberta-v2-xxlarge", "deberta-v2"),
        ("gpt3-175b", "gpt2"),
        ("t5-v1_1-xl/T0_3B", "t5"),
        ("meta-llama/Llama-3.2-3B", "llama"),
        ("distilbert-base", "distilbert"),
    ],
)
def test_the_longest_known_word_of_a_name_decides(name: str, model_type: str) -> None:
    assert family_of(name).model_type == model_type


@pytest.mark.parametrize("name", ["albert-base", "deberta-v3", "mt5-small", "bertweet"])
def test_a_part_of_a_word_is_no_family(name: str) -> None:
    with pytest.raises(NotBuiltError, match="no known architecture"):
        family_of(name)


def test_a_corrupted_count_fails(tmp_path: Path) -> None:
    spec = {"method": "lora", "rank": 3, "targets": ["q", "v"]}
    path, rows = written(tmp_path, file(paper(spec, 769))), tmp_path / "rows.json"
    assert run(path, rows, quiet()) == 1
    (row,) = json.loads(rows.read_text())["rows"]
    assert row["verdict"] == "mismatch"
    assert row["reason"] == "closed form 768, meta 768, expected 769"
    assert (row["closed_form"], row["meta_count"], row["expected"]) == (768, 768, 769)


def test_a_wrong_figure_is_shown_and_does_not_fail(tmp_path: Path) -> None:
    spec = {"method": "lora", "rank": 3, "targets": ["q", "v"]}
    content = file(paper(spec, 768, published="0.5K", verdict="MISMATCH (a slip)"))
    console = quiet()
    assert run(written(tmp_path, content), None, console) == 0
    shown = " ".join(str(getattr(console.file, "getvalue")()).split())  # noqa: B009
    assert "768 is 0.8K, not 0.5K (the file: MISMATCH (a slip))" in shown
    assert "1 rows: 1 mismatch; no built counts deviate" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the file"),
        ({"papers": []}, "model_dims: Field required"),
        (file(paper({}, 1) | {"expected": "1"}), "papers[0].expected"),
        (file(paper({}, 1) | {"colour": 1}), "papers[0].colour"),
        (file({"id": "a"}), "(and 6 more)"),
        (file(board={"rows": [{"id": "a"}]}), "board.rows[0]"),
    ],
)
def test_a_malformed_file_is_one_clear_error(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(GoldenError):
        read_golden(path)
    assert run(path, None, quiet()) == os.EX_DATAERR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_cannot_be_read_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "absent.json", None, quiet()) == os.EX_IOERR
    assert run(written(tmp_path, file()), tmp_path, quiet()) == os.EX_IOERR
    assert capsys.readouterr().err.count("\n") == 2


def test_the_tables_fit_a_hundred_columns(tmp_path: Path) -> None:
    console = quiet()
    rows = [paper({"method": "lora", "note": "n" * 90}, 1, id=f"row-{n}") for n in range(30)]
    long = paper({"method": "lora", "rank": 3}, 768, published="p " * 90, id="i" * 70)
    run(written(tmp_path, file(*rows, long)), None, console)
    text = str(getattr(console.file, "getvalue")())  # noqa: B009
    assert max(map(len, text.splitlines())) <= 100
    assert [n for n in range(30) if f"row-{n}" not in text] == []


def test_the_summary_counts_every_verdict() -> None:
    found = [
        Row(id="a", what="", published=None, expected=1, verdict="match", meta_count=1),
        Row(id="b", what="", published=None, expected=1, verdict="not built"),
        Row(id="c", what="", published=None, expected=1, verdict="mismatch", meta_count=2),
    ]
    assert summary(found) == ("3 rows: 1 match, 1 mismatch, 1 not built; 1 built counts deviate")
