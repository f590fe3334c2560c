"""Gradients in claims: layers, steps, what explodes, and what only converged."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.claims.evidence import Evidence
from finegrid.records.result import Gradients, Losses, Result
from tests.analysis.benchmark import SEEDS, specification
from tests.analysis.claims.evidence import (
    LAYERS,
    Edit,
    Scores,
    decide,
    flat,
    graded,
    only,
    pair,
    unchanged,
)


@pytest.mark.parametrize(
    ("smallest", "verdict"),
    [
        ((0.001, 0.0012, 0.0011), "supported"),
        ((0.5, 0.6, 0.55), "contradicted"),
        ((0.0001, 0.01, 0.9), "not decided"),
        ((0.0, 0.0011, 0.001), "not decided"),
    ],
)
def test_gradients_of_the_layers_are_compared(
    build: Callable[..., Evidence], smallest: Scores, verdict: str
) -> None:
    row = only(decide(build({("letters", "small-2"): graded(*smallest)}), LAYERS | {"below": 0.01}))
    assert row["verdict"] == verdict
    if min(smallest) > 0:
        assert row["effect"] == pytest.approx(stats.gmean(smallest))
    else:
        assert row["reason"] == (
            "smallest-to-largest-block is 0 under seed 0, and a ratio needs more"
        )


def test_one_block_alone_is_compared_with_nothing(build: Callable[..., Evidence]) -> None:
    def single(result: Result) -> Result:
        norms = Gradients(**dict(flat(1.0)), layers={"body.0": flat(1.0), "last": flat(1e-9)})
        return result.model_copy(update={"gradients": norms})

    row = only(decide(build({("letters", "small-2"): single}), LAYERS | {"below": 0.01}))
    assert row["verdict"] == "not decided"
    assert row["reason"] == "smallest-to-largest-block is missing under seed 0, 1, 2"


@pytest.mark.parametrize(
    ("figure", "effect"), [("last-to-first-step", 0.5), ("largest-to-median-step", 5.0)]
)
def test_gradients_are_compared_over_the_steps(
    build: Callable[..., Evidence], figure: str, effect: float
) -> None:
    evidence = build({("letters", "small-2"): graded(0.1, 0.2, 0.3)})
    row = only(decide(evidence, LAYERS | {"figure": figure, "above": 100.0}))
    assert (row["effect"], row["exact"], row["verdict"]) == (effect, True, "contradicted")


EXPLODES = LAYERS | {"figure": "largest-to-median-step", "above": 100.0}


def test_a_run_that_diverges_has_exploded(build: Callable[..., Evidence]) -> None:
    cells: dict[tuple[str, str], Edit] = {("letters", "small-2"): graded(0.1, 0.2, 0.3)}
    evidence = build(cells, bad={("letters", "small-2", 1): "diverged"})
    row = only(decide(evidence, EXPLODES))
    assert (row["verdict"], row["n_seeds"], row["seeds"]) == ("supported", 1, "1")
    assert row["reason"].endswith(": diverged")
    assert only(decide(evidence, LAYERS | {"below": 0.01}))["verdict"] == "not decided"
    evidence = build(cells, bad={("letters", "small-2", seed): "diverged" for seed in SEEDS})
    row = only(decide(evidence, EXPLODES))
    assert (row["verdict"], row["n_seeds"], row["seeds"]) == ("supported", 3, "0 1 2")


@pytest.mark.parametrize("state", ["undefined", "oom", "failed"])
def test_nothing_else_has_exploded(build: Callable[..., Evidence], state: str) -> None:
    cells: dict[tuple[str, str], Edit] = {("letters", "small-2"): graded(0.1, 0.2, 0.3)}
    evidence = build(cells, bad={("letters", "small-2", seed): state for seed in SEEDS})
    row = only(decide(evidence, EXPLODES))
    assert (row["verdict"], row["n_seeds"]) == ("not decided", 0)


def test_a_run_that_never_trained_has_not_exploded(build: Callable[..., Evidence]) -> None:
    """Its trials diverged, so that its tuning chose nothing."""
    cells: dict[tuple[str, str], Edit] = {("letters", "small-2"): graded(0.1, 0.2, 0.3)}
    evidence = build(cells, bad={("letters", "small-2", seed): "diverged" for seed in SEEDS})
    evidence.frame["learning_rate"] = pd.NA
    assert only(decide(evidence, EXPLODES))["verdict"] == "not decided"


def ended(last: float, *losses: float) -> Edit:
    """A run whose last gradient is that share of the first, and whose loss of seed s the s-th."""

    def edit(result: Result) -> Result:
        seed = result.spec.seed
        norms = Gradients(
            first=8.0, minimum=0.0, median=2.0, maximum=9.0, last=last * 8 + seed / 1e6
        )
        loss = Losses(first=2.0, mean=1.0, final=losses[seed], last=losses[seed])
        return result.model_copy(update={"gradients": norms, "losses": loss})

    return edit


VANISHES = LAYERS | {"figure": "last-to-first-step", "below": 0.01, "reference": "everything"}


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        # both converged: the gradient is as small as that of full fine-tuning
        (ended(0.001, 0.001, 0.001, 0.001), ended(0.002, 0.002, 0.002, 0.002), "contradicted"),
        # it stands still at the loss that it began with
        (ended(0.001, 2.0, 2.0, 2.0), ended(0.5, 0.1, 0.1, 0.1), "supported"),
        # it converged, and the other did not
        (ended(0.001, 0.001, 0.001, 0.001), ended(0.5, 0.1, 0.1, 0.1), "not decided"),
    ],
    ids=["both converged", "vanished", "converged alone"],
)
def test_a_last_gradient_vanishes_beside_that_of_the_reference(
    build: Callable[..., Evidence], ours: Edit, theirs: Edit, verdict: str
) -> None:
    evidence = build(pair(ours, theirs))
    row = only(decide(evidence, VANISHES))
    assert (row["verdict"], row["reference"]) == (verdict, "everything")
    values = [
        [evidence.gradients(specification("letters", name, seed).run) for seed in SEEDS]
        for name in ("small-2", "everything")
    ]
    shares = [[one.last / one.first for one in side if one is not None] for side in values]
    assert row["effect"] == pytest.approx(stats.gmean(np.divide(shares[0], shares[1])))
    if verdict == "not decided":
        assert row["reason"] == (
            "the loss is smaller than that of everything, too, under seed 0, 1, 2"
        )


def test_a_small_last_gradient_alone_is_no_sign(build: Callable[..., Evidence]) -> None:
    evidence = build(pair(ended(0.001, 2.0, 2.0, 2.0), unchanged))
    row = only(decide(evidence, {k: v for k, v in VANISHES.items() if k != "reference"}))
    assert row["verdict"] == "not decided"
    assert row["reason"] == "a run that converges has a small last gradient: it takes a reference"
