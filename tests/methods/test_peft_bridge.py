"""The bridge to peft: what it offers, how it counts, and what it refuses before a run."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from finegrid.records.identity import canonical_json
from methods.peft import OnLayers, PeftMethod
from methods.peft_keys import annotated_keys
from methods.peft_types import (
    ADALORA,
    IA3,
    LN_TUNING,
    NOT_OFFERED,
    TOKENS,
    TYPES,
    Config,
    Type,
)
from methods.registry import METHODS
from tests.methods.architectures import anatomy, inputs, tiny

PAGE = Path(__file__).parents[2] / "docs" / "peft.md"
ALIASES = {"dora": "lora"}
SMALLER: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 16},
    "miss": {"r": 4},
    "shira": {"r": 2},
    "waveft": {"n_frequency": 100},
}
"""What fits the tiny stack."""
VALUED = {"boft", "frod", "shira", "unilora"}
"""Types that read values when they are built, which the meta device does not have."""
APART = {"adalora", "ia3", "ln_tuning", "trainable_tokens"}
"""Types that have a class of their own."""
ROWS = {**TYPES, "adalora": ADALORA}
COUNTED = [name for name, entry in ROWS.items() if entry.count and name not in VALUED]


def build(name: str, **config: object) -> PeftMethod:
    method = METHODS.build(f"peft:{name}", {"config": config})  # type: ignore[dict-item]  # JSON
    assert isinstance(method, PeftMethod)
    return method


@pytest.mark.parametrize("name", ["ln_tuning", *TYPES, "ia3", "adalora", "trainable_tokens"])
def test_numbers_that_mean_the_same_are_one_setting(name: str) -> None:
    """Of every key that peft's own class annotates as an integer or as a float."""
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(ALIASES.get(name, name).upper())]
    kinds = {entry.name: str(entry.type) for entry in fields(kind)}
    keys = [key for key in annotated_keys(ALIASES.get(name, name)) if key in kinds]
    for key in keys:
        floats, integers = "float" in kinds[key], "int" in kinds[key]
        if floats == integers:
            continue
        whole, real = (build(name, **{key: value}) for value in (2, 2.0))
        assert whole == real
        assert canonical_json(whole.settings()) == canonical_json(real.settings())
        assert isinstance(whole.settings()[key], float if floats else int)


def test_what_may_be_a_number_or_a_share_stays_what_it_is() -> None:
    """An effective rank of 1 is one direction, and 1.0 all of them."""
    assert isinstance(build("osf", effective_rank=1).settings()["effective_rank"], int)
    assert isinstance(build("osf", effective_rank=1.0).settings()["effective_rank"], float)


def test_every_type_of_peft_is_offered_or_has_a_reason() -> None:
    offered = {ALIASES.get(name, name) for name in TYPES} | APART
    assert not offered & set(NOT_OFFERED)
    assert offered | set(NOT_OFFERED) == {kind.value.lower() for kind in PeftType}
    assert {f"peft:{name}" for name in [*TYPES, *APART]} < set(METHODS)


@pytest.mark.parametrize(
    "entry", [*TYPES.values(), ADALORA, IA3, LN_TUNING, TOKENS], ids=lambda entry: entry.paper
)
def test_a_reference_has_authors_a_year_and_a_number(entry: Type) -> None:
    """The number of an arXiv paper begins with the year in which it came there.

    What was never published has the first version of peft that has it.
    """
    places = (r"arXiv:(?P=year)\d\d\.\d{5}", r"openreview:\w{10}", r"peft \d\.\d+\.\d+")
    assert re.fullmatch(rf"[A-Z].+ 20(?P<year>\d\d), ({'|'.join(places)})", entry.paper)


def test_the_page_on_the_bridge_says_what_is_not_offered() -> None:
    _, _, table = PAGE.read_text().partition("## What is not offered\n")
    first_cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == set(NOT_OFFERED)


def test_the_variants_on_the_page_are_allowed() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    variants = [one for text in examples for one in yaml.safe_load(text)["variants"].values()]
    assert len(variants) == 3
    for variant in variants:
        method = METHODS.build(variant["method"], variant.get("settings", {}))
        assert [*method.problems(anatomy("bert"))] == []
        assert method.not_applicable(anatomy("bert")) is None


@pytest.mark.parametrize("name", COUNTED)
def test_a_closed_form_is_what_peft_adds(name: str) -> None:
    """Both ways to count agree, on layers that are not square."""
    settings: Config = {"config": SMALLER.get(name, {}), "targets": ["linear"]}
    method, model = METHODS.build(f"peft:{name}", settings), tiny("linear-stack")
    expected = method.body_parameters(model)
    assert expected == PeftMethod.body_parameters(method, model) > 0  # type: ignore[arg-type]


def test_an_option_that_changes_the_count_is_counted() -> None:
    model = tiny("bert")
    plain = build("lora", r=4)
    patterned = build("lora", r=4, rank_pattern={r".*layer\.0.*query": 6})
    assert plain.body_parameters(model) == 4 * 4 * 128
    assert patterned.body_parameters(model) == 4 * 4 * 128 + 2 * 128


def test_the_count_leaves_the_model_alone() -> None:
    model = tiny("bert")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build("lokr").body_parameters(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_applying_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    build("lora").apply(tiny("bert"), torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_generator_alone_decides_what_is_drawn() -> None:
    """Ten seeds give ten first factors, and a seed the same whatever was drawn before."""

    def drawn(seed: int) -> torch.Tensor:
        model = tiny("bert")
        torch.rand(seed)
        build("lora").apply(model, torch.Generator().manual_seed(seed))
        factors = (p for name, p in model.named_parameters() if "lora_A" in name)
        return next(factors).detach()

    found = [drawn(seed) for seed in range(10)]
    assert len({one.numpy().tobytes() for one in found}) == 10
    torch.manual_seed(1)
    assert torch.equal(drawn(3), found[3])


def test_our_defaults_are_written_down() -> None:
    method = build("lora", lora_alpha=4)
    assert isinstance(method, OnLayers)
    assert method.config == {"r": 8, "lora_alpha": 4}


@pytest.mark.parametrize(
    ("config", "written", "sizes"),
    [
        ({}, {"oft_block_size": 32}, 32),
        ({"oft_block_size": 16}, {"oft_block_size": 16, "r": 0}, 16),
        ({"r": 16}, {"oft_block_size": 0, "r": 16}, 4),
    ],
)
def test_the_blocks_of_oft_have_a_number_or_a_size(
    config: dict[str, int], written: dict[str, int], sizes: int
) -> None:
    """Skew-symmetric blocks along 64 features, for q and v of two layers, counted in both ways."""
    method, model = build("oft", **config), tiny("bert")
    assert isinstance(method, OnLayers)
    assert method.config == written
    assert [*method.problems(anatomy("bert"))] == []
    expected = 4 * (64 // sizes) * sizes * (sizes - 1) // 2
    assert method.body_parameters(model) == PeftMethod.body_parameters(method, model) == expected


def test_a_start_that_is_the_default_leaves_the_closed_form() -> None:
    """peft cannot build this type on the meta device: its closed form is all there is."""
    frod, model = build("frod", init_weights=True), tiny("bert")
    assert frod.body_parameters(model) == 4 * (64 + int(64 * 64 * 0.01))
    with pytest.raises(NotImplementedError):
        build("frod", init_weights=False).body_parameters(model)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("oft", {"r": 8, "oft_block_size": 8}, "oft_block_size 8, r 8; allowed: one of the two"),
        ("oft", {"r": 0, "oft_block_size": 0}, "oft_block_size 0, r 0; allowed: one of the two"),
        ("oft", {"r": 7}, "r 7 does not divide the layers; allowed: a divisor of 64"),
        ("vera", {"rank": 4}, "'rank' is no key here; allowed: .*projection_prng_key"),
        ("lora", {"target_modules": "x"}, "'target_modules' is no key here"),
        ("c3a", {"block_size": 60}, "block_size 60 does not divide the layers"),
        ("lokr", {"r": 4, "decompose_bot": True}, "'decompose_bot' is no key here"),
        ("ln_tuning", {"r": 4}, "'r' is no key here; allowed: "),
        ("adalora", {"r": 4}, "'r' is no key here; allowed: .*target_r"),
        ("adalora", {"use_dora": True}, "'use_dora' is no key here; allowed: .*target_r"),
        ("adalora", {"tinit": 3}, "'tinit' is no key here; allowed: .*target_r"),
        ("adalora", {"init_r": 8}, "target_r 8 with init_r 8; allowed: a smaller target_r"),
        (
            "adalora",
            {"deltaT": 0, "init_r": 0},
            "init_r 0, deltaT 0; allowed: whole numbers from 1",
        ),
        ("trainable_tokens", {}, "token_indices None; allowed: a list of different numbers"),
        ("trainable_tokens", {"token_indices": [3, 3]}, r"token_indices \[3, 3\]; allowed: a list"),
        ("trainable_tokens", {"token_indices": [-1]}, r"token_indices \[-1\]; allowed: a list"),
        ("trainable_tokens", {"token_indices": ["a"]}, r"token_indices \['a'\]; allowed: a list"),
        ("adalora", {"beta1": 1.0}, "beta1 1.0; allowed: a number between 0 and 1"),
        ("adalora", {"orth_reg_weight": -1}, "orth_reg_weight -1.0; allowed: a number from 0"),
    ],
)
def test_a_wrong_configuration_is_refused_by_the_planner(
    name: str, config: dict[str, object], message: str
) -> None:
    (problem,) = build(name, **config).problems(anatomy("bert"))
    assert re.match(f"config: .*{message}", problem)


def test_a_schedule_without_a_middle_is_refused() -> None:
    method = METHODS.build("peft:adalora", {"initial": 0.5, "final": 0.5})
    (problem,) = method.problems(anatomy("bert"))
    assert problem == (
        "initial: 0.5 and final: 0.5 leave no step between them; "
        "allowed: two shares that sum to less than 1"
    )


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_what_adalora_divides_by_is_a_constant_in_fp32(weights: str) -> None:
    """In bfloat16 a rank of 257 would be 256."""
    model = tiny("bert").to(getattr(torch, weights))
    build("adalora", init_r=257, target_r=2).apply(model, torch.Generator())
    found = [p for name, p in model.named_parameters() if "ranknum" in name]
    assert [(p.item(), p.dtype, p.requires_grad) for p in found] == [
        (257, torch.float32, False)
    ] * 4


def test_inputs_that_are_no_targets_are_refused() -> None:
    method = METHODS.build("peft:ia3", {"targets": ["k"], "inputs": ["up"]})
    assert [*method.problems(anatomy("bert"))] == ["inputs: ['up'] are no targets; allowed: k"]


def test_a_start_that_peft_cannot_make_of_transposed_weights_is_refused() -> None:
    method = METHODS.build("peft:lora", {"config": {"r": 2, "init_lora_weights": "olora"}})
    (problem,) = method.problems(anatomy("gpt2"))
    assert problem.startswith("config: init_lora_weights olora: peft factors a weight as it is ")
    assert not list(method.problems(anatomy("bert")))
    model = tiny("gpt2")
    method.apply(model, torch.Generator())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):  # else it is allowed
        model(**inputs("gpt2"))
