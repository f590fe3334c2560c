"""Published counts, checked on small files whose counts are made by hand."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.published_counts.command import run
from finegrid.published_counts.figures import judge
from finegrid.published_counts.golden import read_golden
from finegrid.published_counts.models import NotBuiltError, family_of
from finegrid.published_counts.rows import verify
from tests.published_counts.files import DIMS, file, paper, quiet, verified, written


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
