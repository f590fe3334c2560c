"""What no role names is refused by name, and never left out in silence."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn

from finegrid.models.anatomy import Anatomy, Block, Part, Rows, Unnamed
from finegrid.models.coverage import refusal, uncovered, unnamed_share
from finegrid.models.discovery import AnatomyError, build, discover
from finegrid.models.family import Family
from finegrid.models.fused import LayoutError, alternating, even, in_blocks, repeated
from tests.models import golden

ALL = ("all",)


def part(role: str, stored: str = "linear", parameters: int = 100) -> Part:
    return Part.model_validate(
        {"path": f"layers.0.{role}", "role": role, "block": 0, "stack": "layers", "stored": stored}
        | {"in_features": 10, "out_features": 10, "parameters": parameters}
    )


def model(parts: tuple[Part, ...], unnamed: int = 0) -> Anatomy:
    rest = (Unnamed(path="layers.0.mystery", parameters=unnamed),) if unnamed else ()
    return Anatomy(
        model_type="toy",
        reads="text",
        blocks=(Block(path="layers.0", stack="layers"),),
        parts=parts,
        unnamed=rest,
        block_weights=sum(one.parameters for one in parts) + unnamed,
        other_weights=0,
        attention=(),
        attention_reason="the model has no attention",
        heads=None,
        head=(),
        optional=(),
        embeddings=None,
        positions=None,
        norms=(),
        has_biases=False,
        encoder_decoder=False,
        causal=True,
        pooler=False,
        hidden=10,
        attention_implementation="sdpa",
        sums_known=False,
    )


def test_all_is_allowed_up_to_one_percent_and_refused_by_name_above() -> None:
    assert refusal(model((part("q", parameters=990),), unnamed=10), ALL) is None
    bare = model((part("q", parameters=980),), unnamed=20)
    assert unnamed_share(bare) == pytest.approx(0.02)
    assert uncovered(bare) == {"layers.*.mystery": 20}
    expected = "all would leave out 2.0 % of the block weights: layers.*.mystery"
    assert refusal(bare, ALL) == expected
    assert refusal(bare, ("q",)) is None


@pytest.mark.parametrize("stored", ["expert", "convolution"])
def test_what_is_no_linear_layer_is_refused_by_name(stored: str) -> None:
    anatomy = model((part("q"), part("up", stored, 900)))
    left = "90.0 % of the block weights: layers.*.up"
    assert refusal(anatomy, ALL) == f"all would leave out {left}"
    assert refusal(anatomy, ("q", "up")) == f"stored as {stored}, not as linear layers: {left}"
    assert refusal(anatomy, ("q",)) is None
    assert refusal(anatomy, ALL, trainable={"linear", "expert", "convolution"}) is None


def test_a_role_that_is_missing_is_named() -> None:
    assert refusal(model((part("q"),)), ("q", "gate")) == "the model has no gate layers"
    assert refusal(model(()), ALL) == "the model has no layers of any role"


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_stacked_experts_are_refused_and_attention_beside_them_is_not(name: str) -> None:
    found = golden.anatomy(name)
    reason = refusal(found, ("down",))
    assert reason is not None
    assert "stored as expert" in reason
    assert "experts.down_proj" in reason
    assert refusal(found, ("q", "v", "o")) is None


def test_the_sizes_that_methods_ask_for() -> None:
    found = golden.anatomy("gpt_bigcode")
    assert found.largest_rank(("q", "k")) == found.fewest_outputs(("k", "v")) == 64
    assert found.missing(("q", "gate")) == ["gate"]
    assert found.stacks == {"h": 12}
    assert {len(found.of_roles((role,))) for role in found.roles} == {12}


def test_an_anatomy_survives_its_file(tmp_path: Path) -> None:
    found = golden.anatomy("gpt_neox")
    found.write(tmp_path / "anatomy.json")
    assert Anatomy.read(tmp_path / "anatomy.json") == found


def test_rows_are_in_the_order_of_the_roles_own_outputs() -> None:
    assert Rows(start=2, length=2, stride=6, count=2).indices() == [2, 3, 8, 9]
    layout = in_blocks(2, "q", "v", "k")(None, 12)
    assert [layout[role].indices() for role in "qvk"] == [
        [0, 1, 6, 7],
        [2, 3, 8, 9],
        [4, 5, 10, 11],
    ]
    assert even("gate", "up")(None, 6)["up"].indices() == [3, 4, 5]
    assert alternating("gate", "up")(None, 6)["up"].indices() == [1, 3, 5]


def test_a_layout_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"has 10 outputs, not 2 times \(q 2, k 1\)"):
        repeated(10, 2, {"q": 2, "k": 1})


def test_a_model_that_cannot_be_built_is_one_line() -> None:
    from transformers import AutoConfig

    config = AutoConfig.for_model("bert", hidden_size=10, num_attention_heads=3)
    with pytest.raises(AnatomyError, match=r"^bert: cannot be built: .*hidden size.*") as caught:
        build(config)
    assert "\n" not in str(caught.value)


def test_queries_that_hold_more_than_their_heads_are_refused() -> None:
    """A projection of twice the size is what a gated attention hides behind a plain name."""
    from transformers import AutoConfig

    model = build(AutoConfig.for_model("llama", num_hidden_layers=1))
    attention = model.get_submodule("model.layers.0.self_attn")
    attention.q_proj = nn.Linear(4096, 8192, device="meta")
    with pytest.raises(AnatomyError, match="make 64 heads of 128, the configuration says 32"):
        discover(model)


class Stacked(nn.Module):
    """One block of two experts, kept as (experts, out, in) without a word of the library."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="toy")
        self.layers = nn.ModuleList([nn.Module()])
        block = self.layers[0]
        block.q_proj = nn.Linear(4, 4)
        block.both = nn.Parameter(torch.zeros(2, 6, 4))
        block.down = nn.Parameter(torch.zeros(2, 4, 3))


class Known(Family):
    """What a family says of such experts."""

    experts: ClassVar = {"layers.*.both": even("gate", "up"), "layers.*.down": "down"}


def test_a_family_names_experts_of_its_own() -> None:
    assert [one.path for one in discover(Stacked()).unnamed] == [
        "layers.0.both",
        "layers.0.down",
        "layers.0.q_proj",  # no attention is around it
    ]
    found = discover(Stacked(), Known())
    sizes = {p.role: (p.in_features, p.out_features, p.experts, p.stored) for p in found.parts}
    assert sizes == {
        "gate": (4, 3, 2, "expert"),
        "up": (4, 3, 2, "expert"),
        "down": (3, 4, 2, "expert"),
    }
