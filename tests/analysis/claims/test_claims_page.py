"""The page, the table and the figures of the claims."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.claims.command import write_claims
from analysis.claims.evidence import Evidence
from analysis.claims.page import page
from analysis.claims.plots import forest, norms
from analysis.errors import AnalysisError
from finegrid.records.claims import Claim, Claims
from finegrid.records.result import HISTORY_FILE
from tests.analysis.benchmark import specification
from tests.analysis.claims.evidence import (
    BASE,
    DIFFERENCE,
    LAYERS,
    RATIO,
    Edit,
    claim,
    decide,
    graded,
    pair,
    scored,
    unchanged,
)


def squeezed(text: str) -> str:
    """The text with single spaces, whatever the widths of a table's columns."""
    return re.sub(" +", " ", text)


def written(evidence: Evidence, folder: Path, *claims: Claim) -> str:
    plan = evidence.plan.model_copy(update={"claims": Claims(hypotheses=claims)})
    write_claims(Evidence(plan, evidence.frame, evidence.runs), folder / "claims", folder)
    return squeezed((folder / "claims.md").read_text())


def test_the_page_shows_the_points_of_a_trend(build: Callable[..., Evidence]) -> None:
    cells: dict[tuple[str, str], Edit] = {}
    for task, scores in {"words-50": (0.8, 0.79, 0.78), "words-100": (0.83, 0.82, 0.80)}.items():
        cells[task, "small-2"] = scored(*scores)
        cells[task, "everything"] = scored(0.9, 0.9, 0.9)
    test: dict[str, Any] = BASE | {"kind": "trend", "tasks": ["words-50", "words-100"]}
    test |= {"variants": ["small-2"], "along": "options.train", "above": 0.0}
    evidence = build(cells, options={"words-50": {"train": 50}, "words-100": {"train": 100}})
    text = squeezed(page("demo", [claim(test)], decide(evidence, test), evidence))
    assert "## it: small-2 by train" in text
    assert "| 50 | 0.900 ± 0.000 | 0.790 ± 0.025 | -0.110 ± 0.025 |" in text


def test_page_table_and_figures_are_written(build: Callable[..., Evidence], tmp_path: Path) -> None:
    cells = pair(graded(0.1, 0.2, 0.3), unchanged)
    evidence = build(cells)
    run = specification("letters", "small-2", 0).run
    line = '{"step": 1, "loss": 1.0, "layer_gradient_norms": {"body.0": 2.0, "body.1": 0.2}}\n'
    (evidence.runs / run / HISTORY_FILE).write_text(line)
    first = claim(LAYERS | {"below": 0.01}, RATIO | {"measure": "stored_bytes", "below": 1.0})
    second = Claim(id="other", statement="Speech.", not_measured="no such task")
    text = written(evidence, tmp_path / "out", first, second)
    assert "| it | It is so. | **contradicted** | 1 supported, 1 contradicted" in text
    assert "| other | Speech. | **not measured** | none | no such task |" in text
    assert "0.00600 (exact)" in text
    assert "Example &lt;CPU&gt; &amp; Co" in text
    assert "6 of 6 planned runs have a record." in text
    assert "## Gradient norms by layer: letters · tiny" in text
    assert "| body.1 | 0.4 |" in text
    table = pd.read_csv(tmp_path / "out" / "claims.csv")
    assert table["verdict"].tolist() == ["contradicted", "supported", "not measured"]
    for figure in ("claims", "gradients"):
        for kind in ("png", "svg"):
            assert (tmp_path / "out" / f"demo-{figure}.{kind}").stat().st_size > 1000


def test_a_plan_without_claims_is_refused(build: Callable[..., Evidence], tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="the plan of demo has no claims"):
        write_claims(build(pair(unchanged, unchanged)), tmp_path / "claims", tmp_path)


def test_the_forest_shows_every_effect_beside_its_bound(build: Callable[..., Evidence]) -> None:
    cells = pair(scored(0.79, 0.80, 0.81), scored(0.80, 0.80, 0.81))
    tests: list[dict[str, Any]] = [
        DIFFERENCE | {"above": -0.02},
        RATIO | {"measure": "stored_bytes", "below": 1.0},
    ]
    frame = decide(build(cells), *tests)
    panels = forest(frame).axes
    points = [line.get_xdata()[0] for axes in panels for line in axes.lines]  # type: ignore[index]
    assert points == pytest.approx(frame["effect"].astype(float).tolist())
    assert [axes.get_xscale() for axes in panels] == ["linear", "log"]


def test_a_broken_history_is_named(build: Callable[..., Evidence]) -> None:
    evidence = build(pair(unchanged, unchanged))
    run = str(evidence.frame["run"].iloc[0])
    (evidence.runs / run / HISTORY_FILE).write_text("[]\n")
    with pytest.raises(AnalysisError, match=r"history.jsonl:1: not a step record"):
        norms(evidence.frame.head(1), evidence.runs)
