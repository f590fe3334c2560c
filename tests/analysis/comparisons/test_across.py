"""Several groups: the common set, ranks, pooled scores and the diagram against hand and scipy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from analysis.collect import collect
from analysis.comparisons.across import (
    across_markdown,
    across_rows,
    common,
    friedman,
    has_several_groups,
)
from analysis.evidence import evidence_files, write_evidence
from analysis.figures.captions import ACROSS, FIGURES, captions
from analysis.figures.ranks import cliques
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import run_of
from tests.analysis.shown import drawn
from workflow.outputs import ACROSS_PLOTS, PLOTS

COMPLETE = ("everything", "small-2", "small-8", "top")


def text_of(frame: pd.DataFrame) -> str:
    shared = common(frame)
    return across_markdown(frame, shared, across_rows(shared))


def texts_of(name: str, frame: pd.DataFrame, runs: Path) -> list[str]:
    """All text of a figure's axes and below them."""
    figure = drawn(name, frame, runs)
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in texts]


def test_the_common_set_has_every_combination(table: pd.DataFrame) -> None:
    shared = common(table)
    assert shared.groups == ("letters · tiny", "words · tiny")
    assert shared.variants == COMPLETE
    assert shared.seeds == (0, 1, 2)
    # by seed, group and variant
    assert shared.scores[1, 1] == pytest.approx([0.81, 0.71, 0.77, 0.61])
    assert shared.lacking["unfit"] == "letters · tiny: no ok run; words · tiny: no ok run"


def test_a_variant_that_lacks_a_run_is_named_and_never_averaged(plan: Plan, runs: Path) -> None:
    (runs / run_of("words", "small-8", 2) / RESULT_FILE).unlink()
    table = collect(plan, runs)
    rows = across_rows(common(table)).set_index("variant")
    assert rows.loc["small-8", "lacks"] == "words · tiny: no ok run of seed 2"
    assert rows["mean_rank"].isna()["small-8"]
    assert list(rows["mean_rank"].dropna()) == [1, 2, 3]
    assert "small-8" not in text_of(table).split("Common set: ")[1].split("A variant")[0]


def test_a_variant_that_is_not_planned_everywhere_is_named(table: pd.DataFrame) -> None:
    elsewhere = table[(table["task"] != "words") | (table["variant"] != "small-2")]
    assert common(elsewhere).lacking["small-2"] == "words · tiny: not planned"
    assert common(elsewhere).variants == ("everything", "small-8", "top")


def test_ranks_and_pooled_scores(table: pd.DataFrame) -> None:
    changed = table.copy()
    turned = (changed["task"] == "words") & (changed["variant"] == "top")
    changed.loc[turned, "test_score"] = [0.75, 0.76, 0.77]
    rows = across_rows(common(changed)).set_index("variant")
    # letters: everything, small-8, small-2, top; words: everything, small-8, top, small-2
    assert list(rows.loc[list(COMPLETE), "mean_rank"]) == [1, 3.5, 2, 3.5]
    scores = [0.80, 0.81, 0.82, 0.70, 0.71, 0.72]
    assert rows.loc["small-2", "iqm"] == pytest.approx(stats.trim_mean(scores, 0.25))
    assert rows.loc["small-2", "metric"] == "accuracy"
    # every run of the best beats every run of the others in both groups
    assert rows.loc["small-2", "improvement"] == 0
    assert set(rows["best"].dropna()) == {"everything"}
    assert rows["improvement"].isna()["everything"]
    assert across_rows(common(changed)).to_csv() == across_rows(common(changed)).to_csv()


def test_friedman_is_that_of_scipy(table: pd.DataFrame) -> None:
    found = friedman(common(table))
    assert not isinstance(found, str)
    ranks = [[0.91, 0.81, 0.87, 0.71], [0.81, 0.71, 0.77, 0.61]]
    expected = stats.friedmanchisquare(*np.transpose(ranks))
    assert found.statistic == pytest.approx(expected.statistic)
    # q of four at level 0.05 is 2.569 (Demsar 2006, table 5)
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / 12), abs=1e-3)
    assert f"p = {expected.pvalue:.3g}" in text_of(table)


def test_unlike_metrics_are_not_pooled(table: pd.DataFrame, finished: Path) -> None:
    mixed = table.copy()
    mixed.loc[mixed["task"] == "words", "metric"] = mixed["metric"].where(
        mixed["metric"].isna(), "r2"
    )
    rows = across_rows(common(mixed)).set_index("variant")
    assert rows["iqm"].isna().all()
    assert rows.loc["everything", "mean_rank"] == 1
    assert "No IQM: the groups have unlike metrics: accuracy, r2." in text_of(mixed)
    assert "no profile: the groups have unlike metrics: accuracy, r2" in texts_of(
        "performance-profile", mixed, finished
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("variant in ['everything', 'bulky']", "it takes two variants with every group"),
        ("variant in ['bulky', 'unfit']", "it takes two groups with an ok run, there are 0"),
        ("task == 'letters' or seed == 5", "it takes two groups with an ok run, there are 1"),
    ],
)
def test_what_cannot_be_compared_says_why(
    query: str, reason: str, table: pd.DataFrame, finished: Path
) -> None:
    few = table.query(query)
    assert f"Nothing is compared over the groups: {reason}" in text_of(few)
    for kind in ACROSS:
        assert any(reason in text for text in texts_of(kind.name, few, finished))


def test_one_seed_gives_ranks_alone(table: pd.DataFrame) -> None:
    one = table[table["seed"] == 1]
    rows = across_rows(common(one)).set_index("variant")
    assert list(rows.loc[list(COMPLETE), "mean_rank"]) == [1, 3, 2, 4]
    assert rows["improvement"].isna().all()
    assert "One seed: no IQM and no probability of improvement." in text_of(one)


def test_a_bar_joins_what_lies_closer_than_the_critical_difference() -> None:
    assert cliques(np.array([1.0, 2.0, 3.5]), 2.0) == [(0, 1), (1, 2)]
    assert cliques(np.array([1.0, 2.0, 3.5]), 3.0) == [(0, 2)]
    # exactly as far apart as the critical difference is apart
    assert cliques(np.array([1.0, 2.0, 3.0]), 1.0) == []


def test_the_diagram_shows_ranks_and_what_is_absent(table: pd.DataFrame, finished: Path) -> None:
    texts = texts_of("critical-difference", table, finished)
    for part in (" everything  1.00 ", " 4.00  top "):
        assert part in texts
    assert any(text.startswith("critical difference 3.32; ") for text in texts)
    assert "unfit lacks letters · tiny: no ok run" in " ".join(texts)


def bars(figure: Figure) -> list[tuple[float, float]]:
    """The ends of the thick lines that join variants."""
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 3]
    ends = [np.asarray(line.get_xdata(), dtype=float) for line in thick]
    return [(float(one[0]), float(one[-1])) for one in ends]


@pytest.mark.parametrize("equal", [False, True])
def test_the_diagram_says_friedmans_p_and_tells_none_apart_without_it(
    table: pd.DataFrame, finished: Path, equal: bool
) -> None:
    """Two groups that order four variants alike leave p above 0.05, six of them do not."""
    copies = [table.assign(task=table["task"] + str(copy)) for copy in range(1 if equal else 3)]
    figure = drawn("critical-difference", pd.concat(copies), finished)
    ranks = [[1, 3, 2, 4]] * (2 * len(copies))
    p_value = stats.friedmanchisquare(*np.transpose(ranks)).pvalue
    (text,) = [one.get_text() for one in figure.axes[0].texts if "Friedman" in one.get_text()]
    assert f"p {'= ' if p_value >= 0.001 else '< '}" in text
    assert (p_value > 0.05) == equal == ("not significant" in text)
    if equal:
        assert f"p = {p_value:.3f}" in text
        ((left, right),) = bars(figure)
        assert (left, right) == pytest.approx((0.96, 4.04))
    else:
        assert len(bars(figure)) > 1


def test_figures_and_tables_are_those_that_the_pipeline_expects(
    table: pd.DataFrame, finished: Path, tmp_path: Path
) -> None:
    assert tuple(kind.name for kind in FIGURES) == PLOTS
    assert tuple(kind.name for kind in ACROSS) == ACROSS_PLOTS
    for name, frame in (("one", table[table["task"] == "words"]), ("two", table)):
        several = has_several_groups(frame)
        assert several == (name == "two")
        assert captions(frame, None) == (FIGURES + ACROSS if several else FIGURES)
        write_evidence(frame, finished, tmp_path / name / "demo")
        written = set((tmp_path / name).iterdir())
        assert written == set(evidence_files(tmp_path / name / "demo", several))
