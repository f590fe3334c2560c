"""LoReFT: the right states of the right tokens, by the paper's equation in numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModelForSequenceClassification, RobertaConfig

from finegrid.models.layers import blocks_of
from finegrid.models.live import anatomy_of
from methods.injection import added
from methods.loreft import orthonormal
from methods.prelayer import reading_blocks
from methods.registry import METHODS
from tests.kinds.writing import writer
from tests.methods.architectures import anatomy, logits, tiny
from tests.methods.cases import train
from tests.methods.reference import applied

Floats = NDArray[np.float64]
TOKENS = 6
RIGHT = ("111111", "111100", "111000", "110000", "100000")
LEFT = tuple(mask[::-1] for mask in RIGHT)
ENDS = {
    (2, 1): {
        RIGHT: ["FF...L", "FF.L..", "FFL...", "FF....", "F....."],
        LEFT: ["FF...L", "..FF.L", "...FFL", "....FF", ".....F"],
    },
    (1, 3): {
        RIGHT: ["F..LLL", "FLLL..", "FLL...", "FL....", "F....."],
        LEFT: ["F..LLL", "..FLLL", "...FLL", "....FL", ".....F"],
    },
    (0, 2): {
        RIGHT: ["....LL", "..LL..", ".LL...", "LL....", "L....."],
        LEFT: ["....LL", "....LL", "....LL", "....LL", ".....L"],
    },
    (4, 0): {
        RIGHT: ["FFFF..", "FFFF..", "FFF...", "FF....", "F....."],
        LEFT: ["FFFF..", "..FFFF", "...FFF", "....FF", ".....F"],
    },
}
"""First and last positions -> masks of texts -> by whose intervention each token is changed."""


def state(output: Any) -> torch.Tensor:
    """What a block gives out, without what stands beside it."""
    found: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return found.detach()


def seen(blocks: list[nn.Module]) -> list[torch.Tensor]:
    """What each block gives out, as the hooks before this call leave it."""
    found = list[torch.Tensor]()
    for block in blocks:
        block.register_forward_hook(lambda module, given, output: found.append(state(output)))
    return found


def changed(h: Floats, tensors: Any, number: int) -> Floats:
    """h + R^T (W h + b - R h) by one of a block's interventions."""
    v, w, b = (tensors[name][number].detach().double().numpy() for name in ("V", "W", "b"))
    q, upper = np.linalg.qr(v.T)
    r = (q * np.sign(np.diag(upper))).T
    after: Floats = h + r.T @ (w @ h + b - r @ h)
    return after


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("masks", [RIGHT, LEFT], ids=["right", "left"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("ends", ENDS, ids=str)
@torch.no_grad()
def test_the_first_and_the_last_states_are_those_of_the_equation(
    model_type: str, masks: tuple[str, ...], ends: tuple[int, int], tied: bool
) -> None:
    """And all others are what the block gave: padding, and what lies between."""
    settings = {"prefix_positions": ends[0], "suffix_positions": ends[1], "tied": tied}
    method, model = METHODS.build("loreft", {"rank": 3, **settings}), tiny(model_type)
    blocks = reading_blocks(model)
    plain = seen(blocks)
    method.apply(model, torch.Generator().manual_seed(1))
    moved, draw = seen(blocks), torch.Generator().manual_seed(2)
    for block in blocks:
        added(block, "loreft")["V"].add_(torch.randn(64, generator=draw))
    mask = torch.tensor([[int(sign) for sign in row] for row in masks])
    ids = torch.randint(3, 40, mask.shape, generator=draw)
    ids[:, 0] = 2  # T5 looks for an end
    model(input_ids=ids, attention_mask=mask)
    apart = bool(all(ends)) and not tied
    for block, given, found in zip(blocks, plain, moved, strict=True):
        expected = given.double().numpy()
        for row, signs in enumerate(ENDS[ends][masks]):
            for at, sign in enumerate(signs):
                if sign != ".":
                    number = int(apart and sign == "L")
                    expected[row, at] = changed(expected[row, at], added(block, "loreft"), number)
                else:
                    assert torch.equal(found[row, at], given[row, at])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
@torch.no_grad()
def test_without_a_mask_all_that_is_read_is_text(model_type: str) -> None:
    model, ids = applied("loreft", model_type), torch.arange(3, 13)[None]
    found = [model(input_ids=ids, attention_mask=m).logits for m in (None, torch.ones_like(ids))]
    torch.testing.assert_close(*found)


def test_the_rows_of_r_stay_orthonormal() -> None:
    model = applied("loreft", "bert", rank=5)
    blocks = [added(block, "loreft") for block in blocks_of(model)]
    starts = [tensors["V"].detach().clone() for tensors in blocks]
    train(model, "bert", 5)
    for start, tensors in zip(starts, blocks, strict=True):
        kept, moved = orthonormal(start), orthonormal(tensors["V"])
        torch.testing.assert_close(kept, start, atol=1e-6, rtol=0)
        assert (tensors["V"] @ tensors["V"].mT - torch.eye(5)).abs().max() > 1e-3
        assert (moved - kept).abs().max() > 1e-3
        torch.testing.assert_close(moved @ moved.mT, torch.eye(5).expand(2, 5, 5))


def test_a_change_of_all_directions_puts_w_h_plus_b_in_the_place_of_h() -> None:
    """With as many rows as features R is a rotation, and h + R^T (W h + b - R h) = R^T (W h + b).

    With W = 0 the state then depends on b alone, whatever was read.
    """
    model = applied("loreft", "bert", rank=64, prefix_positions=6, suffix_positions=0)
    for block in blocks_of(model):
        added(block, "loreft")["W"].data.zero_()
    found, draw = seen(blocks_of(model)), torch.Generator().manual_seed(0)
    for _ in range(2):
        model(input_ids=torch.randint(3, 40, (2, TOKENS), generator=draw))
    first, second = found[1], found[3]
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    torch.testing.assert_close(first, first[:1, :1].expand_as(first), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"rank": 1}, 36_888), ({"rank": 1, "tied": True}, 18_444), ({"rank": 4}, 147_552)],
)
def test_the_published_count(settings: dict[str, Any], expected: int) -> None:
    """12 blocks of 2 interventions of 2 * 768 r + r."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(RobertaConfig())
        method = METHODS.build("loreft", settings)
        assert method.body_parameters(model) == expected
        method.apply(model, torch.Generator())
    found = model.named_parameters()
    assert sum(p.numel() for n, p in found if ".loreft." in n and p.requires_grad) == expected


def test_an_encoder_decoder_has_it_in_its_encoder_alone() -> None:
    model = applied("loreft", "t5", rank=2)
    names = {name for name, _ in model.named_parameters() if ".loreft." in name}
    assert {name.partition(".block.")[0] for name in names} == {"transformer.encoder"}
    assert logits(model, "t5").isfinite().all()


@pytest.mark.parametrize(
    ("model_type", "settings", "problem"),
    [
        ("bert", {"rank": 65}, "rank: 65 is above the layer's size; allowed: 1 to 64"),
        (
            "bert",
            {"prefix_positions": 0, "suffix_positions": 0},
            "prefix_positions: 0 and suffix_positions: 0 leave nothing to train; "
            "allowed: one of them from 1",
        ),
        (
            "llama",
            {"suffix_positions": 2},
            "suffix_positions: 2, and no block of a model that writes is told where a prompt ends; "
            "allowed: 0",
        ),
        ("llama", {"suffix_positions": 0}, None),
        ("t5", {"suffix_positions": 2}, None),
    ],
)
def test_settings_out_of_range_are_one_line(
    model_type: str, settings: dict[str, Any], problem: str | None
) -> None:
    """Of a decoder that writes; its classifier takes last tokens, and an encoder-decoder does."""
    found = tiny(model_type) if model_type == "bert" else writer(model_type)
    method = METHODS.build("loreft", settings)
    assert list(method.problems(anatomy_of(found))) == ([problem] if problem else [])
    assert list(METHODS.build("loreft", {}).problems(anatomy("llama"))) == []


@pytest.mark.parametrize("model_type", ["vit", "linear-stack", "whisper"])
def test_a_model_that_reads_no_tokens_is_told_why(model_type: str) -> None:
    reason = METHODS.build("loreft", {}).not_applicable(anatomy(model_type))
    assert reason is not None
    assert reason.startswith("the model has no token embeddings")


def test_packed_examples_have_no_known_end() -> None:
    model: Any = writer("llama")
    METHODS.build("loreft", {"suffix_positions": 1}).apply(model, torch.Generator())
    ids = torch.arange(4, 10)[None]
    with pytest.raises(ValueError, match=r"suffix_positions: 1, .* where a packed example ends"):
        model(input_ids=ids, position_ids=torch.tensor([[0, 1, 2, 0, 1, 2]]))


def test_states_of_other_places_are_refused() -> None:
    model: Any = applied("loreft", "bert")
    first = blocks_of(model)[0]
    with torch.no_grad():
        model(input_ids=torch.arange(3, 9)[None])
        with pytest.raises(ValueError, match=r"states \(1, 4, 64\) of \(1, 6\) tokens"):
            first(torch.zeros(1, 4, 64))
